"""Metrics of the distances between two clouds: Chamfer, Hausdorff, precision and recall."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

# What `OneWay` needs of `summarize_distances`, in this order.
QUANTILES = (0.5, 0.95)


@dataclass(frozen=True)
class Statistics:
    """The distances of every frame's points to their nearest neighbours, summed up.

    Attributes:
        count: int64 [b] number of distances.
        sum_m: float64 [b].
        sum_sq_m2: float64 [b] sum of the squares.
        max_m: float64 [b], NaN where there are none.
        hits: int64 [b, t] how many are nearer than each threshold.
        quantiles_m: float64 [b, q], linear between neighbours, NaN where there are none.
    """

    count: Int[Tensor, " b"]
    sum_m: Float[Tensor, " b"]
    sum_sq_m2: Float[Tensor, " b"]
    max_m: Float[Tensor, " b"]
    hits: Int[Tensor, "b t"]
    quantiles_m: Float[Tensor, "b q"]


@dataclass(frozen=True)
class OneWay:
    """How far the points of one cloud are from their nearest neighbours in the other.

    Attributes:
        count: number of points.
        mean_m: mean distance.
        max_m: largest distance.
        median_m: median distance.
        percentile95_m: distance that 95 per cent keep below.
        mean_sq_m2: mean of the squared distances.
        shares: per threshold, the share of points that are nearer.
    """

    count: int
    mean_m: float
    max_m: float
    median_m: float
    percentile95_m: float
    mean_sq_m2: float
    shares: tuple[float, ...]


def one_way(statistics: Statistics, diagonal_m: float) -> list[OneWay]:
    """One entry per frame; a distance that is infinite or missing counts as the diagonal.

    Args:
        statistics: of the distances, with `QUANTILES`.
        diagonal_m: the distance that stands for having no neighbour.
    """
    count = statistics.count.double()[:, None]
    columns = (statistics.sum_m[:, None] / count, statistics.max_m[:, None], statistics.quantiles_m)
    distances_m = torch.cat(columns, dim=1).nan_to_num(nan=diagonal_m, posinf=diagonal_m)
    square_m2 = diagonal_m**2
    squares_m2 = (statistics.sum_sq_m2[:, None] / count).nan_to_num(nan=square_m2, posinf=square_m2)
    # Of no points, none is near.
    shares = (statistics.hits / count).nan_to_num(nan=0.0)
    # One copy from the device; a double holds every count.
    numbers = torch.cat([count, distances_m, squares_m2, shares], dim=1).tolist()
    return [OneWay(int(row[0]), *row[1:6], shares=tuple(row[6:])) for row in numbers]


def point_scores(there: OneWay, back: OneWay, thresholds_m: Sequence[float]) -> dict[str, float]:
    """Every metric of the distances of one frame.

    Where one cloud is empty, rates are 0 and distances the diagonal; where both are, all is NaN.

    Args:
        there: from prediction to target.
        back: from target to prediction.
        thresholds_m: those of `shares`.
    """
    scores = {
        "pred_to_target_m": there.mean_m,
        "target_to_pred_m": back.mean_m,
        "chamfer_sum_m": there.mean_m + back.mean_m,
        "chamfer_mean_m": (there.mean_m + back.mean_m) / 2,
        "chamfer_sq_m2": there.mean_sq_m2 + back.mean_sq_m2,
        "hausdorff_m": max(there.max_m, back.max_m),
        "hausdorff95_m": max(there.percentile95_m, back.percentile95_m),
        "hausdorff_modified_m": max(there.mean_m, back.mean_m),
        "hausdorff_median_m": max(there.median_m, back.median_m),
    }
    for threshold_m, precision, recall in zip(thresholds_m, there.shares, back.shares, strict=True):
        both = precision + recall
        scores[f"precision@{threshold_m}m"] = precision
        scores[f"recall@{threshold_m}m"] = recall
        scores[f"fscore@{threshold_m}m"] = 2 * precision * recall / both if both > 0 else 0.0
    if there.count == back.count == 0:
        return dict.fromkeys(scores, math.nan)
    return scores
