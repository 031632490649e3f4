"""Metrics that compare clouds, or sets of clouds, as distributions."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from radarsparse.metrics.nearest.operator import nearest
from radarsparse.metrics.statistics import summarize_distances
from radarsparse.metrics.voxel import count_both, count_voxels

JSD_VOXEL_SIZE_M = 0.5


def jsd_3d(
    pred: Float[Tensor, "n c"],
    target: Float[Tensor, "m d"],
    voxel_size_m: float = JSD_VOXEL_SIZE_M,
) -> float:
    """Jensen-Shannon divergence between the shares of points per voxel, in bits.

    It is the divergence, not its square root, to base 2: 0 for equal shares, 1 for clouds without
    a common voxel and where one cloud is empty, NaN where both are.

    Args:
        pred: [n, 3 or more] x, y, z in metres.
        target: [m, 3 or more] the same, in the same frame.
        voxel_size_m: edge of a voxel, on the grid of `voxel_keys`.

    Raises:
        InputError: as in `voxel_keys`.
    """
    return jensen_shannon(count_voxels(pred, target, voxel_size_m)[1])


def jsd_bev(
    pred: Float[Tensor, "n c"],
    target: Float[Tensor, "m d"],
    cell_size_m: float = JSD_VOXEL_SIZE_M,
) -> float:
    """`jsd_3d` between the shares of points per bird's-eye cell.

    Args:
        pred: [n, 3 or more] x, y, z in metres.
        target: [m, 3 or more] the same, in the same frame.
        cell_size_m: edge of a cell.

    Raises:
        InputError: as in `voxel_keys`.
    """
    return divergences(pred, target, cell_size_m)[0]


def divergences(
    pred: Float[Tensor, "n c"],
    target: Float[Tensor, "m d"],
    voxel_size_m: float = JSD_VOXEL_SIZE_M,
) -> tuple[float, float]:
    """`jsd_bev` and `jsd_3d` at once, in less time.

    Args:
        pred: [n, 3 or more] x, y, z in metres.
        target: [m, 3 or more] the same, in the same frame.
        voxel_size_m: edge of a voxel and of a bird's-eye cell.

    Raises:
        InputError: as in `voxel_keys`.
    """
    voxels, cells = count_both(pred, target, voxel_size_m)
    return jensen_shannon(cells), jensen_shannon(voxels)


def jensen_shannon(counts: Int[Tensor, "k 2"]) -> float:
    """Jensen-Shannon divergence of two histograms in bits, 0 to 1; 1 of one empty, NaN of both.

    Args:
        counts: of either side, in each bin.

    Source:
        Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information
        Theory 37(1), 1991.
    """
    totals = counts.sum(dim=0).tolist()
    if not all(totals):
        return 1.0 if any(totals) else math.nan
    ours, theirs = (side / total for side, total in zip(counts.double().T, totals, strict=True))
    mixture = (ours + theirs) / 2
    # A bin that is empty on one side has a share of 0 there, which adds nothing.
    nats = torch.xlogy(ours, ours / mixture).sum() + torch.xlogy(theirs, theirs / mixture).sum()
    # Rounding can leave the bounds by a few last bits.
    return nats.div(2 * math.log(2)).clamp(0, 1).item()


def chamfer_table(
    preds: Sequence[Float[Tensor, "n 3"]], targets: Sequence[Float[Tensor, "m 3"]]
) -> Float[Tensor, "p t"]:
    """Chamfer distance, the sum of both mean distances in metres, of every pair of clouds.

    A pair with an empty cloud is infinitely far apart, also where both are empty.

    Args:
        preds: p clouds [n, 3 or more] x, y, z in metres.
        targets: t clouds of the same kind, on the same device.

    Raises:
        InputError: a coordinate isn't finite.
    """
    if not preds or not targets:
        return torch.zeros(len(preds), len(targets), dtype=torch.float64)
    there = [_means_m(preds, target) for target in targets]
    back = [_means_m(targets, pred) for pred in preds]
    return torch.stack(there, dim=1) + torch.stack(back)


def minimum_matching_distance(table: Float[Tensor, "p t"]) -> float:
    """Mean over the targets of the distance to the nearest prediction (MMD), 0 at best.

    Infinite where a target has no prediction to meet, NaN without targets.

    Args:
        table: [p, t] distances, such as those of `chamfer_table`.

    Source:
        Achlioptas et al., "Learning representations and generative models for 3D point clouds",
        ICML 2018.
    """
    none = table.new_full((1, table.shape[1]), torch.inf)
    return torch.cat([table, none]).amin(dim=0).mean().item()


def coverage(table: Float[Tensor, "p t"]) -> float:
    """Share of the targets that are nearest to at least one prediction, 1 at best.

    A prediction without a finite distance covers nothing; NaN without targets.

    Args:
        table: [p, t] distances, such as those of `chamfer_table`.

    Source:
        Achlioptas et al., "Learning representations and generative models for 3D point clouds",
        ICML 2018.
    """
    preds, targets = table.shape
    if targets == 0:
        return math.nan
    able = table[table.isfinite().any(dim=1)] if preds else table
    return len(able.argmin(dim=1).unique()) / targets


def _means_m(clouds: Sequence[Tensor], target: Tensor) -> Tensor:
    """Mean distance of every cloud's points to one target, infinite where there is none."""
    sizes = torch.tensor([0, *map(len, clouds)], device=target.device)
    points = torch.cat([cloud[:, :3].double() for cloud in clouds])
    if len(target) == 0:
        return points.new_full((len(clouds),), torch.inf)
    distance2, _ = nearest(points, target[:, :3].double())
    statistics = summarize_distances(distance2, sizes.cumsum(0), (), ())
    return (statistics.sum_m / statistics.count).nan_to_num(nan=torch.inf)
