"""Exact nearest neighbours between two clouds."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from torch import Tensor

from radarsparse.errors import InputError


def nearest(query: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distance and index of the target point nearest to each query point.

    Args:
        query: [n, 3] metres, any device; n may be 0.
        target: [m, 3] metres, same frame as the query, any device.

    Returns:
        The squared distances [n] in square metres, in the query's dtype, and the rows of the
        target [n], int64, both on the query's device. Which of several equally near points is
        named is left open.

    Raises:
        InputError: the target is empty, or a cloud isn't [n, 3].
        ValueError: a coordinate isn't finite.
    """
    for name, points in (("query", query), ("target", target)):
        if points.ndim != 2 or points.shape[1] != 3:
            raise InputError(f"{name}: shape {tuple(points.shape)} found, (n, 3) expected")
    if len(target) == 0:
        raise InputError("target: 0 points found, at least 1 expected")
    distance2, index = _search(_to_float64(query), _to_float64(target))
    return (
        torch.from_numpy(distance2).to(query.device, query.dtype),
        torch.from_numpy(index).to(query.device),
    )


def _to_float64(points: Tensor) -> NDArray[np.float64]:
    return points.detach().cpu().numpy().astype(np.float64)


def _search(
    query: NDArray[np.float64], target: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    # Without the two flags the tree degenerates when queries lie far from a thin surface.
    origin = target.mean(axis=0)
    tree = KDTree(target - origin, balanced_tree=False, compact_nodes=False)
    index = np.asarray(tree.query(query - origin)[1], dtype=np.int64)
    # Squaring the tree's rooted distance would lose the last bits.
    difference = query - target[index]
    return np.square(difference).sum(axis=1), index
