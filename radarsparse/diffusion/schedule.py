"""Noise levels: which ones training draws and which ones sampling walks down."""

import torch
from torch import Tensor

from radarsparse.config import DiffusionSettings


def lognormal_sigma(normal: Tensor, p_mean: float, p_std: float) -> Tensor:
    """Log-normal noise levels for training from standard normal draws, same shape.

    Source: Karras et al. 2022, Table 1: ln(sigma) ~ N(P_mean, P_std^2).
    """
    return (p_mean + p_std * normal).exp()


def sampling_sigmas(steps: int, start: float, settings: DiffusionSettings) -> Tensor:
    """Noise levels from `start` down to sigma_min, then 0: float64 [steps + 1].

    Source: Karras et al. 2022, Eq. 5, whose sigma_max is `start`.

    Raises:
        ValueError: `steps` is below 1.
    """
    if steps < 1:
        raise ValueError(f"steps {steps} must be at least 1")
    root_max = start ** (1.0 / settings.rho)
    root_min = settings.sigma_min ** (1.0 / settings.rho)
    share = torch.linspace(0.0, 1.0, steps, dtype=torch.float64)
    sigmas = (root_max + share * (root_min - root_max)) ** settings.rho
    return torch.cat([sigmas, sigmas.new_zeros(1)])


def few_step_sigmas(steps: int, start: float, last: float) -> Tensor:
    """Noise levels of the multistep sampler, each the same fraction of the one before.

    Args:
        steps: number of levels.
        start: the first one.
        last: the last one where there are several; no higher than `start`.

    Returns:
        float64 [steps].

    Raises:
        ValueError: `steps` is below 1.
    """
    if steps < 1:
        raise ValueError(f"steps {steps} must be at least 1")
    share = torch.linspace(0.0, 1.0, steps, dtype=torch.float64)
    return start * (min(last, start) / start) ** share
