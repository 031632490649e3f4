"""One line per metric, for the head of `metrics.json`."""

from collections.abc import Iterable

# By the part of a key before its `@`; {} is the size after it.
_DEFINITIONS = {
    "pred_to_target_m": "mean distance of a predicted point to the nearest target point, metres",
    "target_to_pred_m": "mean distance of a target point to the nearest predicted point, metres",
    "chamfer_sum_m": "pred_to_target_m + target_to_pred_m, unsquared, metres",
    "chamfer_mean_m": "half of chamfer_sum_m, metres",
    "chamfer_sq_m2": "sum of both mean squared distances, square metres",
    "hausdorff_m": "larger of both largest distances, metres",
    "hausdorff95_m": "larger of both 95th percentiles (linear between neighbours), metres",
    "hausdorff_modified_m": "larger of both mean distances, metres",
    "hausdorff_median_m": "larger of both median distances, metres",
    "precision": "share of predicted points nearer than {} to a target point, 0 to 1",
    "recall": "share of target points nearer than {} to a predicted point, 0 to 1",
    "fscore": "harmonic mean of precision and recall at {}, 0 to 1",
    "iou": "voxels of {} from the frame's origin with points of both, per voxel with points of"
    " either, 0 to 1",
    "bev_iou": "iou of bird's-eye cells of {}, 0 to 1",
    "voxel_ratio": "voxels of {} with predicted points per voxel with target points",
    "feature_mae": "mean absolute difference of intensity between points and their nearest"
    " neighbours nearer than 0.5 m, averaged over both directions, in the files' units",
    "feature_coverage": "share of points with such a neighbour, averaged over both directions,"
    " 0 to 1",
    "density_ratio": "predicted points per target point",
    "jsd_bev": "Jensen-Shannon divergence of the shares of points per bird's-eye cell of 0.5 m,"
    " bits, 0 to 1",
    "jsd_3d": "Jensen-Shannon divergence of the shares of points per voxel of 0.5 m, bits, 0 to 1",
    "pred_points": "predicted points, summed over frames",
    "target_points": "target points, summed over frames",
    "pred_nonfinite": "predicted points left out because a value isn't finite, summed over frames",
    "target_nonfinite": "the same of the target",
    "empty_pred": "frames whose prediction is empty: rates are 0, distances the diagonal",
    "empty_target": "frames whose target is empty: the same; where both are, nothing is a number",
}


def define(keys: Iterable[str]) -> dict[str, str]:
    """A line about each metric, by key.

    Args:
        keys: what `evaluate` returns.
    """
    return {
        key: _DEFINITIONS[name].format(size.removesuffix("m") + " m")
        for key, (name, _, size) in ((key, key.partition("@")) for key in keys)
    }
