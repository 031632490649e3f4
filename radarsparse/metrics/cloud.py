"""Metrics of one predicted cloud against its LiDAR cloud.

Distances are Euclidean, in metres and unsquared unless the key says `sq`; all sums are float64.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radarsparse.errors import InputError
from radarsparse.metrics.nearest import nearest

THRESHOLDS_M = (0.1, 0.2, 0.5, 1.0, 2.0)
IOU_VOXEL_SIZES_M = (0.2, 0.5)
FEATURE_MATCH_M = 0.5

Points = Tensor | NDArray[np.floating]


def evaluate(
    pred: Points, target: Points, empty_distance_m: float | None = None
) -> dict[str, float]:
    """Score a predicted cloud against its target.

    Rows with a value that isn't finite are left out. An empty prediction scores 0 wherever 1 is
    best, and `empty_distance_m` wherever a distance is asked, so that saying nothing never pays.

    Args:
        pred: [n, 3 or 4] x, y, z in metres and, if there, intensity.
        target: [m, 3 or 4] the same, in the same frame.
        empty_distance_m: the distance of every point to its nearest neighbour when `pred` is
            empty; by default the range of the target's farthest point from the frame's origin.

    Returns:
        `chamfer_sum_m`, `chamfer_mean_m` (its half), `chamfer_sq_m2`, `hausdorff_m`,
        `hausdorff95_m`, `precision@0.1m`, `recall@0.1m`, `fscore@0.1m` and so on for
        `THRESHOLDS_M` (nearer than the threshold counts), `iou@0.2m`, `iou@0.5m`,
        `feature_mae` (NaN without intensities or matches) and `density_ratio` (pred to target).

    Raises:
        InputError: a cloud has another shape, or the target holds no finite point.
    """
    truth = _finite_rows("target", target)
    guess = _finite_rows("pred", pred).to(truth.device)
    if len(truth) == 0:
        raise InputError("target: 0 finite points found, at least 1 expected")
    if len(guess) == 0:
        return _empty_scores(truth, empty_distance_m)
    there2, match = nearest(guess[:, :3], truth[:, :3])
    back2, match_back = nearest(truth[:, :3], guess[:, :3])
    there, back = there2.sqrt(), back2.sqrt()
    mae_there = _feature_mae(guess, truth[match], there)
    mae_back = _feature_mae(truth, guess[match_back], back)
    return {
        **_distances(there, back),
        **_hit_rates(there, back),
        **_ious(guess, truth),
        "feature_mae": (mae_there + mae_back) / 2,
        "density_ratio": len(guess) / len(truth),
    }


def _finite_rows(name: str, points: Points) -> Tensor:
    if points.ndim != 2 or points.shape[1] not in (3, 4):
        raise InputError(f"{name}: shape {tuple(points.shape)} found, (n, 3 or 4) expected")
    rows = _float64(points)
    return rows[rows.isfinite().all(dim=1)]


def _float64(points: Points) -> Tensor:
    if isinstance(points, Tensor):
        return points.detach().to(torch.float64)
    # torch takes neither read-only nor reversed arrays, so it gets a copy
    return torch.from_numpy(np.array(points, dtype=np.float64, order="C"))


def _empty_scores(target: Tensor, empty_distance_m: float | None) -> dict[str, float]:
    farthest_m = target[:, :3].norm(dim=1).max()
    distance = torch.full_like(
        farthest_m, farthest_m.item() if empty_distance_m is None else empty_distance_m
    )[None]
    return {
        **_distances(distance, distance),
        **dict.fromkeys(_hit_rates(distance, distance), 0.0),
        **_ious(target[:0], target),
        "feature_mae": math.nan,
        "density_ratio": 0.0,
    }


def _distances(there: Tensor, back: Tensor) -> dict[str, float]:
    chamfer_sum_m = (there.mean() + back.mean()).item()
    return {
        "chamfer_sum_m": chamfer_sum_m,
        "chamfer_mean_m": chamfer_sum_m / 2,
        "chamfer_sq_m2": (there.square().mean() + back.square().mean()).item(),
        "hausdorff_m": max(there.max().item(), back.max().item()),
        "hausdorff95_m": max(there.quantile(0.95).item(), back.quantile(0.95).item()),
    }


def _hit_rates(there: Tensor, back: Tensor) -> dict[str, float]:
    rates: dict[str, float] = {}
    for threshold_m in THRESHOLDS_M:
        precision = (there < threshold_m).double().mean().item()
        recall = (back < threshold_m).double().mean().item()
        rates[f"precision@{threshold_m}m"] = precision
        rates[f"recall@{threshold_m}m"] = recall
        rates[f"fscore@{threshold_m}m"] = _harmonic_mean(precision, recall)
    return rates


def _harmonic_mean(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b > 0 else 0.0


def _ious(pred: Tensor, target: Tensor) -> dict[str, float]:
    return {f"iou@{size_m}m": _iou(pred, target, size_m) for size_m in IOU_VOXEL_SIZES_M}


def _iou(pred: Tensor, target: Tensor, voxel_size_m: float) -> float:
    ours, theirs = _voxels(pred, voxel_size_m), _voxels(target, voxel_size_m)
    union = len(torch.cat([ours, theirs]).unique(dim=0))
    return (len(ours) + len(theirs) - union) / union


def _voxels(points: Tensor, voxel_size_m: float) -> Tensor:
    return (points[:, :3] / voxel_size_m).floor().long().unique(dim=0)


def _feature_mae(points: Tensor, partners: Tensor, distance: Tensor) -> float:
    if points.shape[1] < 4 or partners.shape[1] < 4:
        return math.nan
    near = distance < FEATURE_MATCH_M
    # The mean of nothing is NaN, as it must be.
    return (points[near, 3] - partners[near, 3]).abs().mean().item()
