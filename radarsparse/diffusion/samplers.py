"""Samplers as plain functions of a closure `denoise(feats, sigma)`, on [n, c] tensors."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

Denoise = Callable[[Tensor, Tensor], Tensor]


def heun(denoise: Denoise, start: Tensor, sigmas: Tensor) -> Tensor:
    """Follow the probability-flow ODE with Heun's second-order steps; the last step is Euler's.

    Args:
        denoise: maps ([n, c] features, scalar sigma) to the estimate of the clean features.
        start: [n, c] the noisy state at the first noise level.
        sigmas: [steps + 1] descending, the last one 0.

    Returns:
        [n, c] clean features, in the dtype of `start`.

    Source: Karras et al. 2022, Algorithm 1.
    """
    state = start.to(torch.float64)
    for sigma, sigma_next in pairwise(sigmas):
        slope = _slope(denoise, state, sigma, start.dtype)
        stepped = state + (sigma_next - sigma) * slope
        if sigma_next > 0:
            slope_next = _slope(denoise, stepped, sigma_next, start.dtype)
            stepped = state + (sigma_next - sigma) * 0.5 * (slope + slope_next)
        state = stepped
    return state.to(start.dtype)


def multistep(
    denoise: Denoise, start: Tensor, sigmas: Tensor, draw_noise: Callable[[], Tensor]
) -> Tensor:
    """Jump to clean features and back to the next lower noise level, with fresh noise each time.

    Args:
        denoise: a consistency function; maps ([n, c] features, scalar sigma) to clean features.
        start: [n, c] the noisy state at the first noise level.
        sigmas: [steps] descending, all above 0.
        draw_noise: gives standard normal draws in the shape of `start`.

    Source: Song et al. 2023, Consistency Models, Algorithm 1, with the boundary at 0.
    """
    clean = denoise(start, sigmas[0].to(start.dtype))
    for sigma in sigmas[1:].to(start.dtype):
        clean = denoise(clean + sigma * draw_noise(), sigma)
    return clean


def _slope(denoise: Denoise, state: Tensor, sigma: Tensor, dtype: torch.dtype) -> Tensor:
    clean = denoise(state.to(dtype), sigma.to(dtype)).to(torch.float64)
    return (state - clean) / sigma
