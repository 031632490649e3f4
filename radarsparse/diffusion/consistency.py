"""Consistency training: pairs of noise levels on one path, and how a teacher moves along it."""

from collections.abc import Callable

import torch
from torch import Tensor

from radarsparse.config import DiffusionSettings
from radarsparse.diffusion.schedule import sampling_sigmas

# Of Geng et al. 2024, section 3.3: how far apart pairs start, and where along the path.
_RATIO = 2.0
_WIDENING = 8.0
_SLOPE = 1.0

RowDenoise = Callable[[Tensor, Tensor], Tensor]
"""Maps [n, c] features and [n, 1] noise levels to the estimate of the clean features."""


def earlier_sigma(sigma: Tensor, halvings: Tensor) -> Tensor:
    """The lower noise level of a pair, 0 where the pair reaches down to clean features.

    Args:
        sigma: the higher level, above 0.
        halvings: how often the gap has been halved since training began, broadcast with `sigma`.

    Source: Geng et al. 2024, Consistency Models Made Easy, Eq. 15, with its n(t) as a sigmoid.
    """
    widened = 1.0 + _WIDENING * torch.sigmoid(-_SLOPE * sigma)
    return (sigma * (1.0 - widened / _RATIO ** (halvings + 1.0))).clamp(min=0.0)


def pair_weight(sigma: Tensor, earlier: Tensor) -> Tensor:
    """How much more a pair counts than one that reaches down to clean features.

    Errors of close pairs are small in proportion to the gap.

    Source: Geng et al. 2024, Eq. 14, the weight 1 / (t - r), here relative to 1 / t.
    """
    return sigma / (sigma - earlier)


def scale_pairs(uniform: Tensor, scales: int, settings: DiffusionSettings) -> tuple[Tensor, Tensor]:
    """Neighbouring levels of the sampler's walk: the higher and the lower one of each pair.

    Args:
        uniform: in 0 .. 1, which pair.
        scales: number of pairs.
        settings: where the walk starts and how it is curved.

    Source: Song et al. 2023, Consistency Models, Algorithm 2.
    """
    sigmas = sampling_sigmas(scales, settings.sigma_max, settings).to(uniform)
    number = (uniform * scales).long().clamp(max=scales - 1)
    return sigmas[number], sigmas[number + 1]


def step_down(denoise: RowDenoise, state: Tensor, sigma: Tensor, lower: Tensor) -> Tensor:
    """One step of Heun's method on every row; Euler's where it ends at 0.

    Args:
        denoise: the teacher.
        state: [n, c] at level `sigma`.
        sigma: [n, 1] above 0.
        lower: [n, 1] where to go, at least 0.

    Source: Karras et al. 2022, Algorithm 1.
    """
    slope = (state - denoise(state, sigma)) / sigma
    reached = state + (lower - sigma) * slope
    inside = torch.where(lower > 0, lower, sigma)
    slope_there = (reached - denoise(reached, inside)) / inside
    better = state + (lower - sigma) * 0.5 * (slope + slope_there)
    return torch.where(lower > 0, better, reached)
