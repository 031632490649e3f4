"""The statistics of `metrics/statistics.py` on CUDA, kernel by kernel: `kernels/statistics.cu`."""

from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor

from radarsparse.gpu.compiler import Kernels
from radarsparse.gpu.signatures import Argument
from radarsparse.metrics.nearest.cuda.packed import Prefix, check_size
from radarsparse.metrics.point import Statistics

# The constants of kernels/statistics.cu.
_SHIFT = 11
_THREADS = 256
_FIRST_BINS = 2048
_NEXT_BINS = 1024
_STEPS = 3


def reduce_direction(
    kernels: Kernels,
    distance2: Tensor,
    offsets: Tensor,
    thresholds_m: Sequence[float],
    quantiles: Sequence[float],
) -> Statistics:
    """`summarize_distances` by kernels on the device of the distances.

    They are read as float32, in which the search finds them.

    Raises:
        InputError: there are too many distances or frames.
    """
    prefix = Prefix(distance2.size(0), offsets.size(0) - 1)
    frames = (_floats(distance2), None, prefix.points, 0, offsets.contiguous(), prefix.segments)
    return _summarize(kernels, frames, prefix, thresholds_m, quantiles)


def reduce_both(
    kernels: Kernels,
    there2: Tensor,
    back2: Tensor,
    thresholds_m: Sequence[float],
    quantiles: Sequence[float],
) -> Statistics:
    """`reduce_direction` of two arrays of distances, as two frames."""
    counts = there2.size(0), back2.size(0)
    prefix = Prefix(sum(counts), 2)
    frames = (_floats(there2), _floats(back2), *counts, None, prefix.segments)
    return _summarize(kernels, frames, prefix, thresholds_m, quantiles)


def _summarize(
    kernels: Kernels,
    frames: tuple[Argument, ...],
    prefix: Prefix,
    thresholds_m: Sequence[float],
    quantiles: Sequence[float],
) -> Statistics:
    check_size(*prefix)
    device = cast(Tensor, frames[0]).device
    limits = _constants(tuple(thresholds_m), device)
    shares = _constants(tuple(quantiles), device)
    asked = (limits, len(thresholds_m), shares, len(quantiles))
    blocks = (prefix.blocks(_SHIFT), 1)
    work_size = prefix.segments * _integers_per_frame(len(thresholds_m), len(quantiles))
    work = limits.new_zeros(work_size, dtype=torch.int32)
    partials = limits.new_empty((blocks[0], 3))
    sums = limits.new_empty((prefix.segments, 3))
    counts = limits.new_empty(prefix.segments, dtype=torch.int64)
    hits = limits.new_empty((prefix.segments, len(thresholds_m)), dtype=torch.int64)
    arguments = (*frames, *asked, work, partials, sums, counts, hits)
    kernels.launch("sum_frames", blocks, _THREADS, *arguments)
    quantiles_m = limits.new_empty((prefix.segments, len(quantiles)))
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
