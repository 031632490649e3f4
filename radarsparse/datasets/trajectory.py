"""Poses of a moving sensor over time, read from TUM files and interpolated."""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from radarsparse.datasets.native import parse_numbers
from radarsparse.errors import InputError
from radarsparse.files import count_of
from radarsparse.formats.tables import read_text

POSE_GAP_MAX_S = 0.5
QUATERNION_TOLERANCE = 0.01


@dataclass(frozen=True)
class Trajectory:
    """Poses of a body in a world frame.

    Attributes:
        stamps_s: [n] seconds, ascending, at least two.
        positions_m: [n, 3] of the body, world frame.
        rotations: n, from the body to the world frame.
    """

    stamps_s: NDArray[np.float64]
    positions_m: NDArray[np.float64]
    rotations: Rotation

    @cached_property
    def _slerp(self) -> Slerp:
        return Slerp(self.stamps_s, self.rotations)

    def covers(self, moments_s: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which moments [m] lie between two poses of at most `POSE_GAP_MAX_S` from each other."""
        first_s, last_s = self.stamps_s[0], self.stamps_s[-1]
        after = np.searchsorted(self.stamps_s, moments_s).clip(1, len(self.stamps_s) - 1)
        gap_s = self.stamps_s[after] - self.stamps_s[after - 1]
        return (moments_s >= first_s) & (moments_s <= last_s) & (gap_s <= POSE_GAP_MAX_S)

    def T_world_body(self, moment_s: float) -> NDArray[np.float64]:
        """The pose [4, 4] of the body at a moment, neither before the first nor after the last."""
        transform = np.eye(4)
        transform[:3, :3] = self._slerp(moment_s).as_matrix()
        transform[:3, 3] = self._positions_m(np.array([moment_s]))[0]
        return transform

    def to_world(
        self, points_m: NDArray[np.float64], moments_s: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Move points that were measured one after the other while the body moved.

        Args:
            points_m: [m, 3] each in the body's frame at its moment.
            moments_s: [m] seconds, none before the first pose nor after the last.

        Returns:
            [m, 3] metres, world frame.
        """
        if len(points_m) == 0:
            return points_m.copy()
        return self._slerp(moments_s).apply(points_m) + self._positions_m(moments_s)

    def _positions_m(self, moments_s: NDArray[np.float64]) -> NDArray[np.float64]:
        axes = [np.interp(moments_s, self.stamps_s, axis_m) for axis_m in self.positions_m.T]
        return np.stack(axes, axis=1)


def read_trajectory(path: Path) -> Trajectory:
    """Read poses as TUM has them: `stamp tx ty tz qx qy qz qw` a line, a header line in front.

    Lines that begin with `#` are passed over.

    Raises:
        InputError: the file is missing, a line is malformed, or stamps don't ascend.
    """
    rows = np.array(_read_rows(path))
    if len(rows) < 2:
        raise InputError(f"{path}: holds {count_of(len(rows), 'pose')}; at least 2 are needed")
    steps_s = np.diff(rows[:, 0])
    if (steps_s <= 0).any():
        at = int(np.argmax(steps_s <= 0))
        raise InputError(
            f"{path}: a pose of {rows[at + 1, 0]:.6f} s follows one of {rows[at, 0]:.6f} s;"
            " stamps must ascend"
        )
    return Trajectory(rows[:, 0], rows[:, 1:4], Rotation.from_quat(rows[:, 4:]))


def _read_rows(path: Path) -> list[list[float]]:
    """Rows of numbers; the first line may be a header, as no other may."""
    numbered = enumerate(read_text(path).splitlines(), start=1)
    lines = [(number, line) for number, line in numbered if line.strip() and line[0] != "#"]
    if lines and not re.match(r"\s*([-+.\d]|nan\b|inf\b)", lines[0][1]):
        lines = lines[1:]
    return [_read_pose(line, f"{path}, line {number}") for number, line in lines]


def _read_pose(line: str, source: str) -> list[float]:
    pose = parse_numbers(line, 8, f"{source}: stamp tx ty tz qx qy qz qw")
    length = math.hypot(*pose[4:])
    if abs(length - 1) > QUATERNION_TOLERANCE:
        raise InputError(
            f"{source}: the quaternion has length {length:.4g};"
            f" must be 1, within {QUATERNION_TOLERANCE:g}"
        )
    return pose
