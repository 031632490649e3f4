"""Radar clouds that callers bring: what can be used of them, and what is foreign in them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from radarsparse.config import RadarSettings
from radarsparse.errors import InputError
from radarsparse.formats.content import check_count
from radarsparse.geometry import Volume
from radarsparse.scan import RADAR_COLUMNS, usable_points
from radarsparse.voxels.forward_speed import forward_speed_mps
from radarsparse.voxels.power import REFERENCE_DB

# Of a radar cloud: so many take about a gigabyte.
RADAR_POINTS_MAX = 2**20
_POWER = RADAR_COLUMNS.index("power_db")

# The Astyx has half of its points in the default box, seldom less than this.
_INSIDE_SHARE_MIN = 0.3
# So fast cars drive backwards, and so fast they drive at all.
_SPEED_MPS = (-3.0, 60.0)


class Finding(NamedTuple):
    """A value of a radar cloud, its bounds, and what it means that it lies outside of them."""

    name: str
    value: float
    low: float
    high: float
    meaning: str

    @property
    def is_foreign(self) -> bool:
        """Whether the value is out of its bounds."""
        return not self.low <= self.value <= self.high

    def __str__(self) -> str:
        usual = f"{self.low:g} or more" if np.isinf(self.high) else f"{self.low:g} to {self.high:g}"
        return f"{self.name} {self.value:.4g}, usual is {usual}: {self.meaning}"


@dataclass(frozen=True)
class InputHealth:
    """How a radar cloud compares with those that a network was trained on.

    Attributes:
        points: usable ones.
        used: of them, those in the volume.
        foreign: what is out of which bounds; none where all is usual.
    """

    points: int
    used: int
    foreign: tuple[Finding, ...] = ()

    def __str__(self) -> str:
        said = "; ".join(map(str, self.foreign)) or "nothing foreign"
        return f"used {self.used:,} of {self.points:,} points; {said}"


def examine(points: NDArray[np.float32], volume: Volume, radar: RadarSettings) -> InputHealth:
    """Compare a radar cloud with what is usual.

    Args:
        points: [n, 5] `RADAR_COLUMNS`, radar frame, at least one.
        volume: that the network works on.
        radar: what is known of the clouds that it was trained on.
    """
    used, power_db = int(volume.contains(points).sum()), points[:, _POWER]
    findings = (
        Finding("points in view", used, *radar.points, "the weights know no such clouds"),
        Finding("share in view", used / len(points), _INSIDE_SHARE_MIN, 1.0, _describe(volume)),
        Finding("share with x above 0", *_ahead(points), "the radar looks backwards?"),
        Finding(
            "forward speed by Doppler [m/s]",
            forward_speed_mps(points),
            *_SPEED_MPS,
            "the radar looks backwards, or the Doppler's sign is turned (negative is approaching)",
        ),
        Finding(
            "median of power [dB]",
            float(np.median(power_db)),
            *(REFERENCE_DB[0], REFERENCE_DB[-1]),
            "another scale; power is mapped by its ranks",
        ),
        Finding("kinds of power", len(np.unique(power_db)), 2, np.inf, "power says nothing"),
    )
    foreign = tuple(finding for finding in findings if finding.is_foreign)
    return InputHealth(len(points), used, foreign)


def _ahead(points: NDArray[np.float32]) -> tuple[float, float, float]:
    """The share of points before the radar, and its bounds."""
    return float(np.mean(points[:, 0] > 0)), 0.5, 1.0


def _describe(volume: Volume) -> str:
    sides = zip("xyz", volume.minimum_m, volume.maximum_m, strict=True)
    box = ", ".join(f"{axis} {low:g} to {high:g}" for axis, low, high in sides)
    degrees = np.degrees(volume.azimuth_max_rad)
    return f"in view is {box} m within {degrees:g} deg to each side"


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
