"""A radar's own motion from its Doppler values and from static points of neighbouring scans."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, permutations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from radarsparse.errors import InputError
from radarsparse.files import count_of
from radarsparse.geometry import pose, transform_points

# Two steps of a 77 GHz radar's Doppler (about 0.1 m/s), and a seventh of a walking pace: what it
# holds back of the static world is noise, what it lets pass stands or crosses the line of sight.
STATIC_TOLERANCE_MPS = 0.2
POINTS_LEAST = 3

_GUESSES, _GUESS_POINTS, _REFINEMENTS = 256, 2048, 10
# Of two lines of sight, the sine of the angle between them: nearer ones tell one velocity only.
_SINE_LEAST = 0.02

# The yaw rate is one for so many scans before and after a step; single pairs hold too few points.
_WINDOW = 5
_YAW_RATE_MAX_RADPS = np.radians(60.0)
_YAW_STEPS_RADPS = np.radians((4.0, 0.5))
_NEAR_M = 0.5

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class StaticScan:
    """A radar scan and what of it stands still.

    Attributes:
        name: of the scan.
        radar: float32 [n, 5], `RADAR_COLUMNS`, radar frame.
        velocity_mps: float64 [2], the radar's own, ahead and to the left, in its own frame.
    """

    name: str
    radar: NDArray[np.float32]
    velocity_mps: Floats

    @cached_property
    def is_static(self) -> NDArray[np.bool_]:
        """Which points have the Doppler of a world that stands still, [n]."""
        residual = self.radar[:, 3] + _level_directions(self.radar) @ self.velocity_mps
        return np.abs(residual) < STATIC_TOLERANCE_MPS

    @property
    def static_points(self) -> NDArray[np.float64]:
        """Positions of these, [m, 3] in metres, radar frame."""
        return self.radar[self.is_static, :3].astype(np.float64)

    def repeats(self, other: "StaticScan") -> bool:
        """Whether both hold one measurement, wherever points lie and whatever was cropped.

        Most points then have a Doppler and power that one point of the other scan has, too. Values
        that several points of a scan share, as those of coarse steps do, don't count.
        """
        least = 0.5 * min(len(self.radar), len(other.radar))
        return len(self._single_values & other._single_values) > least

    @cached_property
    def _single_values(self) -> set[tuple[float, ...]]:
        """Doppler and power that one point alone has."""
        values, count = np.unique(self.radar[:, 3:], axis=0, return_counts=True)
        return set(map(tuple, values[count == 1].tolist()))


def find_static(name: str, radar: NDArray[np.float32]) -> StaticScan:
    """Fit the radar's own level velocity to the Doppler values of one scan.

    Pairs of points drawn with a fixed seed give guesses, the one that explains most points within
    `STATIC_TOLERANCE_MPS` is refined by least squares. Doppler must not be folded.

    Args:
        name: of the scan.
        radar: [n, 5], `RADAR_COLUMNS`, radar frame.

    Raises:
        InputError: there are fewer than `POINTS_LEAST` points, or all lie in one direction.

    Source:
        Kellner et al., "Instantaneous ego-motion estimation using Doppler radar", ITSC 2013.
    """
    if len(radar) < POINTS_LEAST:
        found = count_of(len(radar), "point")
        raise InputError(f"scan {name}: {found}; at least {POINTS_LEAST} tell the radar's velocity")
    directions, doppler_mps = _level_directions(radar), radar[:, 3].astype(np.float64)
    velocity_mps = _guess_velocity(name, directions, doppler_mps)
    for _ in range(_REFINEMENTS):
        agrees = np.abs(doppler_mps + directions @ velocity_mps) < STATIC_TOLERANCE_MPS
        if np.sum(agrees) < 2:
            break
        velocity_mps = np.linalg.lstsq(-directions[agrees], doppler_mps[agrees], rcond=None)[0]
    return StaticScan(name, radar, velocity_mps)


def _level_directions(radar: Floats) -> NDArray[np.float64]:
    """The level part of the unit vectors to points, [n, 2]."""
    points_m = radar[:, :3].astype(np.float64)
    return points_m[:, :2] / np.linalg.norm(points_m, axis=1, keepdims=True)


def _guess_velocity(name: str, directions: Floats, doppler_mps: Floats) -> Floats:
    random = np.random.default_rng(0)
    rows = random.integers(len(directions), size=(_GUESSES, 2))
    pairs = directions[rows]
    rows = rows[np.abs(np.linalg.det(pairs)) > _SINE_LEAST]
    if len(rows) == 0:
        raise InputError(
            f"scan {name}: all of {len(directions)} points lie in one direction; the radar's"
            " velocity can't be told from their Doppler"
        )
    guesses = np.linalg.solve(-directions[rows], doppler_mps[rows][..., None])[..., 0]
    asked = np.linspace(0, len(directions) - 1, min(len(directions), _GUESS_POINTS)).astype(int)
    residuals = doppler_mps[asked] + guesses @ directions[asked].T
    return guesses[(np.abs(residuals) < STATIC_TOLERANCE_MPS).sum(axis=1).argmax()]


def move_by_doppler(scans: Sequence[StaticScan], rate_hz: float) -> list[NDArray[np.float64]]:
    """Level motion of the radar: velocities of its Doppler values, turned by what aligns scans.

    Doppler tells the radar's velocity in its own frame, not its yaw. For each step, the yaw rate
    is the one that brings most static points of the scans about it near each other.

    Args:
        scans: of one clip, in the order of time.
        rate_hz: scans per second.

    Returns:
        For each scan but the last [4, 4] to its frame from that of the next.
    """
    steps = []
    for at in range(len(scans) - 1):
        first = max(0, at - _WINDOW + 1)
        around = scans[first : at + _WINDOW + 1]
        yaw_rad = _find_yaw_rate_radps(around, rate_hz) / rate_hz
        steps.append(_step(scans[at], scans[at + 1], yaw_rad, rate_hz))
    return steps


def chain_steps(steps: Sequence[Floats]) -> list[NDArray[np.float64]]:
    """Poses [4, 4] of all scans in the frame of the first from the steps between them."""
    poses = [np.eye(4)]
    for step in steps:
        poses.append(poses[-1] @ step)
    return poses


def _step(
    scan: StaticScan, following: StaticScan, yaw_rad: float, rate_hz: float
) -> NDArray[np.float64]:
    """To a scan's frame from that of the next, by the mean of both velocities."""
    turn = pose((yaw_rad, 0.0, 0.0), (0.0, 0.0, 0.0))
    mean_mps = 0.5 * (scan.velocity_mps + turn[:2, :2] @ following.velocity_mps)
    turn[:2, 3] = mean_mps / rate_hz
    return turn


