"""Statistics of distances, kernel by kernel: see `kernels/statistics.cu`."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from radarsparse.metrics.cuda.frames import Part, check_size
from radarsparse.metrics.cuda.loader import Kernels
from radarsparse.metrics.statistics import Statistics

# The constants of kernels/statistics.cu.
_SHIFT = 11
_THREADS = 256
_FIRST_BINS = 2048
_NEXT_BINS = 1024
_STEPS = 3


def summarize(
    kernels: Kernels,
    distance2: Tensor,
    offsets: Tensor,
    thresholds_m: Sequence[float],
    quantiles: Sequence[float],
) -> Statistics:
    """Sums, maximum, counts under thresholds and quantiles of every frame's distances.

    Args:
        kernels: what runs the kernels, on the device of the distances.
        distance2: [n], read as float32, in which the search finds them.
        offsets: int64 [b + 1].
        thresholds_m: t of them.
        quantiles: q of them.

    Raises:
        InputError: there are too many distances or frames.
    """
    part = Part(len(distance2), len(offsets) - 1)
    check_size(*part)
    distance2, starts = distance2.float().contiguous(), offsets.int()
    limits = _constants(tuple(thresholds_m), distance2.device)
    shares = _constants(tuple(quantiles), distance2.device)
    blocks = part.blocks(_SHIFT)
    partials = limits.new_empty((blocks, 3))
    hits = torch.zeros((part.segments, len(limits)), dtype=torch.int64, device=limits.device)
    histogram = starts.new_zeros((part.segments, _FIRST_BINS))
    arguments = (distance2, starts, part.segments, limits, len(limits), partials, hits, histogram)
    kernels.launch("sum_blocks", (blocks, 1), _THREADS, *arguments)
    values = _select(kernels, distance2, starts, shares, histogram)
    sums = limits.new_empty((part.segments, 3))
    quantiles_m = limits.new_empty((part.segments, len(shares)))
    arguments = (starts, partials, shares, len(shares), values, sums, quantiles_m)
    kernels.launch("finish_frames", (part.segments, 1), _THREADS, *arguments)
    return Statistics(offsets.diff(), sums[:, 0], sums[:, 1], sums[:, 2], hits, quantiles_m)


def _select(
    kernels: Kernels, distance2: Tensor, starts: Tensor, shares: Tensor, histogram: Tensor
) -> Tensor:
    """Bits [b, 2 q] of the distances between which each quantile lies."""
    part = Part(len(distance2), len(starts) - 1)
    ranks = 2 * len(shares)
    values, remaining = starts.new_empty((2, part.segments, ranks)).unbind(0)
    rows = (part.segments * ranks, 1)
    for step in range(_STEPS):
        if step > 0:
            histogram = starts.new_zeros((part.segments, ranks, _NEXT_BINS))
            arguments = (distance2, starts, part.segments, ranks, step, values, histogram)
            kernels.launch("count_bins", (part.blocks(_SHIFT), 1), _THREADS, *arguments)
        arguments = (starts, shares, ranks, step, histogram, values, remaining)
        kernels.launch("pick_bins", rows, _THREADS, *arguments)
    return values


@lru_cache(maxsize=64)
def _constants(values: tuple[float, ...], device: torch.device) -> Tensor:
    # Kept, because a copy from the host waits for the GPU.
    return torch.tensor(values, dtype=torch.float64, device=device)
