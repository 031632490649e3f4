"""First hits of rays in a world: ground, boxes and cylinders, all rays at once.

Leaves and wires stop rays somewhere within the parts that stand for them, after a free path that is
drawn anew for each ray and part.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radarsparse.simulator.relief import Relief, range_to_ground
from radarsparse.simulator.world import Box, Cylinder, Floats, Material, World

GROUND = 0
NOTHING = -1
EDGE_RAD = 1e-9
CLEAR_AS_TO_LIGHT = np.ones(len(Material))

# Leaves are turned to all sides.
LEAF_COSINE = (0.3, 1.0)


class _Crossed(NamedTuple):
    """Rays that cross a part, or start in it.

    Attributes:
        row: of each ray.
        enter_m: range where it enters the part, not above 0 where it starts in it.
        leave_m: range where it leaves the part.
        cosine: of incidence where it enters.
    """

    row: NDArray[np.int64]
    enter_m: Floats
    leave_m: Floats
    cosine: Floats

    def take(self, chosen: NDArray[np.bool_]) -> "_Crossed":
        return _Crossed._make(values[chosen] for values in self)


class Hits(NamedTuple):
    """Where rays end.

    Attributes:
        range_m: [n] infinite where nothing is hit.
        cos_incidence: [n] 1 where the ray meets the surface head-on.
        owner: [n] `NOTHING`, `GROUND` or the number of a part, from 1 on.
        material: [n] rows of the sensors' tables.
        velocity_mps: [n, 3] of the surface, world frame.
    """

    range_m: Floats
    cos_incidence: Floats
    owner: NDArray[np.int64]
    material: NDArray[np.int64]
    velocity_mps: Floats


def cast_rays(
    world: World,
    origin_m: Floats,
    directions: Floats,
    rng: np.random.Generator,
    clearness: Floats = CLEAR_AS_TO_LIGHT,
) -> Hits:
    """Find what each ray meets first.

    A ray that starts inside a part with a surface doesn't see that part.

    Args:
        world: what can be met.
        origin_m: [3] where all rays start, world frame, above the ground.
        directions: [n, 3] unit vectors, world frame.
        rng: of free paths.
        clearness: by `Material`, how many times as far as light the rays go within parts.
    """
    range_m = range_to_ground(world.relief, origin_m, directions)
    cos_incidence = _ground_cosine(world.relief, origin_m, directions, range_m)
    owner = np.where(np.isfinite(range_m), GROUND, NOTHING)
    fan = _Fan(directions)
    for number, part in enumerate(world.parts, start=1):
        if isinstance(part, Box):
            crossed = _cross_box(part, origin_m, directions, fan)
        else:
            crossed = _cross_cylinder(part, origin_m, directions, fan)
        if part.free_path_m:
            crossed = _go_in(crossed, part.free_path_m * clearness[part.material], rng)
        met = crossed.take((crossed.enter_m > 0) & (crossed.enter_m < range_m[crossed.row]))
        range_m[met.row], cos_incidence[met.row] = met.enter_m, met.cosine
        owner[met.row] = number
    # What is not hit has the last part's, which nobody looks at.
    material = np.array([Material.ROAD, *(part.material for part in world.parts)])[owner]
    velocity_mps = np.array([(0.0, 0.0, 0.0), *(part.velocity_mps for part in world.parts)])[owner]
    return Hits(range_m, cos_incidence, owner, material, velocity_mps)


def _go_in(crossed: _Crossed, free_path_m: float, rng: np.random.Generator) -> _Crossed:
    """Rays that are stopped within a part, where that happens.

    Source: Beer-Lambert law; its free paths are exponential.
    """
    count = len(crossed.row)
    stop_m = np.maximum(crossed.enter_m, 0.0) + rng.exponential(free_path_m, count)
    inside = crossed._replace(enter_m=stop_m, cosine=rng.uniform(*LEAF_COSINE, count))
    return inside.take(stop_m < crossed.leave_m)


class _Fan:
    """Rays in the order of their azimuths: most rays miss most parts."""

    def __init__(self, directions: Floats) -> None:
        azimuth = np.arctan2(directions[:, 1], directions[:, 0])
        self._order = np.argsort(azimuth)
        self._azimuth = azimuth[self._order]

    def towards(self, offset_m: Floats, radius_m: float) -> NDArray[np.int64]:
        """Rows of the rays that may cross a cylinder whose axis is so far from their origin."""
        distance_m = float(np.hypot(*offset_m))
        if distance_m <= radius_m:
            return self._order
        middle = float(np.arctan2(offset_m[1], offset_m[0]))
        half = float(np.arcsin(radius_m / distance_m)) + EDGE_RAD
        # The same directions a turn earlier and later, where the fan is cut open.
        turns = 2.0 * np.pi * np.arange(-1.0, 2.0)
        bounds = np.searchsorted(self._azimuth, np.add.outer(turns, (middle - half, middle + half)))
        return np.concatenate([self._order[first:last] for first, last in bounds])


def _ground_cosine(relief: Relief, origin_m: Floats, directions: Floats, range_m: Floats) -> Floats:
    """Cosine of incidence where rays meet the ground; of no meaning where they don't."""
    reach_m = np.where(np.isfinite(range_m), range_m, 0.0)
    x, y, _ = (origin_m + directions * reach_m[:, None]).T
    along_x, along_y = relief.slope(x, y)
    against = along_x * directions[:, 0] + along_y * directions[:, 1] - directions[:, 2]
    return np.abs(against) / np.sqrt(1.0 + along_x**2 + along_y**2)


