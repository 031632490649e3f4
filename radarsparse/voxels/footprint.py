"""Where a radar point may have come from: its angles are blurred, the more so the farther it is."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from radarsparse.config import LATTICE_STRIDE
from radarsparse.geometry import Volume
from radarsparse.voxels.voxelize import POWER_CENTER_DB, POWER_SCALE_DB

FOOTPRINT_FEATURES = 2

# Of one radar point about the LiDAR return that is nearest to it: 90 % within 1.8 and 2.8 degrees.
_AZIMUTH_STD_RAD = np.radians(1.1)
_ELEVATION_STD_RAD = np.radians(1.7)
# Gauss-Hermite nodes in standard deviations and their shares: exact to the fifth power.
_NODES = ((-np.sqrt(3.0), 1.0 / 6.0), (0.0, 2.0 / 3.0), (np.sqrt(3.0), 1.0 / 6.0))
_TURNS = tuple(product(_NODES, _NODES))


def radar_footprint(points: NDArray[np.float32], volume: Volume) -> NDArray[np.float32]:
    """How much radar each lattice cell may hold once angles are blurred.

    Args:
        points: [n, 5] x, y, z, doppler_mps, power_db, radar frame.
        volume: whose lattice.

    Returns:
        [cells, FOOTPRINT_FEATURES] logarithm of one plus the expected number of points, their
        expected power in all, scaled like `voxelize_radar`'s; rows as `Volume.lattice`.
    """
    shape = tuple(side // LATTICE_STRIDE for side in volume.shape)
    inside_view = points[volume.contains(points)].astype(np.float64)
    cell = np.concatenate([volume.voxel_index(moved) for moved in _blur(inside_view)])
    cell //= LATTICE_STRIDE
    inside = np.logical_and(cell >= 0, cell < shape).all(axis=1)
    number = np.ravel_multi_index(tuple(cell[inside].T), shape)
    shares = np.repeat([first * second for (_, first), (_, second) in _TURNS], len(inside_view))
    power = np.tile((inside_view[:, 4] - POWER_CENTER_DB) / POWER_SCALE_DB, len(_TURNS))
    size = int(np.prod(shape))
    sums = [np.bincount(number, values[inside], size) for values in (shares, shares * power)]
    sums[0] = np.log1p(sums[0])
    rows = [field.reshape(shape)[tuple(volume.lattice(LATTICE_STRIDE).T)] for field in sums]
    return np.stack(rows, axis=1).astype(np.float32)


def stack_footprints(clouds: Sequence[NDArray[np.float32]], volume: Volume) -> NDArray[np.float32]:
    """Footprints of several clouds one below the other."""
    return np.concatenate([radar_footprint(points, volume) for points in clouds])


def _blur(points: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Points seen under each pair of nodes' angles at the same range, [n, 3]."""
    ground_m = np.linalg.norm(points[:, :2], axis=1)
    range_m = np.linalg.norm(points[:, :3], axis=1)
    azimuth_rad = np.arctan2(points[:, 1], points[:, 0])
    elevation_rad = np.arctan2(points[:, 2], ground_m)
    azimuths = [azimuth_rad + node * _AZIMUTH_STD_RAD for node, _ in _NODES]
    elevations = [elevation_rad + node * _ELEVATION_STD_RAD for node, _ in _NODES]
    across = [(np.cos(angle), np.sin(angle)) for angle in azimuths]
    upward = [(range_m * np.cos(angle), range_m * np.sin(angle)) for angle in elevations]
    for (cos, sin), (flat_m, z_m) in product(across, upward):
        yield np.stack([flat_m * cos, flat_m * sin, z_m], axis=1)
