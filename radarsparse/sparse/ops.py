"""Operations on supports: prune, union, look-up, fill, children."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from radarsparse.sparse.plan import Plan, children_plan, kernel_offsets, strided_plan
from radarsparse.sparse.tensor import (
    SparseTensor,
    Support,
    constant,
    double_keys,
    pack_keys,
    pack_step,
)


def prune(x: SparseTensor, keep: Bool[Tensor, " n"]) -> SparseTensor:
    """Drop the rows where `keep` is False."""
    rows = keep.nonzero()[:, 0]
    support = Support(x.support.keys[rows], x.batch_size, x.stride)
    return SparseTensor.on(support, x.feats[rows])


def union_support(a: Support, b: Support) -> Support:
    """All voxels that are active in either support.

    Raises:
        ValueError: strides or batch sizes differ.
    """
    _check_same_grid(a, b)
    new = (~a.find(b.keys)[1]).nonzero()[:, 0]
    keys = torch.cat([a.keys, b.keys[new]]).sort().values
    return Support(keys, a.batch_size, a.stride)


def union(a: SparseTensor, b: SparseTensor) -> SparseTensor:
    """Sum of two sparse tensors on all voxels that are active in either.

    Raises:
        ValueError: strides, batch sizes or channels differ.
    """
    support = union_support(a.support, b.support)
    return SparseTensor.on(support, fill(a, support).feats + fill(b, support).feats)


def look_up(
    x: SparseTensor, coords: Int[Tensor, "m 4"]
) -> tuple[Float[Tensor, "m c"], Bool[Tensor, " m"]]:
    """Features at given voxels, zero where `x` has none.

    Args:
        x: the tensor that is asked.
        coords: (batch, x, y, z) at the stride of `x`, in any order, repeats allowed.

    Returns:
        The features, and whether the voxel is active in `x`.
    """
    return take(x, pack_keys(coords))


def fill(x: SparseTensor, support: Support) -> SparseTensor:
    """Features of `x` on another support of the same stride, zero where `x` has none.

    Raises:
        ValueError: strides or batch sizes differ.
    """
    _check_same_grid(x.support, support)
    return SparseTensor.on(support, take(x, support.keys)[0])


def children(parents: Support, keep: Bool[Tensor, "n 8"] | None = None) -> tuple[Support, Plan]:
    """The 2x2x2 children of each voxel, and the plan that leads to them.

    Args:
        parents: voxels at an even stride.
        keep: which children exist, in lexicographic (dx, dy, dz) order; all by default.

    Raises:
        ValueError: the stride is odd, so that there is no finer grid.
    """
    if parents.stride % 2:
        raise ValueError(f"voxels of stride {parents.stride} have no children on a whole grid")
    if keep is None:
        keep = torch.ones(len(parents), 8, dtype=torch.bool, device=parents.coords.device)
    parent, octant = keep.nonzero(as_tuple=True)
    keys, order = _child_keys(parents)[parent, octant].sort()
    fine = Support(keys, parents.batch_size, parents.stride // 2)
    return fine, children_plan(parent[order], octant[order], len(parents))


def active_children(parents: Support, fine: Support) -> Bool[Tensor, "n 8"]:
    """Which of the 2x2x2 children of each voxel are active in a finer support."""
    return fine.find(_child_keys(parents))[1]


def _child_keys(parents: Support) -> Int[Tensor, "n 8"]:
    """Keys of all children of each voxel."""
    steps = tuple(pack_step(*offset) for offset in kernel_offsets(2))
    return double_keys(parents.keys)[:, None] + constant(steps, parents.keys.device)


def parent_support(fine: Support) -> Support:
    """The voxels of twice the stride that hold at least one voxel of `fine`."""
    return strided_plan(fine, 2, 2)[1]


def take(
    x: SparseTensor, keys: Int[Tensor, " m"]
) -> tuple[Float[Tensor, "m c"], Bool[Tensor, " m"]]:
    """As `look_up`, at voxels that are given by their keys."""
    row, there = x.support.find(keys)
    if len(x.feats) == 0:
        return x.feats.new_zeros(len(keys), x.feats.shape[1]), there
    return x.feats.index_select(0, row) * there[:, None], there


def _check_same_grid(a: Support, b: Support) -> None:
    if (a.stride, a.batch_size) != (b.stride, b.batch_size):
        raise ValueError(
            f"stride {a.stride} and batch size {a.batch_size} don't fit stride {b.stride} and"
            f" batch size {b.batch_size}"
        )


def finer_supports(support: Support) -> list[Support]:
    """The supports at strides 4, 2 and 1 of voxels of stride 1."""
    stride2 = parent_support(support)
    return [parent_support(stride2), stride2, support]
