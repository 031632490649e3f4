"""What the published codes of other systems compute, faults included.

They serve to compare with numbers in papers; to compare clouds, take `evaluate`. docs/metrics.md
lists what differs.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import torch
from scipy.integrate import simpson
from torch import Tensor
from torch.nn import functional as F

from radarsparse.errors import InputError
from radarsparse.metrics.distribution import jensen_shannon
from radarsparse.metrics.nearest.operator import nearest_both
from radarsparse.metrics.voxel import (
    Overlap,
    count_cells,
    count_columns,
    overlaps_of,
    pack_index,
    sum_overlaps,
)

CloudPairs = Iterable[tuple[Tensor, Tensor]]

SIDES = ("prediction", "target")
RADAR_DIFFUSION_THRESHOLD_M = 0.1
LIDIFF_THRESHOLDS_M = np.linspace(0.05, 0.1, 100)
LIDIFF_IOU_SIZES_M = (0.5, 0.2, 0.1)
LIDIFF_JSD_SIZE_M = 0.5
# Metres for histograms; voxels for the IoU of its first code.
LIDIFF_REACH = 50.0
R2FLOW_REACH_M, R2FLOW_CELLS = 80.0, 100
R2FLOW_DEPTHS_M = (3.0, 70.0)
R2FLOW_WIDTH = 0.5


def radar_diffusion(pairs: CloudPairs) -> dict[str, float]:
    """Metrics of Radar-Diffusion's evaluation: Chamfer sum, Hausdorff and F-score at 0.1 m.

    Its faults: a frame with an empty cloud adds nothing to the sums but counts in the divisor, so
    that saying nothing lowers the distances; all frames empty give 0 m. The F-score joins the
    share of near predicted points with their count over itself plus the far points of the target,
    two clouds in one ratio. A distance equal to the threshold counts.

    Args:
        pairs: predicted and target cloud [n, 2 or more] of each frame, x, y, z in metres; the
            published clouds are bird's-eye ones, z = 0.

    Returns:
        `chamfer_sum_m`, `hausdorff_m` and `fscore@0.1m`.

    Raises:
        InputError: there are no pairs, or a coordinate isn't finite.

    Source:
        Zhang et al., "Towards dense and accurate radar perception via efficient cross-modal
        diffusion model", RA-L 2024; scripts/evaluate.py of ZJU-FAST-Lab/Radar-Diffusion.
    """
    return _means([_radar_diffusion_frame(pred, target) for pred, target in pairs])


def lidiff(pairs: CloudPairs) -> dict[str, float]:
    """Metrics of LiDiff's evaluation, also used by ScoreLiDAR and LiDPM.

    Its faults: "RMSE" is a mean of distances, without squares or root; precision, recall and
    F-score are areas under curves over thresholds of 0.05 to 0.10 m, in per cent; the IoU of its
    code before June 2025 sees only 50 voxels around the sensor, 5 m at 0.1 m.

    Args:
        pairs: predicted and target cloud [n, 3 or more] of each frame, x, y, z in metres, cropped
            as the protocol says.

    Returns:
        Means over frames `rmse_m` (from prediction to target), `chamfer_mean_m`, `jsd_bev` and
        `jsd_3d` (square roots, natural logarithm, 0.5 m, within 50 m; NaN where no point lies
        there); `precision_auc_percent`, `recall_auc_percent`, `fscore_auc_percent`; of cells
        summed over frames, `iou@0.5m`, `iou@0.2m`, `iou@0.1m` (within 50 m) and
        `iou_before_2025_06@0.5m` and so on.

    Raises:
        InputError: there are no pairs, a cloud is empty (the published code divides by zero), or
            a coordinate isn't finite.

    Source:
        Nunes et al., "Scaling diffusion models to real-world 3D LiDAR scene completion", CVPR
        2024; utils/metrics.py and utils/histogram_metrics.py of PRBonn/LiDiff, its issue 45.
    """
    frames = [_lidiff_frame(number, *pair) for number, pair in enumerate(pairs)]
    means = _means([scores for scores, _, _ in frames])
    curves = torch.stack([curves for _, curves, _ in frames]).mean(dim=0)
    return {**means, **_areas(curves), **_ious_of_the_set([overlaps for _, _, overlaps in frames])}


def radarhd(pairs: CloudPairs) -> dict[str, float]:
    """Metrics of RadarHD's evaluation: Chamfer half-sum and a Hausdorff of medians, in x and y.

    Its faults: heights are ignored, and the "modified Hausdorff distance" is the larger median
    where Dubuisson and Jain take the larger mean. The published code doesn't average over frames
    but draws the distribution, whose median is given here too.

    Args:
        pairs: predicted and target cloud [n, 2 or more] of each frame, x, y in metres.

    Returns:
        `chamfer_mean_m` and `hausdorff_median_m`, means over frames, and
        `chamfer_mean_m_median` and `hausdorff_median_m_median`, medians over frames.

    Raises:
        InputError: there are no pairs, a cloud is empty (the published code stops there), or a
            coordinate isn't finite.

    Source:
        Prabhakara et al., "High resolution point clouds from mmWave radar", ICRA 2023;
        eval/pc_compare.m and eval/pc_distance.m of akarsh-prabhakara/RadarHD.
    """
    frames = [_radarhd_frame(number, *pair) for number, pair in enumerate(pairs)]
    means = _means(frames)
    table = torch.tensor([[frame[key] for frame in frames] for key in means], dtype=torch.float64)
    medians = table.quantile(0.5, dim=1).tolist()
    return {**means, **{f"{key}_median": m for key, m in zip(means, medians, strict=True)}}


def r2flow(pairs: CloudPairs) -> dict[str, float]:
    """Set-level metrics of R2Flow's evaluation, of LiDARGen's before it and of R2LDM's after it.

    Both compare points per bird's-eye cell of 1.6 m, of those between 3 and 70 m away from the
    sensor. A fault: the MMD takes the distance of every frame to itself into its means, so that it
    isn't 0 between two sets of one distribution.

    Args:
        pairs: predicted and target cloud [n, 3 or more] of each frame, x, y, z in metres.

    Returns:
        `jsd_set` of the sums over the set (square root, natural logarithm), and `mmd_set` of the
        shares of each frame (Gaussian kernel of width 0.5; not squared-rooted).

    Raises:
        InputError: there are no pairs, a coordinate isn't finite, or a cloud has no point at these
            distances (the published code divides by zero).

    Source:
        Nakashima et al., "Fast LiDAR data generation with rectified flows", ICRA 2025; metrics
        of kazuto1011/r2flow.
    """
    cells = [
        [
            _r2flow_cells(f"pair {number}: {side}", cloud)
            for side, cloud in zip(SIDES, pair, strict=True)
        ]
        for number, pair in enumerate(pairs)
    ]
    if not cells:
        raise InputError("0 pairs of clouds found, at least 1 expected")
    ours, theirs = map(torch.stack, zip(*cells, strict=True))
    sums = torch.stack([ours.sum(0), theirs.sum(0)], dim=1)
    a, b = (counts / counts.sum(dim=1, keepdim=True) for counts in (ours, theirs))

    def alike(p: Tensor, q: Tensor) -> float:
        return torch.exp(-torch.cdist(p, q).square() / (2 * R2FLOW_WIDTH**2)).mean().item()

    return {
        "jsd_set": math.sqrt(jensen_shannon(sums[sums.any(dim=1)]) * math.log(2)),
        "mmd_set": alike(a, a) + alike(b, b) - 2 * alike(a, b),
    }


def _r2flow_cells(name: str, points: Tensor) -> Tensor:
    """Points of a cloud per bird's-eye cell, [cells]."""
    xyz, (least_m, most_m) = points[:, :3].double(), R2FLOW_DEPTHS_M
    depth_m = xyz.norm(dim=1)
    if not depth_m.isfinite().all():
        row = int((~depth_m.isfinite()).nonzero()[0])
        raise InputError(f"{name}: row {row} is {xyz[row].tolist()}, finite values expected")
    seen = xyz[(depth_m > least_m) & (depth_m < most_m), :2]
    if len(seen) == 0:
        raise InputError(
            f"{name}: 0 of {len(xyz)} points are {least_m:g} to {most_m:g} m away, at least 1"
            " expected; the published code divides by zero there"
        )
    place = ((seen + R2FLOW_REACH_M) / (2 * R2FLOW_REACH_M / R2FLOW_CELLS)).long()
    numbers = place[:, 0] * R2FLOW_CELLS + place[:, 1]
    return torch.bincount(numbers, minlength=R2FLOW_CELLS**2).double()


