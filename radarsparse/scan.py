"""Radar clouds, LiDAR clouds and pairs of them, and what is plausible in them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.files import count_of
from radarsparse.geometry import Floats, transform_points

RADAR_COLUMNS = ("x", "y", "z", "doppler_mps", "power_db")
LIDAR_COLUMNS = ("x", "y", "z", "intensity")

# What no sensor on a road measures lies outside: drivers' marks for "no value", other units.
BOUNDS = {
    **dict.fromkeys(("x", "y", "z"), (-1000.0, 1000.0)),
    "doppler_mps": (-200.0, 200.0),
    "power_db": (-200.0, 200.0),
    "intensity": (-1.0, 65535.0),
}
# Pulses without a return stand at the origin; no sensor sees what is this near.
NO_RETURN_M = 0.1

_log = logging.getLogger("radarsparse")


class ImplausibleError(InputError):
    """A cloud of which most points are none that a sensor measures."""


@dataclass(frozen=True)
class ScanPair:
    """A radar cloud and a LiDAR cloud of one moment.

    Attributes:
        name: the frame's name, such as `000012`.
        radar: float32 [n, 5], `RADAR_COLUMNS`, radar frame.
        lidar: float32 [m, 4], `LIDAR_COLUMNS`, LiDAR frame, intensity 0 to 255.
        T_radar_lidar: float64 [4, 4], `p_radar = T_radar_lidar @ p_lidar`.
        time_gap_s: seconds between both stamps, not negative; None where they aren't known.
        rings_deg: elevations of the rings of its LiDAR, LiDAR frame, where they aren't those of all
            frames of its data set.
    """

    name: str
    radar: NDArray[np.float32]
    lidar: NDArray[np.float32]
    T_radar_lidar: NDArray[np.float64]
    time_gap_s: float | None = None
    rings_deg: tuple[float, ...] | None = None

    @property
    def lidar_in_radar_frame(self) -> NDArray[np.float32]:
        """The LiDAR cloud, float32 [m, 4], radar frame."""
        return transform_points(self.T_radar_lidar, self.lidar).astype(np.float32)

    @property
    def lidar_origin_m(self) -> NDArray[np.float64]:
        """Where the LiDAR stands, [3] in metres, radar frame."""
        return self.T_radar_lidar[:3, 3]


def merge_sweeps(
    sweeps: Sequence[NDArray[np.float32]], T_radar_sweeps: Sequence[Floats]
) -> NDArray[np.float32]:
    """Put sweeps side by side in one radar frame; what moved meanwhile leaves a trail.

    Doppler and power stay as they were measured.

    Args:
        sweeps: each [n, 5] x, y, z [m], doppler_mps, power_db, in the radar frame of its moment.
        T_radar_sweeps: of each, [4, 4] from that frame to the one of the result.
    """
    pairs = zip(T_radar_sweeps, sweeps, strict=True)
    return np.concatenate(
        [transform_points(T_radar_sweep, sweep) for T_radar_sweep, sweep in pairs]
    )


def are_plausible(points: NDArray[Any], columns: Sequence[str], source: str) -> NDArray[np.bool_]:
    """Which points a sensor can have measured, [n]; says how many it can't and why.

    Args:
        points: [n, c] of any real type; NaN and infinity lie beyond no bound.
        columns: what the c columns hold, names of `BOUNDS`; the first three are x, y, z.
        source: what to call the points in messages.

    Raises:
        ImplausibleError: most of the points that were measured lie beyond a bound.
    """
    low, high = np.array([BOUNDS[name] for name in columns]).T
    finite = np.isfinite(points)
    with np.errstate(invalid="ignore", over="ignore"):
        beyond = finite & ((points < low) | (points > high))
        near = np.sum(points[:, :3].astype(np.float64) ** 2, axis=1) < NO_RETURN_M**2
    wrong = beyond.any(axis=1)
    # Organised clouds may be mostly NaN or without a return; that says nothing of their units.
    measured = np.sum(wrong | (finite.all(axis=1) & ~near))
    mostly = 2 * wrong.sum() > measured
    for number in np.argsort(-beyond.sum(axis=0), kind="stable").tolist():
        name, outside = columns[int(number)], beyond[:, number]
        if outside.any():
            least, most = BOUNDS[name]
            found = f"{name} {points[outside, number][0]:g} beyond {least:g} .. {most:g}"
            if mostly:
                count = f"{outside.sum()} of {count_of(measured, 'point')}"
                raise ImplausibleError(f"{source}: {found} in {count}")
            _tell(outside.sum(), len(points), found, source)
    _tell(near.sum(), len(points), "no return, at the origin", source)
    return ~(wrong | near)


def usable_points(points: NDArray[Any], columns: Sequence[str], source: str) -> NDArray[np.float32]:
    """The points that `are_plausible`, without those that hold NaN or infinity.

    Raises:
        ImplausibleError: most of the points that were measured lie beyond a bound.
        InputError: none is left.
    """
    plausible = points[are_plausible(points, columns, source)]
    finite = np.isfinite(plausible).all(axis=1)
    _tell((~finite).sum(), len(points), "NaN or infinity", source)
    if not finite.any():
        raise InputError(f"{source}: no usable point of {len(points)}; at least 1 is needed")
    return plausible[finite].astype(np.float32)


def _tell(dropped: int, count: int, reason: str, source: str) -> None:
    if dropped:
        _log.warning("%s: dropped %d of %s: %s", source, dropped, count_of(count, "point"), reason)
