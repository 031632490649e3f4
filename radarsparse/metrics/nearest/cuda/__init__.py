"""Nearest neighbours and statistics of distances by the CUDA kernels of `kernels/`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from radarsparse.gpu.compiler import load_kernels
from radarsparse.metrics.nearest.cuda.finite import FiniteCheck
from radarsparse.metrics.nearest.cuda.packed import PackedClouds
from radarsparse.metrics.nearest.cuda.reductions import reduce_both, reduce_direction
from radarsparse.metrics.nearest.cuda.search import find_nearest
from radarsparse.metrics.point import Statistics


def nearest_cuda(
    query: Tensor,
    target: Tensor,
    query_offsets: Tensor | None = None,
    target_offsets: Tensor | None = None,
    check: FiniteCheck | None = None,
) -> tuple[Tensor, Tensor]:
    """`radarsparse.metrics.nearest` on the GPU, without its checks and without a wait for it.

    Exact for the points rounded to float32 after a frame's origin was subtracted in float64, a
    rounding that clouds of float32 don't undergo. The current stream does the work. Equal inputs
    give equal bits.

    Args:
        query: [n, 3] finite metres, float32 or float64.
        target: [m, 3], the same.
        query_offsets: int64 [b + 1], on the same device.
        target_offsets: int64 [b + 1], the same.
        check: told about coordinates that aren't finite.

    Returns:
        float32 [n] square metres, and int64 [n] rows of `target`, any of several equally near; inf
        and -1 where a frame has no target, or none nearer than 1e19 m.

    Raises:
        InputError: there are too many points, or cuda-core isn't installed.
    """
    packed = PackedClouds.join(query, target, query_offsets, target_offsets, check)
    with torch.cuda.device(query.device):
        return find_nearest(load_kernels(query.device), packed, packed.first)


def nearest_both_cuda(
    a: Tensor,
    b: Tensor,
    a_offsets: Tensor | None = None,
    b_offsets: Tensor | None = None,
    check: FiniteCheck | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """`nearest_cuda` from `a` to `b` and from `b` to `a`, which share most of the work."""
    packed = PackedClouds.join(a, b, a_offsets, b_offsets, check)
    with torch.cuda.device(a.device):
        distance2, index = find_nearest(load_kernels(a.device), packed, packed.both)
    sizes = (a.size(0), b.size(0))
    there2, back2 = distance2.split_with_sizes(sizes)
    there, back = index.split_with_sizes(sizes)
    return there2, there, back2, back


def summarize_distances_cuda(
    distance2: Tensor, offsets: Tensor, thresholds_m: Sequence[float], quantiles: Sequence[float]
) -> Statistics:
    """`radarsparse.metrics.statistics.summarize_distances` on the GPU, without a wait for it.

    Distances are read as float32.
    """
    with torch.cuda.device(distance2.device):
        kernels = load_kernels(distance2.device)
        return reduce_direction(kernels, distance2, offsets, thresholds_m, quantiles)


def summarize_both_cuda(
    there2: Tensor, back2: Tensor, thresholds_m: Sequence[float], quantiles: Sequence[float]
) -> Statistics:
    """`summarize_distances_cuda` of both directions between two clouds, as two frames."""
    with torch.cuda.device(there2.device):
        kernels = load_kernels(there2.device)
        return reduce_both(kernels, there2, back2, thresholds_m, quantiles)
