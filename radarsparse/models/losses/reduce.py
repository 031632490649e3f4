"""Means per sample, weighted sums of named losses, and the precision that both need."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor


class Term(NamedTuple):
    """A loss by name.

    Attributes:
        name: under which it is logged.
        weight: in the total; a loss of weight 0 is never computed.
        compute: gives the loss.
    """

    name: str
    weight: float
    compute: Callable[[], Tensor]


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


def mean_per_sample(values: Tensor, sample: Tensor, batch_size: int, weights: Tensor) -> Tensor:
    """Weighted mean within each sample, then the mean over samples; see `means_by_sample`."""
    return means_by_sample(values, sample, batch_size, weights).mean()


def weigh(terms: Iterable[Term]) -> dict[str, Tensor]:
    """Every loss whose weight isn't 0 by its name, and their weighted sum as `total`.

    Raises:
        ValueError: no term has a weight.
    """
    kept = [term for term in terms if term.weight > 0]
    if not kept:
        raise ValueError("no loss has a weight above 0")
    losses = {term.name: term.compute() for term in kept}
    weighted = [term.weight * losses[term.name] for term in kept]
    return {**losses, "total": torch.stack(weighted).sum()}


def widen(values: Tensor) -> Tensor:
    """The same values in float32 at least, since half precision can't hold a mean."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
