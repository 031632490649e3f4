"""Transforms, the volume that a model works on, and the ray-cast observed mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from radarsparse.config import VolumeSettings

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]


def transform_points(T_to_from: Floats, points: Floats) -> Floats:
    """Move points from one frame to another, keeping further columns.

    Args:
        T_to_from: [4, 4] rigid transform.
        points: [n, 3 or more], x, y, z in metres first.

    Returns:
        A copy with the first three columns in the new frame, same dtype.
    """
    moved = points.copy()
    moved[:, :3] = points[:, :3] @ T_to_from[:3, :3].T + T_to_from[:3, 3]
    return moved


def pose(yaw_pitch_roll_rad: ArrayLike, position_m: ArrayLike) -> NDArray[np.float64]:
    """Transform to the parent frame of a body that is turned about z, then y, then x.

    Args:
        yaw_pitch_roll_rad: [3] angles about z, y and x; positive pitch looks down.
        position_m: [3] of the body in the parent frame.
    """
    (cy, cp, cr), (sy, sp, sr) = np.cos(yaw_pitch_roll_rad), np.sin(yaw_pitch_roll_rad)
    transform = np.eye(4)
    transform[:3, :3] = (
        np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    )
    transform[:3, 3] = position_m
    return transform


def take_pose_apart(T_parent_body: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The inverse of `pose`: angles [3] about z, y and x in radians, position [3] in metres.

    Args:
        T_parent_body: rigid [4, 4].
    """
    x, y, z = T_parent_body[:3, 0]
    yaw, pitch = np.arctan2(y, x), np.arctan2(-z, np.hypot(x, y))
    # Roll is what is left, so that whatever yaw a body gets that looks straight up or down fits it.
    left = np.linalg.inv(pose((yaw, pitch, 0.0), (0.0, 0.0, 0.0))) @ T_parent_body
    return np.array([yaw, pitch, np.arctan2(left[2, 1], left[1, 1])]), T_parent_body[:3, 3].copy()


def azimuth_rad(points: Floats) -> Floats:
    """Angle of each point to the left of straight ahead, in radians."""
    return np.arctan2(points[:, 1], points[:, 0])


def cartesian(range_m: Floats | float, azimuth: Floats, elevation: Floats) -> NDArray[np.float64]:
    """Points [..., 3] in metres at ranges and angles in radians, which are broadcast."""
    level_m = range_m * np.cos(elevation)
    x, y, z = level_m * np.cos(azimuth), level_m * np.sin(azimuth), range_m * np.sin(elevation)
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1)


@dataclass(frozen=True)
class Volume:
    """The box, the voxel size and the field of view that a model works on, in the radar frame."""

    minimum_m: tuple[float, float, float]
    maximum_m: tuple[float, float, float]
    voxel_size_m: float
    azimuth_max_rad: float

    @staticmethod
    def from_settings(settings: VolumeSettings) -> "Volume":
        """The volume that a config describes."""
        azimuth_max_rad = float(np.radians(settings.azimuth_max_deg))
        return Volume(
            settings.minimum_m, settings.maximum_m, settings.voxel_size_m, azimuth_max_rad
        )

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along x, y and z."""
        side_m = np.subtract(self.maximum_m, self.minimum_m)
        x, y, z = np.rint(side_m / self.voxel_size_m).astype(int).tolist()
        return x, y, z

    @property
    def range_max_m(self) -> float:
        """Distance from the sensor to the farthest corner of the box."""
        corners = np.maximum(np.abs(self.minimum_m), np.abs(self.maximum_m))
        return float(np.linalg.norm(corners))

    @property
    def diagonal_m(self) -> float:
        """Distance between two opposite corners of the box."""
        return float(np.linalg.norm(np.subtract(self.maximum_m, self.minimum_m)))

    def contains(self, points: Floats) -> NDArray[np.bool_]:
        """Which points lie in the box and the field of view.

        Args:
            points: [n, 3 or more], metres, radar frame.
        """
        index = self.voxel_index(points)
        rows = np.logical_and(index >= 0, index < self.shape).all(axis=1).nonzero()[0]
        rows = rows[np.abs(azimuth_rad(points[rows])) <= self.azimuth_max_rad]
        inside = np.zeros(len(points), dtype=np.bool_)
        inside[rows] = True
        return inside

    def voxel_index(self, points: Floats) -> Ints:
        """Index of the voxel that each point falls in; float64 so that no point changes voxel."""
        scaled = (points[:, :3].astype(np.float64) - self.minimum_m) / self.voxel_size_m
        return np.floor(scaled).astype(np.int64)

    def voxel_center(self, index: Ints, stride: int = 1) -> Floats:
        """Centres in metres of voxels given by their indices at a stride."""
        return (index + 0.5) * (self.voxel_size_m * stride) + np.asarray(self.minimum_m)

    def lattice(self, stride: int) -> Ints:
        """All cells of a stride that reach into the field of view, sorted by (x, y, z).

        Returns:
            [m, 3] cell indices at that stride, shared between calls and therefore read-only.
        """
        return _lattice(self, stride)


@lru_cache(maxsize=8)
def _lattice(volume: Volume, stride: int) -> Ints:
    cells = np.stack([*np.indices([side // stride for side in volume.shape])], axis=-1)
    size_m = volume.voxel_size_m * stride
    low_m = cells[..., :2] * size_m + np.asarray(volume.minimum_m[:2])
    high_m = low_m + size_m
    # A cell has a corner in view, or an edge of the view passes through it.
    seen = np.zeros(cells.shape[:-1], dtype=np.bool_)
    for x_m, y_m in product((low_m[..., 0], high_m[..., 0]), (low_m[..., 1], high_m[..., 1])):
        seen |= np.abs(np.arctan2(y_m, x_m)) <= volume.azimuth_max_rad
    for azimuth in (-volume.azimuth_max_rad, volume.azimuth_max_rad):
        seen |= _ray_meets(np.array([np.cos(azimuth), np.sin(azimuth)]), low_m, high_m)
    lattice = cells[seen].astype(np.int64)
    lattice.flags.writeable = False
    return lattice


def _ray_meets(direction: Floats, low_m: Floats, high_m: Floats) -> NDArray[np.bool_]:
    """Which rectangles [..., 2] a ray from the origin meets: the slab test."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ends_m = np.stack([low_m / direction, high_m / direction])
    # A ray along a rectangle's side divides zero by zero: that side doesn't bound it.
    enter_m = np.nan_to_num(ends_m, nan=-np.inf, posinf=np.inf, neginf=-np.inf).min(0).max(-1)
    leave_m = np.nan_to_num(ends_m, nan=np.inf, posinf=np.inf, neginf=-np.inf).max(0).min(-1)
    return np.maximum(enter_m, 0.0) <= leave_m