def _radar_diffusion_frame(pred: Tensor, target: Tensor) -> dict[str, float]:
    if min(len(pred), len(target)) == 0:
        return {"chamfer_sum_m": 0.0, "hausdorff_m": 0.0, "fscore@0.1m": 0.0}
    there, back = _distances(pred, target)
    near = int((there <= RADAR_DIFFUSION_THRESHOLD_M).sum())
    far_targets = int((back > RADAR_DIFFUSION_THRESHOLD_M).sum())
    share = near / len(there)
    mixed = near / (near + far_targets) if near else 0.0
    return {
        "chamfer_sum_m": (there.mean() + back.mean()).item(),
        "hausdorff_m": max(there.max().item(), back.max().item()),
        "fscore@0.1m": 2 * share * mixed / (share + mixed) if near else 0.0,
    }


def _lidiff_frame(
    number: int, pred: Tensor, target: Tensor
) -> tuple[dict[str, float], Tensor, dict[str, Overlap]]:
    """What is averaged, curves [3, thresholds] in per cent, and what is summed over the set."""
    _refuse_empty(number, pred, target)
    there, back = _distances(pred, target)
    precision, recall = _percent_below(there), _percent_below(back)
    fscore = (2 * precision * recall / (precision + recall)).nan_to_num(nan=0.0)
    scores = {
        "rmse_m": there.mean().item(),
        "chamfer_mean_m": ((back.mean() + there.mean()) / 2).item(),
        **_lidiff_divergences(pred, target),
    }
    return scores, torch.stack([precision, recall, fscore]), _lidiff_overlaps(pred, target)


