"""Where a LiDAR's beams return, when points of voxels say what is there: a cloud with rings."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radarsparse.geometry import Floats, transform_points
from radarsparse.voxels.scene import Surroundings

Indices = NDArray[np.int64]


class Returns(NamedTuple):
    """What comes back along beams.

    Attributes:
        points: float32 [m, 3] x, y, z in metres, radar frame.
        source: int64 [m] number of the voxel that each one is of.
    """

    points: NDArray[np.float32]
    source: Indices


class _Hits(NamedTuple):
    """Meetings of voxels and beams, each of a ring and a column of the LiDAR's: int64 [k]."""

    source: Indices
    ring: Indices
    column: Indices


def find_returns(
    points: Floats, probability: Floats, around: Surroundings, share: float
) -> Returns:
    """Returns of all beams that meet voxels: of the likeliest one, the nearest of several such.

    A voxel is met as an upright square, as wide as itself, that faces the LiDAR at the voxel's
    point. Beams go out at steps of the azimuth, along every ring.

    Args:
        points: [n, 3] one of each voxel, metres, radar frame.
        probability: [n] that there is something at all.
        around: the LiDAR and the volume, in which returns lie, too. Where the LiDAR has no rings
            the points come back as they are.
        share: of the likeliest voxel's probability; likelier ones return, too.
    """
    lidar, volume, T_radar_lidar = around.lidar, around.volume, around.T_radar_lidar
    if not lidar.rings_deg:
        return Returns(points.astype(np.float32), np.arange(len(points)))
    own = transform_points(np.linalg.inv(T_radar_lidar), points.astype(np.float64))
    rings_rad = np.radians(np.sort(np.asarray(lidar.rings_deg, dtype=np.float64)))
    step_rad, columns = np.radians(lidar.azimuth_step_deg), round(360.0 / lidar.azimuth_step_deg)
    hits = _meet(own, rings_rad, step_rad, 0.5 * volume.voxel_size_m)
    ahead_m = np.hypot(own[:, 0], own[:, 1])
    kept = _likely(hits, columns, probability, ahead_m, share)
    source, azimuth = hits.source[kept], hits.column[kept] * step_rad
    steep = np.tan(rings_rad[hits.ring[kept]])
    returns = ahead_m[source, None] * np.stack([np.cos(azimuth), np.sin(azimuth), steep], axis=1)
    placed = transform_points(T_radar_lidar, returns).astype(np.float32)
    inside = volume.contains(placed)
    return Returns(placed[inside], source[inside])


def _meet(own: Floats, rings_rad: Floats, step_rad: float, half_m: float) -> _Hits:
    """Which beams meet which voxels.

    Args:
        own: [n, 3] points in the LiDAR's frame.
        rings_rad: [r] elevations, ascending.
        step_rad: of the azimuth.
        half_m: half the side of a voxel.
    """
    ahead_m = np.maximum(np.hypot(own[:, 0], own[:, 1]), half_m)
    low, high = (np.arctan2(own[:, 2] + side, ahead_m) for side in (-half_m, half_m))
    end = np.searchsorted(rings_rad, high, side="right")
    voxel, ring = _count_up(np.searchsorted(rings_rad, low), end)
    middle = np.arctan2(own[:, 1], own[:, 0])[voxel] / step_rad
    half = half_m / ahead_m[voxel] / step_rad
    # A voxel that is narrower than a step is met by the nearest beam.
    first = np.minimum(np.ceil(middle - half), np.rint(middle)).astype(np.int64)
    last = np.maximum(np.floor(middle + half), np.rint(middle)).astype(np.int64)
    pair, column = _count_up(first, last + 1)
    return _Hits(voxel[pair], ring[pair], column)


def _count_up(first: Indices, end: Indices) -> tuple[Indices, Indices]:
    """All whole numbers of many ranges: which range each is of, and the number."""
    counts = np.maximum(end - first, 0)
    which = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(which)) - (np.cumsum(counts) - counts)[which]
    return which, first[which] + within


def _likely(
    hits: _Hits, columns: int, probability: Floats, ahead_m: Floats, share: float
) -> NDArray[np.bool_]:
    """Which hits are returns.

    Args:
        hits: of voxels by beams.
        columns: of a whole turn.
        probability: [n] of each voxel.
        ahead_m: [n] how far it is.
        share: as in `find_returns`.
    """
    said, beam = probability[hits.source], hits.ring * columns + hits.column % columns
    order = np.lexsort((ahead_m[hits.source], -said, beam))
    begins = np.diff(beam[order], prepend=-1) != 0
    best = order[begins][np.cumsum(begins) - 1]
    kept = np.empty(len(said), dtype=bool)
    kept[order] = begins | (said[order] > share * said[best])
    return kept
