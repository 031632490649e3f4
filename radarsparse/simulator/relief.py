"""Ground that rises and falls, and where rays meet it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Rays are followed in steps that are short against the waves, longer where only grazing rays are
# left; where one has dived below the ground, the crossing is closed in.
_STEP_M = 4.0
_STEP_GROWTH = 0.06
_REACH_M = 500.0
_CLOSE_IN = 8


@dataclass(frozen=True)
class Wave:
    """One of the waves whose sum is the ground.

    Attributes:
        height_m: from the middle to the crest.
        per_m: how fast the phase turns along x and y, radians a metre.
        phase_rad: at the origin.
    """

    height_m: float
    per_m: tuple[float, float]
    phase_rad: float


@dataclass(frozen=True)
class Relief:
    """The ground's height over the world frame's x and y: a sum of waves, 0 at the origin."""

    waves: tuple[Wave, ...] = ()

    def height_m(self, x: Floats | float, y: Floats | float) -> Floats:
        """Height of the ground at [n] places."""
        height = np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y)))
        for wave in self.waves:
            phase = wave.per_m[0] * x + wave.per_m[1] * y + wave.phase_rad
            height += wave.height_m * (np.sin(phase) - np.sin(wave.phase_rad))
        return height

    def slope(self, x: Floats | float, y: Floats | float) -> Floats:
        """Rise of the ground per metre along x and along y at [n] places, [2, n]."""
        rise = np.zeros((2, *np.broadcast_shapes(np.shape(x), np.shape(y))))
        for wave in self.waves:
            phase = wave.per_m[0] * x + wave.per_m[1] * y + wave.phase_rad
            rise += np.multiply.outer(wave.per_m, wave.height_m * np.cos(phase))
        return rise

    @property
    def steepest(self) -> float:
        """No place rises by more per metre."""
        return sum(wave.height_m * float(np.hypot(*wave.per_m)) for wave in self.waves)


FLAT = Relief()


def range_to_ground(relief: Relief, origin_m: Floats, directions: Floats) -> Floats:
    """Where rays first meet the ground, [n]; infinite where they don't.

    Args:
        relief: the ground.
        origin_m: [3] where all rays start, above the ground.
        directions: [n, 3] unit vectors.
    """
    if not relief.waves:
        with np.errstate(divide="ignore"):
            range_m = -origin_m[2] / directions[:, 2]
        return np.where(range_m > 0, range_m, np.inf)
    near_m, far_m = _bracket(relief, origin_m, directions)
    met = np.isfinite(far_m)
    far_m[met] = _close_in(relief, origin_m, directions[met], near_m[met], far_m[met])
    return far_m


def _clearance_m(relief: Relief, origin_m: Floats, directions: Floats, range_m: Floats) -> Floats:
    x, y, z = (origin_m + directions * range_m[:, None]).T
    return z - relief.height_m(x, y)


def _bracket(relief: Relief, origin_m: Floats, directions: Floats) -> tuple[Floats, Floats]:
    """The step in which each ray dives below the ground, from and to; to infinity where none."""
    near_m, far_m = np.zeros(len(directions)), np.full(len(directions), np.inf)
    level = np.hypot(directions[:, 0], directions[:, 1])
    row = np.flatnonzero(directions[:, 2] <= relief.steepest * level)
    reached_m = 0.0
    while len(row) and reached_m < _REACH_M:
        next_m = reached_m + max(_STEP_M, _STEP_GROWTH * reached_m)
        end_m = np.full(len(row), next_m)
        below = _clearance_m(relief, origin_m, directions[row], end_m) < 0
        far_m[row[below]], near_m[row[below]] = next_m, reached_m
        row, reached_m = row[~below], next_m
    return near_m, far_m


def _close_in(
    relief: Relief, origin_m: Floats, directions: Floats, low: Floats, high: Floats
) -> Floats:
    """The crossing between two ranges, by the Illinois form of false position."""
    over = _clearance_m(relief, origin_m, directions, low)
    under = _clearance_m(relief, origin_m, directions, high)
    was_above = np.zeros(len(low), dtype=bool)
    for number in range(_CLOSE_IN):
        middle = low + (high - low) * over / (over - under)
        found = _clearance_m(relief, origin_m, directions, middle)
        above = found >= 0
        # An end that stays put twice counts half, so that both ends move.
        share = np.where((above == was_above) & (number > 0), 0.5, 1.0)
        over, under = np.where(above, found, share * over), np.where(above, share * under, found)
        low, high = np.where(above, middle, low), np.where(above, high, middle)
        was_above = above
    return low + (high - low) * over / (over - under)
