"""Nearest neighbours and statistics of distances by the CUDA kernels of `kernels/`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from radarsparse.gpu.compiler import load_kernels
from radarsparse.metrics.nearest.cuda.finite import FiniteCheck
from radarsparse.metrics.nearest.cuda.layout import PackedClouds
from radarsparse.metrics.nearest.cuda.reductions import summarize, summarize_both
from radarsparse.metrics.nearest.cuda.search import find_nearest
from radarsparse.metrics.statistics import Statistics

__all__ = [
    "FiniteCheck",
    "nearest_both_cuda",
    "nearest_cuda",
    "summarize_both_cuda",
    "summarize_distances_cuda",
]


def nearest_cuda(
    query: Tensor,
    target: Tensor,
    query_offsets: Tensor | None = None,
    target_offsets: Tensor | None = None,
    check: FiniteCheck | None = None,
) -> tuple[Tensor, Tensor]:
    """Squared distance and index of the target point nearest to each query point of its frame.

    Exact for the points rounded to float32 after a frame's origin was subtracted in float64, a
    rounding that clouds of float32 don't undergo. The current stream does the work; the host
    doesn't wait for it. Equal inputs give equal bits.

    Args:
        query: [n, 3] finite metres, float32 or float64, CUDA.
        target: [m, 3] finite metres, same frame of reference and device.
        query_offsets: int64 [b + 1] frame i owns query[query_offsets[i] .. query_offsets[i + 1]];
            one frame by default.
        target_offsets: int64 [b + 1] of the target.
        check: told about coordinates that aren't finite.

    Returns:
        float32 [n] square metres, and int64 [n] rows of `target`, any of several equally near; inf
        and -1 where a frame has no target, or none nearer than 1e19 m.

    Raises:
        InputError: there are too many points, or cuda-core isn't installed.
    """
    frames = PackedClouds.join(query, target, query_offsets, target_offsets, check)
    with torch.cuda.device(query.device):
        return find_nearest(load_kernels(query.device), frames, frames.first)


def nearest_both_cuda(
    a: Tensor,
    b: Tensor,
    a_offsets: Tensor | None = None,
    b_offsets: Tensor | None = None,
    check: FiniteCheck | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`nearest_cuda` from `a` to `b` and from `b` to `a`, which share most of the work."""
    frames = PackedClouds.join(a, b, a_offsets, b_offsets, check)
    with torch.cuda.device(a.device):
        distance2, index = find_nearest(load_kernels(a.device), frames, frames.both)
    sizes = (a.size(0), b.size(0))
    there2, back2 = distance2.split_with_sizes(sizes)
    there, back = index.split_with_sizes(sizes)
    return there2, there, back2, back


def summarize_distances_cuda(
    distance2: Tensor, offsets: Tensor, thresholds_m: Sequence[float], quantiles: Sequence[float]
) -> Statistics:
    """`radarsparse.metrics.statistics.summarize_distances` on the GPU, without a wait for it.

    Args:
        distance2: [n], read as float32: squared distances, square metres, frame after frame;
            may be infinite.
        offsets: int64 [b + 1] frame i owns distance2[offsets[i] .. offsets[i + 1]], same device.
        thresholds_m: nearer counts, equal doesn't.
        quantiles: shares, 0 to 1.
    """
    with torch.cuda.device(distance2.device):
        kernels = load_kernels(distance2.device)
        return summarize(kernels, distance2, offsets, thresholds_m, quantiles)


def summarize_both_cuda(
    there2: Tensor, back2: Tensor, thresholds_m: Sequence[float], quantiles: Sequence[float]
) -> Statistics:
    """`radarsparse.metrics.statistics.summarize_both` on the GPU, without a wait for it.

    Args:
        there2: [n], read as float32: squared distances, square metres; may be infinite.
        back2: [m], the same, same device.
        thresholds_m: nearer counts, equal doesn't.
        quantiles: shares, 0 to 1.
    """
    with torch.cuda.device(there2.device):
        kernels = load_kernels(there2.device)
        return summarize_both(kernels, there2, back2, thresholds_m, quantiles)