def _radarhd_frame(number: int, pred: Tensor, target: Tensor) -> dict[str, float]:
    _refuse_empty(number, pred, target)
    there, back = _distances(pred[:, :2], target[:, :2])
    return {
        "chamfer_mean_m": (0.5 * there.mean() + 0.5 * back.mean()).item(),
        "hausdorff_median_m": max(there.quantile(0.5).item(), back.quantile(0.5).item()),
    }


def _means(frames: Sequence[dict[str, float]]) -> dict[str, float]:
    if not frames:
        raise InputError("0 pairs of clouds found, at least 1 expected")
    return {key: math.fsum(frame[key] for frame in frames) / len(frames) for key in frames[0]}


def _refuse_empty(number: int, pred: Tensor, target: Tensor) -> None:
    for name, points in zip(SIDES, (pred, target), strict=True):
        if len(points) == 0:
            raise InputError(
                f"pair {number}: 0 points of the {name} found, at least 1 expected; the published"
                " code fails there"
            )


def _distances(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of every predicted point to the target, and back, in metres."""
    xyz = [points[:, :3].double() for points in (pred, target)]
    # Where there is no z, it is 0.
    there2, _, back2, _ = nearest_both(*(F.pad(cloud, (0, 3 - cloud.shape[1])) for cloud in xyz))
    return there2.sqrt(), back2.sqrt()


def _percent_below(distances: Tensor) -> Tensor:
    """Per threshold of LiDiff, the share of distances below it."""
    thresholds = distances.new_tensor(LIDIFF_THRESHOLDS_M)
    below = torch.searchsorted(distances.sort().values, thresholds)
    return 100 * below.double() / len(distances)


def _areas(curves: Tensor) -> dict[str, float]:
    """Areas under curves [3, thresholds], as shares of the area under 1."""
    step = LIDIFF_THRESHOLDS_M[1] - LIDIFF_THRESHOLDS_M[0]
    whole = simpson(np.ones_like(LIDIFF_THRESHOLDS_M), dx=step)
    areas = np.asarray(simpson(curves.cpu().numpy(), dx=step)) / whole
    names = ("precision", "recall", "fscore")
    return {f"{name}_auc_percent": areas[row].item() for row, name in enumerate(names)}


def _lidiff_overlaps(pred: Tensor, target: Tensor) -> dict[str, Overlap]:
    codes = {"iou": _cells_within_reach, "iou_before_2025_06": _cells_near_sensor}
    tables = {
        f"{key}@{m}m": count_cells(cells_of(pred, m), cells_of(target, m))[1]
        for (key, cells_of), m in product(codes.items(), LIDIFF_IOU_SIZES_M)
    }
    return dict(zip(tables, overlaps_of(list(tables.values())), strict=True))


def _ious_of_the_set(frames: Sequence[dict[str, Overlap]]) -> dict[str, float]:
    sums = {key: sum_overlaps(frame[key] for frame in frames) for key in frames[0]}
    # As published: where there is no cell at all, 0 and not NaN.
    return {key: both.intersection / (both.union + 1e-15) for key, both in sums.items()}


def _cells_within_reach(points: Tensor, size_m: float) -> Tensor:
    """Cell of every point within the reach, as `numpy.histogramdd` bins them."""
    xyz = points[:, :3].double().contiguous()
    edges = xyz.new_tensor(
        np.linspace(-LIDIFF_REACH, LIDIFF_REACH, int(2 * LIDIFF_REACH / size_m) + 1)
    )
    # The last bin holds its upper edge.
    index = torch.bucketize(xyz, edges, right=True) - 1 - (xyz == LIDIFF_REACH).long()
    inside = (index >= 0) & (index < len(edges) - 1)
    return pack_index(index[inside.all(dim=1)])


def _cells_near_sensor(points: Tensor, size_m: float) -> Tensor:
    """Rounded cell of every point, where the first code's histogram sees it."""
    index = (points[:, :3].double() / size_m).round()
    return pack_index(index[(index.abs() <= LIDIFF_REACH).all(dim=1)])


def _lidiff_divergences(pred: Tensor, target: Tensor) -> dict[str, float]:
    """Square roots of divergences: of occupied voxels per column, and of points per voxel."""
    ours, theirs = (_cells_within_reach(points, LIDIFF_JSD_SIZE_M) for points in (pred, target))
    voxels, counts = count_cells(ours, theirs)
    tables = {"jsd_bev": count_columns(voxels, counts.clamp(max=1)), "jsd_3d": counts}
    if not counts.sum(dim=0).all():
        return dict.fromkeys(tables, math.nan)
    # From bits to nats.
    return {key: math.sqrt(jensen_shannon(t) * math.log(2)) for key, t in tables.items()}
