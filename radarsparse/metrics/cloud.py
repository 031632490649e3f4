"""Every metric of one predicted cloud against its LiDAR cloud; docs/metrics.md defines each."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from radarsparse.errors import InputError
from radarsparse.metrics.distribution import divergences
from radarsparse.metrics.match import Match, Points, match_clouds, positive_m
from radarsparse.metrics.point import QUANTILES, one_way, point_scores
from radarsparse.metrics.statistics import summarize_both
from radarsparse.metrics.voxel import count_both, overlaps_of

THRESHOLDS_M = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
VOXEL_SIZES_M = (0.1, 0.2, 0.4, 0.8)
FEATURE_MATCH_M = 0.5
# What is summed over frames where all else is averaged.
COUNTS = (
    *("pred_points", "target_points", "pred_nonfinite", "target_nonfinite"),
    *("empty_pred", "empty_target"),
)


def evaluate(
    pred: Points,
    target: Points,
    thresholds_m: Sequence[float] = THRESHOLDS_M,
    voxel_sizes_m: Sequence[float] = VOXEL_SIZES_M,
    diagonal_m: float | None = None,
) -> dict[str, float]:
    """Score a predicted cloud against its target.

    Saying nothing never pays: where one cloud is empty, rates and overlaps are 0 and distances
    are the diagonal. Where both are, every metric but the counts is NaN.

    Args:
        pred: [n, 3 or 4] x, y, z in metres and, if there, intensity.
        target: [m, 3 or 4] the same, in the same frame, on the same device.
        thresholds_m: of precision, recall and F-score; nearer counts, equal doesn't.
        voxel_sizes_m: of the overlaps of voxels and of bird's-eye cells.
        diagonal_m: the distance of a point to an empty cloud; by default the diagonal of the box
            around the points of both clouds and the frame's origin.

    Returns:
        The metrics that docs/metrics.md defines, by key.

    Raises:
        InputError: a cloud has another shape, more than 1 % of its rows aren't finite, or a
            threshold, a size or the diagonal isn't positive.
    """
    return score(match_clouds(pred, target, diagonal_m), thresholds_m, voxel_sizes_m)


def score(
    match: Match, thresholds_m: Sequence[float], voxel_sizes_m: Sequence[float]
) -> dict[str, float]:
    """`evaluate` for clouds whose neighbours are already known.

    Raises:
        InputError: a threshold or a size isn't positive.
    """
    for name, values_m in (("threshold", thresholds_m), ("voxel size", voxel_sizes_m)):
        if isinstance(values_m, str) or not isinstance(values_m, Iterable):
            raise InputError(f"{name} {values_m!r:.40}: must be a list of lengths in metres")
        for value_m in values_m:
            positive_m(name, value_m)
    statistics = summarize_both(match.there2, match.back2, thresholds_m, QUANTILES)
    there, back = one_way(statistics, match.diagonal_m)
    return {
        **point_scores(there, back, thresholds_m),
        **_overlaps(match, voxel_sizes_m),
        **_feature_scores(match),
        **_counts(match),
    }


def _feature_scores(match: Match) -> dict[str, float]:
    """How well the intensities of near partners agree, and how many points have such a partner."""
    there_mae, there_share = _feature_errors(
        match.pred, match.target, match.there2, match.there_index
    )
    back_mae, back_share = _feature_errors(match.target, match.pred, match.back2, match.back_index)
    return {
        "feature_mae": (there_mae + back_mae) / 2,
        "feature_coverage": (there_share + back_share) / 2,
    }


def _feature_errors(
    points: Tensor, others: Tensor, distance2: Tensor, index: Tensor
) -> tuple[float, float]:
    if min(points.shape[1], others.shape[1]) < 4:
        return math.nan, math.nan
    if len(points) == 0 or len(others) == 0:
        return math.nan, math.nan if len(points) == len(others) else 0.0
    near = distance2.sqrt() < FEATURE_MATCH_M
    errors = (points[:, 3] - others[index, 3]).abs()
    # One copy from the device.
    error, pairs = torch.stack([torch.where(near, errors, 0.0).sum(), near.sum()]).tolist()
    return error / pairs if pairs else math.nan, pairs / len(points)


def _counts(match: Match) -> dict[str, float]:
    pred_points, target_points = len(match.pred), len(match.target)
    return {
        "density_ratio": pred_points / target_points if target_points else math.nan,
        "pred_points": float(pred_points),
        "target_points": float(target_points),
        "pred_nonfinite": float(match.pred_nonfinite),
        "target_nonfinite": float(match.target_nonfinite),
        "empty_pred": float(pred_points == 0),
        "empty_target": float(target_points == 0),
    }


def _overlaps(match: Match, voxel_sizes_m: Sequence[float]) -> dict[str, float]:
    """Shared voxels and bird's-eye cells, and how differently points fill them."""
    tables = [count_both(match.pred, match.target, size_m) for size_m in voxel_sizes_m]
    found = iter(overlaps_of([table for pair in tables for table in pair]))
    scores = {}
    for size_m, voxels, cells in zip(voxel_sizes_m, found, found, strict=True):
        scores[f"iou@{size_m}m"] = voxels.iou
        scores[f"bev_iou@{size_m}m"] = cells.iou
        scores[f"voxel_ratio@{size_m}m"] = voxels.ratio
    bev, full = divergences(match.pred, match.target)
    return scores | {"jsd_bev": bev, "jsd_3d": full}
