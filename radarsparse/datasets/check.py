"""What a person must see of prepared frames before training on them."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree
from tqdm import tqdm

from radarsparse.errors import InputError
from radarsparse.files import count_of
from radarsparse.geometry import Floats, Volume
from radarsparse.metrics import nearest
from radarsparse.scan import ScanPair

BOUNDS_M = (0.0, 15.0, 30.0, 50.0, 100.0)
STRIDES = (1, 2, 4, 8)
GROWTH_CELLS = (0, 1, 2, 3)


class PairsCheck(NamedTuple):
    """What was found in pairs, of which there are f.

    Attributes:
        radar_points: [f] points of each radar cloud.
        lidar_points: [f] points of each LiDAR cloud.
        time_gap_s: [g] between both stamps, of the frames of which it is known.
        radar_range_m: [2] the median and the largest range of radar points.
        matched_m: median distance of radar points to the nearest LiDAR point of their frame: of
            all points, then by range between `BOUNDS_M`; NaN where there is none.
        shuffled_m: the same with the LiDAR cloud of another frame.
        reach: [strides, growths] share of LiDAR voxels within so many cells of a radar voxel.
    """

    radar_points: NDArray[np.int64]
    lidar_points: NDArray[np.int64]
    time_gap_s: Floats
    radar_range_m: Floats
    matched_m: Floats
    shuffled_m: Floats
    reach: Floats


def check_pairs(pairs: Sequence[ScanPair], volume: Volume) -> PairsCheck:
    """Look at all pairs once.

    Args:
        pairs: frames; each is compared with its own LiDAR cloud and with that half way on.
        volume: in which the support is looked at.

    Raises:
        InputError: there are fewer than two, or a frame can't be read.
    """
    if len(pairs) < 2:
        raise InputError(f"{count_of(len(pairs), 'frame')} found; at least 2 are needed")
    points, gaps_s, ranges_m, matched_m, shuffled_m, reach = [], [], [], [], [], []
    for number in tqdm(range(len(pairs)), "check", unit="frame", disable=None):
        pair, other = pairs[number], pairs[(number + len(pairs) // 2) % len(pairs)]
        points.append((len(pair.radar), len(pair.lidar)))
        gaps_s += [] if pair.time_gap_s is None else [pair.time_gap_s]
        ranges_m.append(np.linalg.norm(pair.radar[:, :3], axis=1))
        matched_m.append(_distances_m(pair.radar, pair.lidar_in_radar_frame))
        shuffled_m.append(_distances_m(pair.radar, other.lidar_in_radar_frame))
        reach.append(_reach(pair, volume))
    range_m = np.concatenate(ranges_m)
    radar_points, lidar_points = np.array(points).T
    return PairsCheck(
        radar_points,
        lidar_points,
        np.array(gaps_s),
        np.array([np.median(range_m), range_m.max()]),
        _medians_m(range_m, np.concatenate(matched_m)),
        _medians_m(range_m, np.concatenate(shuffled_m)),
        np.mean(reach, axis=0),
    )


def describe_check(found: PairsCheck) -> list[str]:
    """Lines of text that say it all."""
    low, middle, high = np.percentile(found.radar_points, (5, 50, 95))
    bands = ("all", *(f"{near:g}-{far:g} m" for near, far in pairwise(BOUNDS_M)))
    growths = (f"{cells} cells" for cells in GROWTH_CELLS)
    reach = zip(STRIDES, found.reach, strict=True)
    return [
        count_of(len(found.radar_points), "frame"),
        f"radar points per frame: {middle:.0f} (5 to 95 %: {low:.0f} to {high:.0f}), range"
        f" {found.radar_range_m[0]:.1f} m (median) to {found.radar_range_m[1]:.1f} m",
        f"LiDAR points per frame: {np.median(found.lidar_points):.0f}",
        _describe_gaps(found),
        "median distance of a radar point to the nearest LiDAR point, by range of the radar point:",
        _row("", bands),
        _row("of its own frame, m", found.matched_m),
        _row("of another frame, m", found.shuffled_m),
        f"own / other: {found.matched_m[0] / found.shuffled_m[0]:.2f} (well below 1 where the"
        " pairing and the calibration are right)",
        "share of LiDAR voxels in reach when the radar's voxels are grown:",
        _row("", growths),
        *(_row(f"stride {stride}", shares) for stride, shares in reach),
    ]


def _describe_gaps(found: PairsCheck) -> str:
    gaps_s, frames = found.time_gap_s, len(found.radar_points)
    if len(gaps_s) == 0:
        return "time between the stamps of radar and LiDAR: not known"
    known = "" if len(gaps_s) == frames else f", known of {len(gaps_s)} of {frames} frames"
    return (
        f"time between the stamps of radar and LiDAR: {np.median(gaps_s):.3f} s (median) to"
        f" {gaps_s.max():.3f} s{known}"
    )


def _row(head: str, values: Iterable[str | np.floating]) -> str:
    texts = (value if isinstance(value, str) else f"{value:.2f}" for value in values)
    return f"{head:24s}" + "".join(f"{text:>12s}" for text in texts)


def _distances_m(radar: Floats, lidar: Floats) -> Floats:
    query, target = (torch.tensor(cloud[:, :3], dtype=torch.float64) for cloud in (radar, lidar))
    return nearest(query, target)[0].sqrt().numpy()


def _medians_m(range_m: Floats, distance_m: Floats) -> Floats:
    """Of all, then by range."""
    bands = [(-np.inf, np.inf), *pairwise(BOUNDS_M)]
    some = [distance_m[(range_m >= near) & (range_m < far)] for near, far in bands]
    return np.array([np.median(values) if len(values) else np.nan for values in some])


def _reach(pair: ScanPair, volume: Volume) -> Floats:
    clouds = pair.radar, pair.lidar_in_radar_frame
    radar, lidar = (volume.voxel_index(cloud[volume.contains(cloud)]) for cloud in clouds)
    return np.array([_reach_at(radar // stride, lidar // stride) for stride in STRIDES])


def _reach_at(radar: NDArray[np.integer], lidar: NDArray[np.integer]) -> list[float]:
    """Shares of LiDAR voxels that lie at most so many cells from a radar voxel along each axis."""
    if len(radar) == 0 or len(lidar) == 0:
        return [0.0] * len(GROWTH_CELLS)
    found = KDTree(np.unique(radar, axis=0)).query(np.unique(lidar, axis=0), p=np.inf)[0]
    return [float((found <= cells).mean()) for cells in GROWTH_CELLS]