def _cross_box(box: Box, origin_m: Floats, directions: Floats, fan: _Fan) -> _Crossed:
    half = 0.5 * np.asarray(box.size_m)
    row = fan.towards(box.center_m[:2] - origin_m[:2], float(np.hypot(*half[:2])))
    cos, sin = np.cos(box.yaw_rad), np.sin(box.yaw_rad)
    to_box = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    start = to_box @ (origin_m - np.asarray(box.center_m))
    heading = directions[row] @ to_box.T
    enter, leave = _slab(start, heading, -half, half)
    cosine = np.abs(heading[np.arange(len(row)), enter.argmax(axis=1)])
    crossed = _Crossed(row, enter.max(axis=1), leave.min(axis=1), cosine)
    return crossed.take((crossed.enter_m <= crossed.leave_m) & (crossed.leave_m > 0))


def _slab(
    start: Floats, heading: Floats, low: Floats | float, high: Floats | float
) -> tuple[Floats, Floats]:
    """Ranges at which rays enter and leave the space between parallel planes, per axis."""
    with np.errstate(divide="ignore", invalid="ignore"):
        to_low = (low - start) / heading
        to_high = (high - start) / heading
    return np.fmin(to_low, to_high), np.fmax(to_low, to_high)


def _cross_cylinder(part: Cylinder, origin_m: Floats, directions: Floats, fan: _Fan) -> _Crossed:
    start = origin_m[:2] - np.asarray(part.center_m)
    row = fan.towards(-start, part.radius_m)
    heading = directions[row]
    enter_side, leave_side = _shell(start, heading[:, :2], part.radius_m)
    enter_end, leave_end = _slab(origin_m[2], heading[:, 2], part.bottom_m, part.top_m)
    enter_m, leave_m = np.maximum(enter_side, enter_end), np.minimum(leave_side, leave_end)
    outward = (start + enter_m[:, None] * heading[:, :2]) / part.radius_m
    side_cosine = np.abs((outward * heading[:, :2]).sum(axis=1))
    cosine = np.where(enter_end > enter_side, np.abs(heading[:, 2]), side_cosine)
    crossed = _Crossed(row, enter_m, leave_m, cosine)
    return crossed.take((enter_m <= leave_m) & (leave_m > 0))


def _shell(start: Floats, heading: Floats, radius_m: float) -> tuple[Floats, Floats]:
    """Ranges at which rays enter and leave an endless upright cylinder about the origin."""
    square = (heading**2).sum(axis=1)
    half_linear = heading @ start
    root = np.sqrt(np.maximum(half_linear**2 - square * (start @ start - radius_m**2), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (-half_linear - root) / square, (-half_linear + root) / square
