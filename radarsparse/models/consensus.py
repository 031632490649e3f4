"""One state from several draws: of a scene, of its mirror image, and from the regression."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radarsparse.config import LATTICE_STRIDE, SamplingSettings
from radarsparse.geometry import Volume
from radarsparse.models.draw_noise import DrawNoise
from radarsparse.models.latent_diffusion import Condition, LatentDiffusion
from radarsparse.models.state import State, mirror_rows, mirror_states
from radarsparse.sparse import SparseTensor
from radarsparse.voxels.batch import make_cells, make_radar

# Left for right: of x, y, z, doppler_mps, power_db.
_MIRROR = np.array([1.0, -1.0, 1.0, 1.0, 1.0], dtype=np.float32)


class Scene(NamedTuple):
    """A radar cloud as a network takes it.

    Attributes:
        radar: of `make_radar`.
        cells: of `make_cells`.
        volume: where.
    """

    radar: SparseTensor
    cells: SparseTensor
    volume: Volume


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


def read_scene(
    points: NDArray[np.float32], volume: Volume, device: torch.device, name: str
) -> Scene:
    """Voxelise a radar cloud.

    Args:
        points: [n, 5] x, y, z [m], doppler_mps, power_db, radar frame.
        volume: where.
        device: of the network.
        name: what to call the cloud in errors.

    Raises:
        InputError: no point lies in the volume.
    """
    radar = make_radar(points, volume, name).to(device)
    return Scene(radar, make_cells([points], volume, device), volume)


def draw_consensus(
    network: LatentDiffusion,
    points: NDArray[np.float32],
    scene: Scene,
    seed: int,
    sampling: SamplingSettings,
) -> Consensus:
    """The state that `sampling` asks for; the same seed gives the same one.

    Args:
        network: which draws.
        points: of the scene, as for `read_scene`.
        scene: of `read_scene`.
        seed: of the noise.
        sampling: how many draws of which views, the regression's share, and whether details are
            drawn anew.
    """
    draw_noise = network.make_noise(seed, scene.cells)
    condition = network.read_radar(scene.radar, scene.cells)
    view = _draw_view(network, condition, draw_noise, sampling)
    if sampling.views == 2:
        other = _draw_mirrored(network, points, scene, draw_noise, sampling)
        latent = State.split(view.draws.mean(0)).latent
        rows = mirror_rows(scene.cells.support, scene.volume.shape[1] // LATTICE_STRIDE)
        view = _View(*(_join(one, two, rows, latent) for one, two in zip(view, other, strict=True)))
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


def _draw_mirrored(
    network: LatentDiffusion,
    points: NDArray[np.float32],
    scene: Scene,
    draw_noise: DrawNoise,
    sampling: SamplingSettings,
) -> _View:
    device = scene.cells.feats.device
    mirrored = read_scene(points * _MIRROR, scene.volume, device, "mirror image")
    condition = network.read_radar(mirrored.radar, mirrored.cells)
    return _draw_view(network, condition, draw_noise, sampling)


def _join(states: Tensor, mirrored: Tensor, rows: Tensor, latent: Tensor) -> Tensor:
    return torch.cat([states, mirror_states(mirrored, rows, latent)])
