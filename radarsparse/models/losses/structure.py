"""Losses of how a decoded point lies to the points of the voxels around it.

Points are counted in half voxels, as offsets are: the centres of neighbours are 2 apart.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from radarsparse.models.losses.detail import ComparedVoxels
from radarsparse.models.losses.reduce import mean_per_sample
from radarsparse.sparse.plan import submanifold_plan

_KERNEL = 3
# Spreads that differ by less than this share of the largest have no directions in float32.
_GAP_MIN = 1e-3

NeighbourPairs = tuple[Tensor, Tensor]


def neighbour_loss(match: ComparedVoxels) -> Tensor:
    """Error of the vector between the points of true voxels that touch, in half voxels.

    An error that neighbours share costs nothing here.
    """
    error = match.feats[:, :3] - match.target[:, :3]
    a, b = _true_pairs(match)
    between = (error[a] - error[b]).abs().mean(1)
    return mean_per_sample(between, match.support.coords[a, 0], match.support.batch_size)


def normal_loss(match: ComparedVoxels) -> Tensor:
    """Squared sine of the angle between decoded and true normals, where the truth is planar.

    A normal is the direction of least spread of the points in the 3x3x3 true voxels around one.
    Each counts by the planarity of the true points, 0 (no plane) to 1; below 0.001 it doesn't.

    Source: Hoppe et al. 1992, Surface Reconstruction from Unorganized Points, section 3.2, for
    the normal; West et al. 2004, Context-driven automated target detection in 3D data, for the
    planarity.
    """
    pairs = _true_pairs(match)
    spread, normal = torch.linalg.eigh(_covariance(match, match.target[:, :3], pairs))
    planarity = (spread[:, 1] - spread[:, 0]) / spread[:, 2].clamp(min=1e-12)
    planarity = torch.where(planarity > _GAP_MIN, planarity, 0.0)
    decoded = least_direction(_covariance(match, match.feats[:, :3], pairs))
    sine2 = 1.0 - (decoded * normal[:, :, 0]).sum(1) ** 2
    sample, weights = match.support.coords[:, 0], planarity * match.true
    return mean_per_sample(sine2, sample, match.support.batch_size, weights)


def least_direction(matrices: Tensor) -> Tensor:
    """Unit eigenvector of the smallest eigenvalue of symmetric matrices, [n, 3, 3] to [n, 3].

    Where that eigenvalue is not alone, the direction is arbitrary and its gradient is left out.
    """
    direction = _LeastDirection.apply(matrices)
    assert isinstance(direction, Tensor)
    return direction


class _LeastDirection(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrices)
        ctx.save_for_backward(values, vectors)
        return vectors[:, :, 0].contiguous()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator's type)
        ctx: Any, *grad_outputs: Tensor
    ) -> Tensor:
        values, vectors = ctx.saved_tensors
        gap = values[:, :1] - values[:, 1:]
        alone = -gap > _GAP_MIN * values[:, 2:]
        along = (grad_outputs[0][:, :, None] * vectors[:, :, 1:]).sum(1)
        share = torch.where(alone, along, 0.0) / torch.where(alone, gap, 1.0)
        turned = (vectors[:, :, 1:] * share[:, None]).sum(2)
        grad = turned[:, :, None] * vectors[:, None, :, 0]
        return 0.5 * (grad + grad.transpose(1, 2))


def _true_pairs(match: ComparedVoxels) -> NeighbourPairs:
    """Rows of true voxels that touch by a side, an edge or a corner; every pair once."""
    pairs = submanifold_plan(match.support, _KERNEL).pairs
    once = len(pairs.input_rows) // 2
    a, b = pairs.input_rows[:once], pairs.output_rows[:once]
    both = match.true[a] & match.true[b]
    return a[both], b[both]


def _covariance(match: ComparedVoxels, offset: Tensor, pairs: NeighbourPairs) -> Tensor:
    """Covariance of the points of a voxel and of its true neighbours, [n, 3, 3]."""
    # Each voxel meets itself and, both ways round, its neighbours.
    own = torch.arange(len(offset), device=offset.device)
    at, of = torch.cat([own, *pairs]), torch.cat([own, *reversed(pairs)])
    index = match.support.coords[:, 1:]
    point = 2.0 * (index[of] - index[at]) + offset[of]
    count = torch.bincount(at, minlength=len(own)).to(offset.dtype)[:, None]
    mean = torch.zeros_like(offset).index_add(0, at, point) / count
    apart = point - mean[at]
    products = (apart[:, :, None] * apart[:, None, :]).flatten(1)
    summed = offset.new_zeros(len(own), 9).index_add(0, at, products)
    return (summed / count).view(-1, 3, 3)