# Share of a ray: where it meets two planes at once, rounding must not leave the point before one.
_BEHIND_PLANE = 1e-9
# Few enough that what they enter fits into a core's cache.
_RAYS_AT_ONCE = 2048


def observed_mask(
    volume: Volume, stride: int, origin_m: Floats, points: Floats
) -> NDArray[np.bool_]:
    """Cells that a LiDAR ray crossed or hit.

    A ray enters a new cell wherever it meets one of the grid's planes: along the plane's axis the
    cell is known, along the others the point just behind the plane names it.

    Args:
        volume: the box whose cells are marked.
        stride: side of a cell in voxels.
        origin_m: [3] the LiDAR's position, radar frame.
        points: [n, 3 or more] returns, radar frame, inside the box or not.

    Returns:
        [x, y, z] True where observed.
    """
    size_m = volume.voxel_size_m * stride
    mask = np.zeros(np.array(volume.shape) // stride, dtype=bool)
    start = (np.asarray(origin_m, dtype=np.float64) - volume.minimum_m) / size_m
    end = (points[:, :3].astype(np.float64) - volume.minimum_m) / size_m
    _mark(mask, start[:, None])
    for first in range(0, len(end), _RAYS_AT_ONCE):
        # Axes are read one by one, and faster where each lies in one piece.
        ends = np.ascontiguousarray(end[first : first + _RAYS_AT_ONCE].T)
        _mark(mask, ends)
        for axis in range(3):
            _mark(mask, _entered_cells(start, ends, axis, mask.shape[axis]))
    return mask


def _mark(mask: NDArray[np.bool_], points: Sequence[Floats] | Floats) -> None:
    """Set the cells that hold points, [3, n] in cells; those outside are left out."""
    number = np.zeros(len(points[0]), dtype=np.int64)
    inside = np.ones(len(points[0]), dtype=np.bool_)
    for side, values in zip(mask.shape, points, strict=True):
        cell = np.floor(values).astype(np.int64)
        inside = inside & (cell >= 0) & (cell < side)
        number = number * side + cell
    mask.reshape(-1)[number[inside]] = True


def _entered_cells(start: Floats, end: Floats, axis: int, cells: int) -> list[Floats]:
    """A point in each cell that rays enter through planes across an axis.

    Args:
        start: [3] where all rays begin, in cells.
        end: [3, n] where they end.
        axis: the planes'.
        cells: along it.

    Returns:
        [3, k] positions, in cells.
    """
    step = end - start[:, None]
    ahead = step[axis] > 0.0
    # The box's own faces count where a ray comes in through them.
    first = np.where(ahead, max(np.ceil(start[axis]), 0), np.maximum(np.floor(end[axis]) + 1, 1))
    last = np.where(
        ahead, np.minimum(np.ceil(end[axis]), cells) - 1, min(np.floor(start[axis]), cells)
    )
    count = np.maximum(last - first + 1, 0).astype(np.int64)
    plane = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
    share = (plane - start[axis]) / np.repeat(step[axis], count)
    behind = share + _BEHIND_PLANE
    inside = [start[other] + behind * np.repeat(step[other], count) for other in range(3)]
    # Rounding must not count a plane that the return itself lies on.
    inside[axis] = np.where(share < 1.0, plane - np.repeat(np.where(ahead, 0, 1), count), -1)
    return inside
