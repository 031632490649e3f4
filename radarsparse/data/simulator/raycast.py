"""First hits of rays in a scene: analytic plane, box and cylinder, all rays at once."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radarsparse.data.simulator.scene import Box, Cylinder, Floats, Material, Scene

GROUND = 0
"""Owner of a hit on the ground; further owners count boxes, then cylinders."""

NOTHING = -1
EDGE_M = 1e-6


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


def cast_rays(scene: Scene, origin_m: Floats, directions: Floats) -> Hits:
    """Find the first surface that each ray meets.

    A ray that starts inside a primitive doesn't see that primitive.

    Args:
        scene: what can be met.
        origin_m: [3] where all rays start, world frame, above the ground.
        directions: [n, 3] unit vectors, world frame.
    """
    range_m = _range_to_ground(origin_m, directions)
    cos_incidence = np.abs(directions[:, 2])
    owner = np.where(np.isfinite(range_m), GROUND, NOTHING)
    for number, primitive in enumerate(_primitives(scene), start=1):
        row, entered_m, cosine = _enter(primitive, origin_m, directions)
        closer = entered_m < range_m[row]
        row = row[closer]
        range_m[row] = entered_m[closer]
        cos_incidence[row] = cosine[closer]
        owner[row] = number
    material = np.array([Material.ROAD, *(item.material for item in _primitives(scene))])
    velocity = np.array([(0.0, 0.0, 0.0), *(item.velocity_mps for item in _primitives(scene))])
    return Hits(range_m, cos_incidence, owner, material[owner], velocity[owner])


def _primitives(scene: Scene) -> Iterable[Box | Cylinder]:
    return (*scene.boxes, *scene.cylinders)


def _enter(
    primitive: Box | Cylinder, origin_m: Floats, directions: Floats
) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Rows of the rays that enter a primitive, with range and cosine of incidence."""
    if isinstance(primitive, Box):
        return _enter_box(primitive, origin_m, directions)
    return _enter_cylinder(primitive, origin_m, directions)


def _range_to_ground(origin_m: Floats, directions: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        range_m = -origin_m[2] / directions[:, 2]
    return np.where(range_m > 0, range_m, np.inf)


def _candidates(
    center_m: Floats, radius_m: float, origin_m: Floats, directions: Floats
) -> NDArray[np.int64]:
    """Rays whose ground track passes a circle: most rays miss most primitives."""
    to_center = center_m - origin_m[:2]
    ahead = directions[:, 0] * to_center[0] + directions[:, 1] * to_center[1]
    aside = directions[:, 0] * to_center[1] - directions[:, 1] * to_center[0]
    flat = directions[:, 0] ** 2 + directions[:, 1] ** 2
    inside = to_center @ to_center <= radius_m**2
    return np.flatnonzero((aside**2 <= radius_m**2 * flat) & ((ahead > 0) | inside))


def _enter_box(
    box: Box, origin_m: Floats, directions: Floats
) -> tuple[NDArray[np.int64], Floats, Floats]:
    half = 0.5 * np.asarray(box.size_m)
    row = _candidates(
        np.asarray(box.center_m[:2]), float(np.hypot(*half[:2])) + EDGE_M, origin_m, directions
    )
    cos, sin = np.cos(box.yaw_rad), np.sin(box.yaw_rad)
    to_box = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
    start = to_box @ (origin_m - np.asarray(box.center_m))
    heading = directions[row] @ to_box.T
    enter, leave = _slab(start, heading, -half, half)
    axis = enter.argmax(axis=1)
    entered_m = enter.max(axis=1)
    met = (entered_m <= leave.min(axis=1)) & (entered_m > 0)
    cosine = np.abs(np.take_along_axis(heading, axis[:, None], axis=1)[:, 0])
    return row[met], entered_m[met], cosine[met]


def _slab(start: Floats, heading: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Ranges at which rays enter and leave the space between parallel planes, per axis."""
    with np.errstate(divide="ignore", invalid="ignore"):
        to_low = (low - start) / heading
        to_high = (high - start) / heading
    return np.fmin(to_low, to_high), np.fmax(to_low, to_high)


def _enter_cylinder(
    cylinder: Cylinder, origin_m: Floats, directions: Floats
) -> tuple[NDArray[np.int64], Floats, Floats]:
    center_m = np.asarray(cylinder.center_m)
    row = _candidates(center_m, cylinder.radius_m, origin_m, directions)
    heading = directions[row]
    start = origin_m[:2] - center_m
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
