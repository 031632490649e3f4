"""One state from several draws: of a scene, of its mirror image, and from the regression."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from radarsparse.config import LATTICE_STRIDE, SamplingSettings
from radarsparse.models.latent_diffusion import Condition, LatentDiffusion
from radarsparse.models.state import DrawNoise, State, make_noise, mirror_rows, mirror_states
from radarsparse.voxels.scene import Scene


class Consensus(NamedTuple):
    """What was drawn for a scene.

    Attributes:
        state: [n, c] which is decoded.
        draws: [k, n, c] whose mean it is, next to the regression.
    """

    state: Tensor
    draws: Tensor


class _View(NamedTuple):
    """Of one side of the mirror: the regression, [1, n, c], and draws, [k, n, c]."""

    regression: Tensor
    draws: Tensor


def draw_consensus(
    network: LatentDiffusion, views: Sequence[Scene], seed: int, sampling: SamplingSettings
) -> Consensus:
    """The state that `sampling` asks for; the same seed gives the same one.

    Args:
        network: which draws.
        views: a scene and, where `sampling` asks for two views, its mirror image.
        seed: of the noise.
        sampling: how many draws, the regression's share, and whether details are drawn anew.
    """
    scene = views[0]
    cells = scene.cells.feats
    draw_noise = make_noise(seed, cells.new_empty(len(cells), network.state_channels))
    condition = network.condition_on(scene.radar, scene.cells)
    view = _draw_view(network, condition, draw_noise, sampling)
    for mirrored in views[1:]:
        seen = network.condition_on(mirrored.radar, mirrored.cells)
        view = _join(view, _draw_view(network, seen, draw_noise, sampling), scene)
    state = view.draws.mean(0).lerp(view.regression.mean(0), sampling.regression_share)
    if sampling.detail_sigma is not None:
        state = network.draw_details(state, condition, draw_noise, sampling)
    return Consensus(state, view.draws)


def _draw_view(
    network: LatentDiffusion,
    condition: Condition,
    draw_noise: DrawNoise,
    sampling: SamplingSettings,
) -> _View:
    regression = network.regress(condition)
    if sampling.regression_share == 1.0:  # no draw would count
        return _View(regression[None], regression[None])
    draws = [
        network.sample(condition, regression, draw_noise, sampling) for _ in range(sampling.samples)
    ]
    return _View(regression[None], torch.stack(draws))


def _join(view: _View, mirrored: _View, scene: Scene) -> _View:
    latent = State.split(view.draws.mean(0)).latent
    rows = mirror_rows(scene.cells.support, scene.volume.shape[1] // LATTICE_STRIDE)
    pairs = zip(view, mirrored, strict=True)
    return _View(*(torch.cat([one, mirror_states(two, rows, latent)]) for one, two in pairs))
