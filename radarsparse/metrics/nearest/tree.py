"""Exact nearest neighbours on the CPU, by a k-d tree of pykdtree or SciPy."""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Search = Callable[[Floats, Floats], Ints]
Found = tuple[Tensor, Tensor]

# Measured on LiDAR clouds of 100,000 points: 16 and 32 are slower.
_LEAF_POINTS = 24
_COLUMNS = 1024
# More copies than this make SciPy's tree slow, since it can't split them.
_COPIES_MOST = 0.01


def nearest_on_cpu(
    query: Tensor, target: Tensor, query_offsets: Tensor | None, target_offsets: Tensor | None
) -> Found:
    """Squared distance and target row, as `radarsparse.metrics.nearest` gives them."""
    distance2, index = np.full(len(query), np.inf), np.full(len(query), -1)
    queries, targets = (points.numpy().astype(np.float64) for points in (query, target))
    frames = zip(_limits(query, query_offsets), _limits(target, target_offsets), strict=True)
    for (start, end), (first, last) in frames:
        if start < end and first < last:
            found = _search_frame(queries[start:end], targets[first:last])
            distance2[start:end], index[start:end] = found[0], found[1] + first
    return torch.from_numpy(distance2).to(query.dtype), torch.from_numpy(index)


def nearest_both_on_cpu(
    a: Tensor, b: Tensor, a_offsets: Tensor | None, b_offsets: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both directions, side by side where torch may use more than one thread."""
    ways = ((a, b, a_offsets, b_offsets), (b, a, b_offsets, a_offsets))
    if torch.get_num_threads() == 1:
        there, back = (nearest_on_cpu(*way) for way in ways)
    else:
        with ThreadPoolExecutor(2) as pool:
            there, back = pool.map(lambda way: nearest_on_cpu(*way), ways)
    return *there, *back


@lru_cache(maxsize=1)
def choose_search() -> Search:
    """The faster of the trees that are installed; it says once which one that is."""
    name, search = ("SciPy", search_scipy)
    if find_spec("pykdtree"):
        name, search = ("pykdtree", search_pykdtree)
    logging.getLogger(__name__).info("nearest neighbours: %s on the CPU", name)
    return search


def _limits(points: Tensor, offsets: Tensor | None) -> Iterable[tuple[int, int]]:
    return pairwise([0, len(points)] if offsets is None else offsets.tolist())


def _search_frame(query: Floats, target: Floats) -> tuple[Floats, Ints]:
    distinct = _distinct_rows(target)
    # Neighbours that follow each other walk the same way through the tree.
    order = _along_columns(query)
    near = choose_search()(query[order], target[distinct])
    index = np.empty(len(query), dtype=np.int64)
    index[order] = distinct[near]
    # From the coordinates, since squaring the tree's rooted distance loses the last bits.
    return np.square(query - target[index]).sum(axis=1), index


def search_scipy(query: Floats, target: Floats) -> Ints:
    """Row of the nearest target point, by SciPy."""
    # Without the two flags the tree degenerates when queries lie far from a thin surface.
    tree = KDTree(target, leafsize=_LEAF_POINTS, balanced_tree=False, compact_nodes=False)
    return np.asarray(tree.query(query)[1], dtype=np.int64)


def search_pykdtree(query: Floats, target: Floats) -> Ints:
    """Row of the nearest target point, by pykdtree."""
    tree: Any = import_module("pykdtree.kdtree")
    return tree.KDTree(target, leafsize=_LEAF_POINTS).query(query)[1].astype(np.int64)


def _along_columns(points: Floats) -> Ints:
    """An order in which points of the same upright column follow each other."""
    low = points[:, :2].min(axis=0)
    side = np.maximum(points[:, :2].max(axis=0) - low, np.finfo(np.float64).tiny)
    x, y = ((points[:, :2] - low) / side * (_COLUMNS - 1)).astype(np.int32).T
    return np.argsort(x * _COLUMNS + y)


def _distinct_rows(points: Floats) -> Ints:
    """Rows that hold every point once; all of them where copies are few."""
    keys = np.ascontiguousarray(points).view(np.int64) @ _MIX
    copies = (np.diff(np.sort(keys)) == 0).mean() if len(keys) > 1 else 0.0
    if copies <= _COPIES_MOST:
        return np.arange(len(points))
    return np.unique(points, axis=0, return_index=True)[1]


# Odd numbers without a pattern: products of distinct points wrap to distinct keys.
_MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64).view(
    np.int64
)
