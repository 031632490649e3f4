"""Where a radar point may have come from: its angles are blurred, the more so the farther it is."""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from radarsparse.config import LATTICE_STRIDE
from radarsparse.data.voxelize import POWER_CENTER_DB, POWER_SCALE_DB
from radarsparse.geometry import Volume

FOOTPRINT_FEATURES = 2

# Of one radar point about the LiDAR return that is nearest to it: 90 % within 1.8 and 2.8 degrees.
_AZIMUTH_STD_RAD = np.radians(1.1)
_ELEVATION_STD_RAD = np.radians(1.7)
# Gauss-Hermite nodes in standard deviations and their shares: exact to the fifth power.
_NODES = ((-np.sqrt(3.0), 1.0 / 6.0), (0.0, 2.0 / 3.0), (np.sqrt(3.0), 1.0 / 6.0))


def radar_footprint(points: NDArray[np.float32], volume: Volume) -> NDArray[np.float32]:
    """How much radar each lattice cell may hold once angles are blurred.

    Args:
        points: [n, 5] x, y, z, doppler_mps, power_db, radar frame.
        volume: whose lattice.

    Returns:
        [cells, FOOTPRINT_FEATURES] logarithm of one plus the expected number of points, their
        expected power in all, scaled like `voxelize_radar`'s; rows as `Volume.lattice`.
    """
    sums = np.zeros((*(side // LATTICE_STRIDE for side in volume.shape), 2))
    inside_view = points[volume.contains(points)].astype(np.float64)
    power = (inside_view[:, 4] - POWER_CENTER_DB) / POWER_SCALE_DB
    for (azimuth, first), (elevation, second) in product(_NODES, _NODES):
        moved = _turn(inside_view, azimuth * _AZIMUTH_STD_RAD, elevation * _ELEVATION_STD_RAD)
        cell = volume.voxel_index(moved) // LATTICE_STRIDE
        inside = np.logical_and(cell >= 0, cell < sums.shape[:3]).all(axis=1)
        shares = first * second * np.stack([np.ones_like(power), power], axis=1)
        np.add.at(sums, tuple(cell[inside].T), shares[inside])
    rows = sums[tuple(volume.lattice(LATTICE_STRIDE).T)]
    rows[:, 0] = np.log1p(rows[:, 0])
    return rows.astype(np.float32)


def stack_footprints(clouds: Sequence[NDArray[np.float32]], volume: Volume) -> NDArray[np.float32]:
    """Footprints of several clouds one below the other."""
    return np.concatenate([radar_footprint(points, volume) for points in clouds])


def _turn(
    points: NDArray[np.float64], azimuth_rad: float, elevation_rad: float
) -> NDArray[np.float64]:
    """Points seen under other angles at the same range, [n, 3]."""
    ground_m = np.linalg.norm(points[:, :2], axis=1)
    range_m = np.linalg.norm(points[:, :3], axis=1)
    azimuth = np.arctan2(points[:, 1], points[:, 0]) + azimuth_rad
    elevation = np.arctan2(points[:, 2], ground_m) + elevation_rad
    flat_m = range_m * np.cos(elevation)
    x, y = flat_m * np.cos(azimuth), flat_m * np.sin(azimuth)
    return np.stack([x, y, range_m * np.sin(elevation)], axis=1)
