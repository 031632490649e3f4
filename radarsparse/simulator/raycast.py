"""First hits of rays in a world: ground, boxes and cylinders, all rays at once."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radarsparse.simulator.relief import Relief, range_to_ground
from radarsparse.simulator.world import Box, Cylinder, Floats, Material, World

GROUND = 0
NOTHING = -1
EDGE_RAD = 1e-9

# Rows of the rays that enter a part, with range and cosine of incidence.
Entered = tuple[NDArray[np.int64], Floats, Floats]


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


def cast_rays(world: World, origin_m: Floats, directions: Floats) -> Hits:
    """Find the first surface that each ray meets.

    A ray that starts inside a part doesn't see that part.

    Args:
        world: what can be met.
        origin_m: [3] where all rays start, world frame, above the ground.
        directions: [n, 3] unit vectors, world frame.
    """
    range_m = range_to_ground(world.relief, origin_m, directions)
    cos_incidence = _ground_cosine(world.relief, origin_m, directions, range_m)
    owner = np.where(np.isfinite(range_m), GROUND, NOTHING)
    fan = _Fan(directions)
    for number, part in enumerate(world.parts, start=1):
        if isinstance(part, Box):
            row, entered_m, cosine = _enter_box(part, origin_m, directions, fan)
        else:
            row, entered_m, cosine = _enter_cylinder(part, origin_m, directions, fan)
        closer = entered_m < range_m[row]
        row = row[closer]
        range_m[row] = entered_m[closer]
        cos_incidence[row] = cosine[closer]
        owner[row] = number
    # What is not hit has the last part's, which nobody looks at.
    material = np.array([Material.ROAD, *(part.material for part in world.parts)])[owner]
    velocity_mps = np.array([(0.0, 0.0, 0.0), *(part.velocity_mps for part in world.parts)])[owner]
    return Hits(range_m, cos_incidence, owner, material, velocity_mps)


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


def _enter_box(box: Box, origin_m: Floats, directions: Floats, fan: _Fan) -> Entered:
    half = 0.5 * np.asarray(box.size_m)
    row = fan.towards(box.center_m[:2] - origin_m[:2], float(np.hypot(*half[:2])))
    cos, sin = np.cos(box.yaw_rad), np.sin(box.yaw_rad)
    to_box = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    start = to_box @ (origin_m - np.asarray(box.center_m))
    heading = directions[row] @ to_box.T
    enter, leave = _slab(start, heading, -half, half)
    entered_m = enter.max(axis=1)
    met = (entered_m <= leave.min(axis=1)) & (entered_m > 0)
    cosine = np.abs(heading[np.arange(len(row)), enter.argmax(axis=1)])
    return row[met], entered_m[met], cosine[met]


def _slab(
    start: Floats, heading: Floats, low: Floats | float, high: Floats | float
) -> tuple[Floats, Floats]:
    """Ranges at which rays enter and leave the space between parallel planes, per axis."""
    with np.errstate(divide="ignore", invalid="ignore"):
        to_low = (low - start) / heading
        to_high = (high - start) / heading
    return np.fmin(to_low, to_high), np.fmax(to_low, to_high)


def _enter_cylinder(part: Cylinder, origin_m: Floats, directions: Floats, fan: _Fan) -> Entered:
    start = origin_m[:2] - np.asarray(part.center_m)
    row = fan.towards(-start, part.radius_m)
    heading = directions[row]
    enter_side, leave_side = _shell(start, heading[:, :2], part.radius_m)
    enter_end, leave_end = _slab(origin_m[2], heading[:, 2], part.bottom_m, part.top_m)
    entered_m = np.maximum(enter_side, enter_end)
    met = (entered_m <= np.minimum(leave_side, leave_end)) & (entered_m > 0)
    outward = (start + entered_m[:, None] * heading[:, :2]) / part.radius_m
    side_cosine = np.abs((outward * heading[:, :2]).sum(axis=1))
    cosine = np.where(enter_end > enter_side, np.abs(heading[:, 2]), side_cosine)
    return row[met], entered_m[met], cosine[met]


def _shell(start: Floats, heading: Floats, radius_m: float) -> tuple[Floats, Floats]:
    """Ranges at which rays enter and leave an endless upright cylinder about the origin."""
    square = (heading**2).sum(axis=1)
    half_linear = heading @ start
    root = np.sqrt(np.maximum(half_linear**2 - square * (start @ start - radius_m**2), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (-half_linear - root) / square, (-half_linear + root) / square
