"""Radar clouds that callers bring: what can be used of them, and what is foreign in them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from radarsparse.errors import InputError
from radarsparse.formats.content import check_count
from radarsparse.geometry import Volume, azimuth_rad
from radarsparse.scan import RADAR_COLUMNS, usable_points

# Of a radar cloud: so many take about a gigabyte.
RADAR_POINTS_MAX = 2**20
_DOPPLER, _POWER = RADAR_COLUMNS.index("doppler_mps"), RADAR_COLUMNS.index("power_db")
_AHEAD_RAD = np.radians(60.0)


class Bound(NamedTuple):
    """What is usual: from `low` to `high`, and what a value means that lies outside."""

    low: float
    high: float
    meaning: str


BOUNDS = {
    "points in the box": Bound(20, 20_000, "the weights know no such clouds"),
    "share in the box": Bound(0.3, 1.0, "most of the cloud is left out"),
    "share ahead": Bound(0.5, 1.0, "the radar looks backwards, or x isn't forward"),
    "speed by Doppler [m/s]": Bound(
        -3.0, 60.0, "the sign of the Doppler is turned round, or the car drives backwards"
    ),
    "kinds of power": Bound(2, np.inf, "power says nothing"),
}
"""What is looked at, in this order."""


class Finding(NamedTuple):
    """A value that is out of its bound, by name of `BOUNDS`."""

    name: str
    value: float

    def __str__(self) -> str:
        low, high, meaning = BOUNDS[self.name]
        bound = f"{low:g} or more" if np.isinf(high) else f"{low:g} to {high:g}"
        return f"{self.name}: {self.value:.4g}, usual is {bound}; {meaning}"


@dataclass(frozen=True)
class InputHealth:
    """How a radar cloud compares with what weights know.

    Attributes:
        points: usable ones.
        used: of them, those in the box.
        foreign: what is out of which bound; none where all is usual.
    """

    points: int
    used: int
    foreign: tuple[Finding, ...] = ()


def examine(points: NDArray[np.float32], volume: Volume) -> InputHealth:
    """Compare a radar cloud with what is usual.

    Args:
        points: [n, 5] `RADAR_COLUMNS`, radar frame, at least one.
        volume: that the network works on.
    """
    used = int(volume.contains(points).sum())
    values = {
        "points in the box": used,
        "share in the box": used / len(points),
        "share ahead": float(np.mean(points[:, 0] > 0)),
        "speed by Doppler [m/s]": _speed_mps(points),
        "kinds of power": len(np.unique(points[:, _POWER])),
    }
    foreign = tuple(
        Finding(name, value)
        for name, value in values.items()
        if not BOUNDS[name].low <= value <= BOUNDS[name].high
    )
    return InputHealth(len(points), used, foreign)


def _speed_mps(points: NDArray[np.float32]) -> float:
    """Forward speed at which most of what is ahead would stand; 0 where nothing is."""
    xyz = points[:, :3].astype(np.float64)
    ahead = np.abs(azimuth_rad(xyz)) < _AHEAD_RAD
    if not ahead.any():
        return 0.0
    towards = xyz[ahead, 0] / np.linalg.norm(xyz[ahead], axis=1)
    return float(-np.median(points[ahead, _DOPPLER] / towards))


def read_points(points: ArrayLike, name: str) -> NDArray[np.float32]:
    """The usable points of a radar cloud that a caller brings.

    Raises:
        InputError: it is no table of numbers with `RADAR_COLUMNS`, too large, or nothing in it is
            usable.
    """
    try:
        if isinstance(points, torch.Tensor):
            points = points.detach().cpu()
            points = points.double() if points.is_floating_point() else points
        table = np.asarray(points)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{name}: must be an array of numbers ({error})") from error
    if table.dtype.kind not in "iuf":
        raise InputError(f"{name}: must be an array of numbers, not of type {table.dtype}")
    if table.ndim != 2 or table.shape[1] != len(RADAR_COLUMNS):
        raise InputError(
            f"{name}: has shape {list(table.shape)}, needed is [n, {len(RADAR_COLUMNS)}]:"
            f" {', '.join(RADAR_COLUMNS)}"
        )
    check_count(len(table), name, RADAR_POINTS_MAX, "points")
    return usable_points(table.astype(np.float64), RADAR_COLUMNS, name)
