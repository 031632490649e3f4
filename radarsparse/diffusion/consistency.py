"""Consistency training: pairs of noise levels on one path, and how a teacher moves along it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from radarsparse.config import DiffusionSettings
from radarsparse.diffusion.schedule import sampling_sigmas

# Of Geng et al. 2024, section 3.3: how far apart pairs start, and where along the path.
_RATIO = 2.0
_WIDENING = 8.0
_SLOPE = 1.0

SampleDenoise = Callable[[Tensor, Tensor], Tensor]
"""Maps [n, c] features and [b] noise levels to the estimate of the clean features."""

OnRows = Callable[[Sequence[Tensor]], Sequence[Tensor]]
"""Maps numbers of each sample, [b], to numbers of each of its rows, [n, 1]."""


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


def step_down(
    denoise: SampleDenoise, state: Tensor, sigma: Tensor, lower: Tensor, on_rows: OnRows
) -> Tensor:
    """One step of Heun's method on every sample; Euler's where it ends at 0.

    Args:
        denoise: the teacher.
        state: [n, c] at level `sigma`.
        sigma: [b] above 0.
        lower: [b] where to go, at least 0.
        on_rows: numbers of each sample at each of its rows.

    Source: Karras et al. 2022, Algorithm 1.
    """
    gap, inside = lower - sigma, torch.where(lower > 0, lower, sigma)
    here, there, step, half, end = on_rows((sigma, inside, gap, gap * 0.5, lower))
    slope = (state - denoise(state, sigma)) / here
    reached = state + step * slope
    slope_there = (reached - denoise(reached, inside)) / there
    better = state + half * (slope + slope_there)
    return torch.where(end > 0, better, reached)
