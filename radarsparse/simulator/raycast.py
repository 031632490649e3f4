"""First hits of rays in a scene: ground, boxes and cylinders, all rays at once."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radarsparse.simulator.relief import Relief, range_to_ground
from radarsparse.simulator.world import Box, Cylinder, Floats, Material, World

GROUND = 0
"""Owner of a hit on the ground; further owners count boxes, then cylinders."""

NOTHING = -1
EDGE_RAD = 1e-9


@dataclass(frozen=True)
class Hits:
    """Where rays end.

    Attributes:
        range_m: [n] infinite where nothing is hit.
        cos_incidence: [n] 1 where the ray meets the surface head-on.
        owner: [n] -1 nothing, 0 ground, then boxes, then cylinders.
        material: [n] rows of the sensors' tables.
        velocity_mps: [n, 3] of the surface, world frame.
    """

    range_m: Floats
    cos_incidence: Floats
    owner: NDArray[np.int64]
    material: NDArray[np.int64]
    velocity_mps: Floats

    def take(self, rows: NDArray[np.bool_]) -> "Hits":
        """Those of some rays."""
        return Hits(
            self.range_m[rows],
            self.cos_incidence[rows],
            self.owner[rows],
            self.material[rows],
            self.velocity_mps[rows],
        )


def cast_rays(world: World, origin_m: Floats, directions: Floats) -> Hits:
    """Find the first surface that each ray meets.

    A ray that starts inside a primitive doesn't see that primitive.

    Args:
        world: what can be met.
        origin_m: [3] where all rays start, world frame, above the ground.
        directions: [n, 3] unit vectors, world frame.
    """
    range_m = range_to_ground(world.relief, origin_m, directions)
    cos_incidence = _ground_cosine(world.relief, origin_m, directions, range_m)
    owner = np.where(np.isfinite(range_m), GROUND, NOTHING)
    fan = _Fan(directions)
    for number, primitive in enumerate(_primitives(world), start=1):
        row, entered_m, cosine = _enter(primitive, origin_m, directions, fan)
        closer = entered_m < range_m[row]
        row = row[closer]
        range_m[row] = entered_m[closer]
        cos_incidence[row] = cosine[closer]
        owner[row] = number
    material = np.array([Material.ROAD, *(item.material for item in _primitives(world))])
    velocity = np.array([(0.0, 0.0, 0.0), *(item.velocity_mps for item in _primitives(world))])
    return Hits(range_m, cos_incidence, owner, material[owner], velocity[owner])


class _Fan:
    """Rays in the order of their azimuths: most rays miss most primitives.

    Args:
        directions: [n, 3] of all rays.
    """

    def __init__(self, directions: Floats) -> None:
        azimuth = np.arctan2(directions[:, 1], directions[:, 0])
        self._order = np.argsort(azimuth)
        self._azimuth = azimuth[self._order]

    def towards(self, offset_m: Floats, radius_m: float) -> NDArray[np.int64]:
        """Rows of the rays that may cross an upright cylinder.

        Args:
            offset_m: [2] from the rays' origin to its axis.
            radius_m: of it.
        """
        distance_m = float(np.hypot(*offset_m))
        if distance_m <= radius_m:
            return self._order
        middle = float(np.arctan2(offset_m[1], offset_m[0]))
        half = float(np.arcsin(radius_m / distance_m)) + EDGE_RAD
        # The same directions a turn earlier and later, where the fan is cut open.
        turns = 2.0 * np.pi * np.arange(-1.0, 2.0)
        bounds = np.searchsorted(self._azimuth, np.add.outer(turns, (middle - half, middle + half)))
        return np.concatenate([self._order[first:last] for first, last in bounds])


def _primitives(world: World) -> Iterable[Box | Cylinder]:
    return (*world.boxes, *world.cylinders)


def _enter(
    primitive: Box | Cylinder, origin_m: Floats, directions: Floats, fan: _Fan
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Rows of the rays that enter a primitive, with range and cosine of incidence."""
    if isinstance(primitive, Box):
        return _enter_box(primitive, origin_m, directions, fan)
    return _enter_cylinder(primitive, origin_m, directions, fan)


def _ground_cosine(relief: Relief, origin_m: Floats, directions: Floats, range_m: Floats) -> Floats:
    """Cosine of incidence where rays meet the ground; of no meaning where they don't."""
    reach_m = np.where(np.isfinite(range_m), range_m, 0.0)
    x, y, _ = (origin_m + directions * reach_m[:, None]).T
    along_x, along_y = relief.slope(x, y)
    against = along_x * directions[:, 0] + along_y * directions[:, 1] - directions[:, 2]
    return np.abs(against) / np.sqrt(1.0 + along_x**2 + along_y**2)


def _enter_box(
    box: Box, origin_m: Floats, directions: Floats, fan: _Fan
) -> tuple[NDArray[np.int64], Floats, Floats]:
    half = 0.5 * np.asarray(box.size_m)
    row = fan.towards(box.center_m[:2] - origin_m[:2], float(np.hypot(*half[:2])))
    cos, sin = np.cos(box.yaw_rad), np.sin(box.yaw_rad)
    to_box = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    start = to_box @ (origin_m - np.asarray(box.center_m))
    heading = directions[row] @ to_box.T
    enter, leave = _slab(start, heading, -half, half)
    axis = enter.argmax(axis=1)
    entered_m = enter.max(axis=1)
    met = (entered_m <= leave.min(axis=1)) & (entered_m > 0)
    cosine = np.abs(heading[np.arange(len(row)), axis])
    return row[met], entered_m[met], cosine[met]


def _slab(start: Floats, heading: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Ranges at which rays enter and leave the space between parallel planes, per axis."""
    with np.errstate(divide="ignore", invalid="ignore"):
        to_low = (low - start) / heading
        to_high = (high - start) / heading
    return np.fmin(to_low, to_high), np.fmax(to_low, to_high)


def _enter_cylinder(
    cylinder: Cylinder, origin_m: Floats, directions: Floats, fan: _Fan
) -> tuple[NDArray[np.int64], Floats, Floats]:
    start = origin_m[:2] - np.asarray(cylinder.center_m)
    row = fan.towards(-start, cylinder.radius_m)
    heading = directions[row]
    enter_side, leave_side = _shell(start, heading[:, :2], cylinder.radius_m)
    ends = (np.array([cylinder.bottom_m]), np.array([cylinder.top_m]))
    enter_end, leave_end = _slab(origin_m[2:], heading[:, 2:], *ends)
    by_end = enter_end[:, 0] > enter_side
    entered_m = np.maximum(enter_side, enter_end[:, 0])
    met = (entered_m <= np.minimum(leave_side, leave_end[:, 0])) & (entered_m > 0)
    outward = (start + entered_m[:, None] * heading[:, :2]) / cylinder.radius_m
    side_cosine = np.abs((outward * heading[:, :2]).sum(axis=1))
    cosine = np.where(by_end, np.abs(heading[:, 2]), side_cosine)
    return row[met], entered_m[met], cosine[met]


def _shell(start: Floats, heading: Floats, radius_m: float) -> tuple[Floats, Floats]:
    """Ranges at which rays enter and leave an endless upright cylinder about the origin."""
    square = (heading**2).sum(axis=1)
    half_linear = heading @ start
    root = np.sqrt(np.maximum(half_linear**2 - square * (start @ start - radius_m**2), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (-half_linear - root) / square, (-half_linear + root) / square
