"""Means per sample, weighted sums of named losses, and the precision that both need."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Term = tuple[str, float, Callable[[], Tensor]]
"""A loss: the name under which it is logged, its weight in the total, and what computes it."""


def means_by_sample(values: Tensor, sample: Tensor, batch_size: int, weights: Tensor) -> Tensor:
    """Weighted means within each sample, [..., batch_size].

    Args:
        values: [..., n].
        sample: int64 [n], which sample a row belongs to.
        batch_size: number of samples; those without weight count as zero.
        weights: [..., n], at least 0.
    """
    weights = weights.to(values.dtype)
    total, weight = (
        summed.new_zeros(*summed.shape[:-1], batch_size).scatter_add(
            -1, sample.expand_as(summed), summed
        )
        for summed in (values * weights, weights)
    )
    return total / weight.clamp(min=1e-12)


def mean_per_sample(
    values: Tensor, sample: Tensor, batch_size: int, weights: Tensor | None = None
) -> Tensor:
    """Mean within each sample, then the mean over samples; arguments of `means_by_sample`."""
    weights = torch.ones_like(values) if weights is None else weights
    return means_by_sample(values, sample, batch_size, weights).mean()


def weigh(terms: Iterable[Term]) -> dict[str, Tensor]:
    """Every loss whose weight isn't 0 by its name, and their weighted sum as `total`.

    A loss of weight 0 is not computed.

    Raises:
        ValueError: no term has a weight.
    """
    kept = [term for term in terms if term[1] > 0]
    if not kept:
        raise ValueError("no loss has a weight above 0")
    losses = {name: compute() for name, _, compute in kept}
    weighted = [weight * losses[name] for name, weight, _ in kept]
    return {**losses, "total": torch.stack(weighted).sum()}


def widen(values: Tensor) -> Tensor:
    """The same values in float32 at least, since half precision can't hold a mean."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
