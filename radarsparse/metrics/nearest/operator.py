"""Exact nearest neighbours between clouds, on the CPU and on CUDA, as torch operators."""

import torch
from torch import Tensor

from radarsparse.errors import InputError
from radarsparse.metrics.nearest import cuda
from radarsparse.metrics.nearest.tree import nearest_both_on_cpu, nearest_on_cpu

# So that the square of a distance is a number, too.
COORDINATE_MOST_M = 1e150

Found = tuple[Tensor, Tensor]
FoundBoth = tuple[Tensor, Tensor, Tensor, Tensor]


def nearest(
    query: Tensor,
    target: Tensor,
    query_offsets: Tensor | None = None,
    target_offsets: Tensor | None = None,
) -> Found:
    """Squared distance and index of the target point nearest to each query point.

    Differences are taken before squares, in float64 on the CPU and, about a common origin, in
    float32 on CUDA; the result is the same at every call.

    Args:
        query: [n, 3] metres; n may be 0.
        target: [m, 3] metres, same frame and device as the query.
        query_offsets: int [b + 1], for b clouds one after the other: cloud i owns the rows
            query_offsets[i] .. query_offsets[i + 1]. One cloud by default.
        target_offsets: int [b + 1], the same for the target.

    Returns:
        The squared distances [n] in square metres, in the query's dtype, and the rows of the
        target [n], int64. Which of several equally near points is named is left open. In a batch,
        a query whose target cloud is empty has distance infinity and row -1.

    Raises:
        InputError: clouds, offsets, dtypes or devices don't fit, a coordinate isn't finite, or
            the only target is empty.
    """
    bounds = _check(query, target, query_offsets, target_offsets)
    if target_offsets is None and len(target) == 0:
        raise InputError("target: 0 points found, at least 1 expected")
    return torch.ops.radarsparse.nearest(query.detach(), target.detach(), *bounds)


def nearest_both(
    a: Tensor, b: Tensor, a_offsets: Tensor | None = None, b_offsets: Tensor | None = None
) -> FoundBoth:
    """`nearest(a, b)` and `nearest(b, a)` at once, which share work and threads.

    An empty cloud gives distance infinity and row -1 to every point of the other, and is no error.

    Returns:
        Squared distances and rows from `a` to `b`, then those from `b` to `a`.
    """
    bounds = _check(a, b, a_offsets, b_offsets)
    return torch.ops.radarsparse.nearest_both(a.detach(), b.detach(), *bounds)


def _check(
    query: Tensor, target: Tensor, query_offsets: Tensor | None, target_offsets: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """All but whether coordinates are finite, which the operators see to while they search."""
    if (query_offsets is None) != (target_offsets is None):
        raise InputError("offsets of one cloud found, those of both or of neither expected")
    _check_cloud("query", query)
    _check_cloud("target", target)
    if query.device != target.device:
        raise InputError(f"target is on {target.device}, query on {query.device}; must be equal")
    if query_offsets is None or target_offsets is None:
        return None, None
    queries = _bounds("query", query, query_offsets)
    targets = _bounds("target", target, target_offsets)
    if len(queries) != len(targets):
        raise InputError(
            f"target: {len(targets) - 1} clouds found, {len(queries) - 1} expected as in query"
        )
    return queries, targets


def _check_cloud(name: str, points: Tensor) -> None:
    if not isinstance(points, Tensor) or points.layout != torch.strided:
        raise InputError(f"{name}: {type(points).__name__} found, a dense tensor expected")
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"{name}: shape {tuple(points.shape)} found, (n, 3) expected")
    if points.dtype not in (torch.float32, torch.float64):
        raise InputError(f"{name}: dtype {points.dtype} found, float32 or float64 expected")


def _check_finite(query: Tensor, target: Tensor) -> None:
    for name, points in (("query", query), ("target", target)):
        most = min(COORDINATE_MOST_M, torch.finfo(points.dtype).max)
        within = points.abs() <= most
        if not within.all():
            row = int((~within).any(dim=1).nonzero()[0])
            raise InputError(
                f"{name}: row {row} is {points[row].tolist()}, finite values up to {most:.3g} m"
                " expected"
            )


def _bounds(name: str, points: Tensor, offsets: Tensor) -> Tensor:
    if not isinstance(offsets, Tensor):
        raise InputError(f"{name}: offsets {offsets!r:.60} found, an int tensor (b + 1,) expected")
    if offsets.ndim != 1 or offsets.is_floating_point() or len(offsets) == 0:
        raise InputError(
            f"{name}: offsets {offsets.dtype} {tuple(offsets.shape)} found, int (b + 1,) expected"
        )
    offsets = offsets.long()  # small unsigned numbers would wrap where they descend
    if offsets[0] != 0 or offsets[-1] != len(points) or (offsets.diff() < 0).any():
        raise InputError(f"{name}: offsets {offsets.tolist()} must ascend from 0 to {len(points)}")
    return offsets.to(points.device)


def _nearest_cpu(query: Tensor, target: Tensor, *bounds: Tensor | None) -> Found:
    _check_finite(query, target)
    return nearest_on_cpu(query, target, *bounds)


def _nearest_cuda(query: Tensor, target: Tensor, *bounds: Tensor | None) -> Found:
    with cuda.FiniteCheck(query.device) as check:
        distance2, index = cuda.nearest_cuda(query, target, *bounds, check=check)
    if not check.passed:
        _check_finite(query, target)
    return distance2.to(query.dtype), index


def _nearest_fake(query: Tensor, _target: Tensor, *_bounds: Tensor | None) -> Found:
    return query.new_empty(len(query)), query.new_empty(len(query), dtype=torch.int64)


def _nearest_both_cpu(a: Tensor, b: Tensor, *bounds: Tensor | None) -> FoundBoth:
    _check_finite(a, b)
    return nearest_both_on_cpu(a, b, *bounds)


def _nearest_both_cuda(a: Tensor, b: Tensor, *bounds: Tensor | None) -> FoundBoth:
    with cuda.FiniteCheck(a.device) as check:
        there2, there, back2, back = cuda.nearest_both_cuda(a, b, *bounds, check=check)
    if not check.passed:
        _check_finite(a, b)
    return there2.to(a.dtype), there, back2.to(b.dtype), back


def _nearest_both_fake(a: Tensor, b: Tensor, *_bounds: Tensor | None) -> FoundBoth:
    return *_nearest_fake(a, b), *_nearest_fake(b, a)


# By hand, since `torch.library.custom_op` imports a compiler, which takes a second.
_LIBRARY = torch.library.Library("radarsparse", "DEF")
_LIBRARY.define(
    "nearest(Tensor q, Tensor t, Tensor? q_offsets, Tensor? t_offsets) -> (Tensor, Tensor)"
)
_LIBRARY.define(
    "nearest_both(Tensor a, Tensor b, Tensor? a_offsets, Tensor? b_offsets)"
    " -> (Tensor, Tensor, Tensor, Tensor)"
)
_LIBRARY.impl("nearest", _nearest_cpu, "CPU")
_LIBRARY.impl("nearest", _nearest_cuda, "CUDA")
_LIBRARY.impl("nearest_both", _nearest_both_cpu, "CPU")
_LIBRARY.impl("nearest_both", _nearest_both_cuda, "CUDA")
torch.library.register_fake("radarsparse::nearest", _nearest_fake, lib=_LIBRARY)
torch.library.register_fake("radarsparse::nearest_both", _nearest_both_fake, lib=_LIBRARY)
