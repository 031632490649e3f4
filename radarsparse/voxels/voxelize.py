"""From points to voxels with features, and back."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radarsparse.config import LATTICE_STRIDE
from radarsparse.formats.prepared import INTENSITY_MAX
from radarsparse.geometry import Volume, azimuth_rad, cartesian
from radarsparse.voxels.power import comparable_power

Floats = NDArray[np.float32]

LIDAR_FEATURES = 5
RADAR_FEATURES = 11
FOOTPRINT_FEATURES = 2
DOPPLER_SCALE_MPS = 5.0
POWER_CENTER_DB = 60.0
POWER_SCALE_DB = 10.0


@dataclass(frozen=True)
class Voxels:
    """Active voxels of one cloud.

    Attributes:
        index: int64 [n, 3], sorted by (x, y, z).
        feats: float32 [n, c].
    """

    index: NDArray[np.int64]
    feats: Floats


def voxelize_lidar(points: Floats, volume: Volume) -> Voxels:
    """Voxels of a LiDAR cloud.

    Args:
        points: [m, 4] x, y, z, intensity (0 to 255), radar frame; those outside are left out.
        volume: where and how fine.

    Returns:
        Features: mean offset from the centre in half voxels (3), intensity (0 to 1), log count.
    """
    points = points[volume.contains(points)]
    groups = _Groups(volume.voxel_index(points))
    intensity = groups.mean(points[:, 3:4]) / INTENSITY_MAX
    feats = [_offset(groups, points, volume), intensity, np.log(groups.count)[:, None]]
    return Voxels(groups.index, np.concatenate(feats, axis=1).astype(np.float32))


def voxelize_radar(points: Floats, volume: Volume) -> Voxels:
    """Voxels of a radar cloud.

    Args:
        points: [m, 5] x, y, z, doppler_mps, power_db, radar frame; those outside are left out.
        volume: where and how fine.

    Returns:
        Features, each scaled to about one: log count, mean offset (3), Doppler mean and spread,
        power mean and maximum (comparable between radars), range, azimuth, elevation.
    """
    inside = volume.contains(points)
    power = _scaled_power(points)[inside, None]
    points = points[inside]
    groups = _Groups(volume.voxel_index(points))
    # In float32 the difference of squares would lose a small spread about a large mean.
    doppler = points[:, 3:4].astype(np.float64) / DOPPLER_SCALE_MPS
    doppler_mean = groups.mean(doppler)
    variance = groups.mean(doppler**2) - doppler_mean**2
    feats = [
        np.log(groups.count)[:, None],
        _offset(groups, points, volume),
        doppler_mean,
        np.sqrt(np.maximum(variance, 0.0)),
        groups.mean(power),
        groups.maximum(power),
        polar_features(volume.voxel_center(groups.index), volume),
    ]
    return Voxels(groups.index, np.concatenate(feats, axis=1).astype(np.float32))


# Of one radar point about the LiDAR return that is nearest to it: 90 % within 1.8 and 2.8 degrees.
_AZIMUTH_STD_RAD = np.radians(1.1)
_ELEVATION_STD_RAD = np.radians(1.7)
# Gauss-Hermite nodes in standard deviations and their shares: exact to the fifth power.
_NODES = np.array([-np.sqrt(3.0), 0.0, np.sqrt(3.0)])
_SHARES = np.array([1.0 / 6.0, 2.0 / 3.0, 1.0 / 6.0])


def radar_footprint(points: NDArray[np.float32], volume: Volume) -> NDArray[np.float32]:
    """How much radar each lattice cell may hold: angles are blurred, the more so the farther.

    Args:
        points: [n, 5] x, y, z, doppler_mps, power_db, radar frame.
        volume: whose lattice.

    Returns:
        [cells, FOOTPRINT_FEATURES] logarithm of one plus the expected number of points, their
        expected power in all, scaled like `voxelize_radar`'s; rows as `Volume.lattice`.
    """
    shape = tuple(side // LATTICE_STRIDE for side in volume.shape)
    inside = volume.contains(points)
    seen, power = points[inside].astype(np.float64), _scaled_power(points)[inside]
    cell = volume.voxel_index(_blur(seen)) // LATTICE_STRIDE
    held = np.logical_and(cell >= 0, cell < shape).all(axis=1)
    number = np.ravel_multi_index(tuple(cell[held].T), shape)
    shares = np.repeat(np.outer(_SHARES, _SHARES), len(seen))
    power = np.tile(power, _SHARES.size**2)
    size = int(np.prod(shape))
    sums = [np.bincount(number, values[held], size) for values in (shares, shares * power)]
    sums[0] = np.log1p(sums[0])
    rows = [field.reshape(shape)[tuple(volume.lattice(LATTICE_STRIDE).T)] for field in sums]
    return np.stack(rows, axis=1).astype(np.float32)


def place_points(index: NDArray[np.int64], feats: Floats, volume: Volume) -> Floats:
    """Points of voxels that say where in them a point lies and how bright it is.

    Args:
        index: [n, 3] voxels of stride 1.
        feats: [n, 4] offset from the centre in half voxels (3), intensity (0 to 1).
        volume: where and how fine.

    Returns:
        [n, 4] x, y, z in metres, intensity (0 to 255), radar frame.
    """
    points_m = volume.voxel_center(index) + feats[:, :3] * (0.5 * volume.voxel_size_m)
    return np.concatenate([points_m, feats[:, 3:4] * INTENSITY_MAX], axis=1).astype(np.float32)


def polar_features(centers_m: NDArray[np.floating], volume: Volume) -> NDArray[np.floating]:
    """Range, azimuth and elevation of points, each scaled to about one: [n, 3]."""
    range_m = np.linalg.norm(centers_m, axis=1)
    elevation_rad = np.arcsin(centers_m[:, 2] / np.maximum(range_m, 1e-6))
    azimuth = azimuth_rad(centers_m) / volume.azimuth_max_rad
    return np.stack([range_m / volume.range_max_m, azimuth, elevation_rad], axis=1)


def _scaled_power(points: Floats) -> NDArray[np.float64]:
    """Comparable power of all points of a cloud, scaled to about one."""
    return (comparable_power(points[:, 4]) - POWER_CENTER_DB) / POWER_SCALE_DB


def _offset(groups: "_Groups", points: Floats, volume: Volume) -> NDArray[np.floating]:
    mean_m = groups.mean(points[:, :3].astype(np.float64))
    return (mean_m - volume.voxel_center(groups.index)) / (0.5 * volume.voxel_size_m)


class _Groups:
    """Points [n] grouped by the voxels [n, 3] that they fall in."""

    def __init__(self, voxels: NDArray[np.int64]) -> None:
        x, y, z = voxels.T
        # One number sorts faster than three; a Volume's indices have 16 bits at most.
        number = (((x << 16) + y) << 16) + z
        self._order = np.argsort(number, kind="stable")
        self._start = np.flatnonzero(np.diff(number[self._order], prepend=-1))
        self.index = voxels[self._order[self._start]]
        self.count = np.diff(self._start, append=len(voxels))

    def mean(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Mean over the points of each voxel."""
        sums = np.add.reduceat(values[self._order].astype(np.float64), self._start, axis=0)
        return sums / self.count[:, None]

    def maximum(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Maximum over the points of each voxel."""
        return np.maximum.reduceat(values[self._order], self._start, axis=0)


def _blur(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points [9 n, 3] at the same range, under the angles of each pair of nodes."""
    elevation_rad = np.arctan2(points[:, 2], np.linalg.norm(points[:, :2], axis=1))
    azimuths = azimuth_rad(points) + (_NODES * _AZIMUTH_STD_RAD)[:, None, None]
    elevations = elevation_rad + (_NODES * _ELEVATION_STD_RAD)[:, None]
    return cartesian(np.linalg.norm(points[:, :3], axis=1), azimuths, elevations).reshape(-1, 3)