def _find_yaw_rate_radps(scans: Sequence[StaticScan], rate_hz: float) -> float:
    """Search the yaw rate that aligns scans best, coarsely and then finely."""
    best, reach = 0.0, _YAW_RATE_MAX_RADPS
    clouds = [scan.static_points for scan in scans]
    pairs = [
        (a, b)
        for a, b in permutations(range(len(scans)), 2)
        # One measurement twice says nothing of motion.
        if len(clouds[a]) and len(clouds[b]) and not scans[a].repeats(scans[b])
    ]
    for step in _YAW_STEPS_RADPS:
        # From the middle outwards: of rates that are as good, the smallest counts.
        rates = sorted(best + np.arange(-reach, reach + 0.5 * step, step), key=abs)
        overlaps = [_overlap(scans, clouds, pairs, rate / rate_hz, rate_hz) for rate in rates]
        best, reach = float(rates[int(np.argmax(overlaps))]), step
    return best


def _overlap(
    scans: Sequence[StaticScan],
    clouds: Sequence[Floats],
    pairs: Sequence[tuple[int, int]],
    yaw_rad: float,
    rate_hz: float,
) -> float:
    """How many points have a neighbour in other scans, if all steps turn by one angle."""
    steps = [_step(*both, yaw_rad, rate_hz) for both in pairwise(scans)]
    moved = [
        transform_points(T_first_scan, cloud)
        for T_first_scan, cloud in zip(chain_steps(steps), clouds, strict=True)
    ]
    trees = [KDTree(points_m) for points_m in moved]
    found = [trees[b].query(moved[a], distance_upper_bound=3 * _NEAR_M)[0] for a, b in pairs]
    distances_m = np.concatenate(found) if found else np.zeros(0)
    return float(np.exp(-0.5 * (distances_m / _NEAR_M) ** 2).sum())
