"""Statistics of distances, kernel by kernel: see `kernels/statistics.cu`."""

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor

from radarsparse.gpu.compiler import Kernels
from radarsparse.gpu.signatures import Argument
from radarsparse.metrics.nearest.cuda.layout import Prefix, check_size
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
    part = Prefix(distance2.size(0), offsets.size(0) - 1)
    values = _floats(distance2)
    frames = (values, None, part.points, 0, offsets.contiguous(), part.segments)
    return _summarize(kernels, frames, part, thresholds_m, quantiles)


def summarize_both(
    kernels: Kernels,
    there2: Tensor,
    back2: Tensor,
    thresholds_m: Sequence[float],
    quantiles: Sequence[float],
) -> Statistics:
    """`summarize` of two arrays of distances, as two frames.

    Args:
        kernels: what runs the kernels, on the device of the distances.
        there2: [n], read as float32.
        back2: [m], read as float32.
        thresholds_m: t of them.
        quantiles: q of them.

    Raises:
        InputError: there are too many distances.
    """
    counts = there2.size(0), back2.size(0)
    part = Prefix(sum(counts), 2)
    frames = (_floats(there2), _floats(back2), *counts, None, part.segments)
    return _summarize(kernels, frames, part, thresholds_m, quantiles)


def _summarize(
    kernels: Kernels,
    frames: tuple[Argument, ...],
    part: Prefix,
    thresholds_m: Sequence[float],
    quantiles: Sequence[float],
) -> Statistics:
    check_size(*part)
    device = cast(Tensor, frames[0]).device
    limits = _constants(tuple(thresholds_m), device)
    shares = _constants(tuple(quantiles), device)
    asked = (limits, len(thresholds_m), shares, len(quantiles))
    blocks = (part.blocks(_SHIFT), 1)
    work_size = part.segments * _integers_per_frame(len(thresholds_m), len(quantiles))
    work = limits.new_zeros(work_size, dtype=torch.int32)
    partials = limits.new_empty((blocks[0], 3))
    sums = limits.new_empty((part.segments, 3))
    counts = limits.new_empty(part.segments, dtype=torch.int64)
    hits = limits.new_empty((part.segments, len(thresholds_m)), dtype=torch.int64)
    arguments = (*frames, *asked, work, partials, sums, counts, hits)
    kernels.launch("sum_frames", blocks, _THREADS, *arguments)
    quantiles_m = limits.new_empty((part.segments, len(quantiles)))
    for step in range(1, _STEPS if len(quantiles) > 0 else 1):
        arguments = (*frames, *asked[1:], step, work, quantiles_m)
        kernels.launch("narrow_ranks", blocks, _THREADS, *arguments)
    sum_m, sum_sq_m2, max_m = sums.unbind(1)
    return Statistics(counts, sum_m, sum_sq_m2, max_m, hits, quantiles_m)


def _integers_per_frame(thresholds: int, quantiles: int) -> int:
    """Of `Work` in the kernels."""
    per_rank = (_STEPS - 1) * _NEXT_BINS + 2
    return _STEPS + thresholds + _FIRST_BINS + 2 * quantiles * per_rank


def _floats(distance2: Tensor) -> Tensor:
    return distance2.float().contiguous()


@lru_cache(maxsize=64)
def _constants(values: tuple[float, ...], device: torch.device) -> Tensor:
    # Kept, because a copy from the host waits for the GPU.
    return torch.tensor(values, dtype=torch.float64, device=device)
