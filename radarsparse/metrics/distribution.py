"""Metrics that compare clouds, or sets of clouds, as distributions."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from radarsparse.metrics.nearest.operator import nearest
from radarsparse.metrics.statistics import summarize_distances
from radarsparse.metrics.voxel import Cloud, count_both

JSD_VOXEL_SIZE_M = 0.5


def divergences(
    pred: Cloud, target: Cloud, voxel_size_m: float = JSD_VOXEL_SIZE_M
) -> tuple[float, float]:
    """Jensen-Shannon divergences between the shares of points per bird's-eye cell and per voxel.

    In bits, see `jensen_shannon`: 0 for equal shares, 1 for clouds without a common cell and where
    one cloud is empty, NaN where both are.

    Raises:
        InputError: as in `voxel_keys`.
    """
    voxels, cells = count_both(pred, target, voxel_size_m)
    return jensen_shannon(cells), jensen_shannon(voxels)


def jsd_bev(pred: Cloud, target: Cloud, cell_size_m: float = JSD_VOXEL_SIZE_M) -> float:
    """The divergence per bird's-eye cell alone, as in `divergences`."""
    return divergences(pred, target, cell_size_m)[0]


def jsd_3d(pred: Cloud, target: Cloud, voxel_size_m: float = JSD_VOXEL_SIZE_M) -> float:
    """The divergence per voxel alone, as in `divergences`."""
    return divergences(pred, target, voxel_size_m)[1]


def jensen_shannon(counts: Int[Tensor, "k 2"]) -> float:
    """Jensen-Shannon divergence of two histograms in bits, 0 to 1; 1 of one empty, NaN of both.

    It is the divergence, not its square root.

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


def chamfer_table(preds: Sequence[Cloud], targets: Sequence[Cloud]) -> Float[Tensor, "p t"]:
    """Chamfer distance, the sum of both mean distances in metres, of every pair of clouds.

    A pair with an empty cloud is infinitely far apart, also where both are empty.

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
        table: distances, such as those of `chamfer_table`.

    Source:
        Achlioptas et al., "Learning representations and generative models for 3D point clouds",
        ICML 2018.
    """
    none = table.new_full((1, table.shape[1]), torch.inf)
    return torch.cat([table, none]).amin(dim=0).mean().item()


def coverage(table: Float[Tensor, "p t"]) -> float:
    """Share of the targets that are nearest to at least one prediction, 1 at best.

    A prediction without a finite distance covers nothing; NaN without targets. The table and the
    source are those of `minimum_matching_distance`.
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
