"""Random road scenes: a straight road with what stands and drives along it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from radarsparse.data.simulator.scene import Box, Cylinder, Material, Scene, Triple, pose

# Astyx: the ground lies 1.4 to 1.9 m below the radar, the LiDAR sits 0.3 m above and 0.1 m behind
# it, turned by a few degrees (data-formats.md, section 4; calibration files).
RADAR_HEIGHT_M = 1.6
RADAR_HEIGHT_STD_M = 0.12
RADAR_TILT_STD_RAD = float(np.radians(0.8))
LIDAR_POSITION_M = (-0.1, 0.0, 0.3)
LIDAR_POSITION_STD_M = 0.02
LIDAR_TILT_STD_RAD = float(np.radians(1.5))

ROAD_START_M = -10.0
ROAD_END_M = 120.0
ROAD_YAW_STD_RAD = float(np.radians(3.0))
LANE_WIDTH_M = 3.5
KERB_HEIGHT_M = 0.12
SIDES = (-1.0, 1.0)

Part = Box | Cylinder


@dataclass(frozen=True)
class _Road:
    """A straight road: `along` it from the car's foot, `left` of its middle, in metres."""

    yaw_rad: float
    car_left_m: float
    half_width_m: float
    pavement_m: float

    def place(self, along_m: float, left_m: float) -> tuple[float, float]:
        cos, sin = float(np.cos(self.yaw_rad)), float(np.sin(self.yaw_rad))
        aside_m = left_m - self.car_left_m
        return along_m * cos - aside_m * sin, along_m * sin + aside_m * cos

    def heading(self, speed_mps: float) -> Triple:
        cos, sin = float(np.cos(self.yaw_rad)), float(np.sin(self.yaw_rad))
        return speed_mps * cos, speed_mps * sin, 0.0

    def box(self, along_m: float, left_m: float, size_m: Triple, material: Material) -> Box:
        """A box that stands on the ground, its length along the road."""
        x, y = self.place(along_m, left_m)
        return Box((x, y, 0.5 * size_m[2]), size_m, self.yaw_rad, material)


def random_scene(rng: np.random.Generator) -> Scene:
    """Draw a road scene with its sensors."""
    road = _Road(
        yaw_rad=float(rng.normal(0.0, ROAD_YAW_STD_RAD)),
        car_left_m=-0.5 * LANE_WIDTH_M + float(rng.uniform(-0.3, 0.3)),
        half_width_m=float(rng.uniform(5.0, 8.0)),
        pavement_m=float(rng.uniform(2.0, 7.0)),
    )
    parts = [*_traffic(road, rng), *_people(road, rng), *_crossing(road, rng)]
    for side in SIDES:
        parts += [*_roadside(road, side, rng), *_parked(road, side, rng), *_posts(road, side, rng)]
    return Scene(
        boxes=tuple(part for part in parts if isinstance(part, Box)),
        cylinders=tuple(part for part in parts if isinstance(part, Cylinder)),
        T_world_radar=_tilted(
            rng,
            RADAR_TILT_STD_RAD,
            (0.0, 0.0, float(rng.normal(RADAR_HEIGHT_M, RADAR_HEIGHT_STD_M))),
        ),
        T_radar_lidar=_tilted(rng, LIDAR_TILT_STD_RAD, _lidar_position(rng)),
        ego_velocity_mps=(float(max(0.0, rng.normal(7.0, 5.0))), 0.0, 0.0),
    )


def _tilted(rng: np.random.Generator, std_rad: float, position_m: Triple) -> np.ndarray:
    yaw, pitch, roll = rng.normal(0.0, std_rad, 3).tolist()
    return pose((yaw, pitch, roll), position_m)


def _lidar_position(rng: np.random.Generator) -> Triple:
    x, y, z = rng.normal(LIDAR_POSITION_M, LIDAR_POSITION_STD_M).tolist()
    return x, y, z


def _stations(
    rng: np.random.Generator, start_m: float, gap_m: tuple[float, float]
) -> Iterator[float]:
    """Places along the road with random gaps."""
    along_m = start_m + float(rng.uniform(0.0, gap_m[1]))
    while along_m < ROAD_END_M:
        yield along_m
        along_m += float(rng.uniform(*gap_m))


def _roadside(road: _Road, side: float, rng: np.random.Generator) -> Iterator[Part]:
    """What bounds the road on one side: a kerb with house fronts, or a rail and green."""
    if rng.random() < 0.65:
        yield _kerb(road, side)
        yield from _houses(road, side, rng)
    else:
        yield from _green(road, side, rng)


def _kerb(road: _Road, side: float) -> Box:
    middle_m = side * (road.half_width_m + 0.5 * road.pavement_m)
    size_m = (ROAD_END_M - ROAD_START_M, road.pavement_m, KERB_HEIGHT_M)
    return road.box(0.5 * (ROAD_START_M + ROAD_END_M), middle_m, size_m, Material.ROAD)


def _houses(road: _Road, side: float, rng: np.random.Generator) -> Iterator[Part]:
    along_m = ROAD_START_M
    while along_m < ROAD_END_M:
        size_m = (float(rng.uniform(7, 24)), 10.0, float(rng.uniform(3.5, 13)))
        front_m = road.half_width_m + road.pavement_m + float(rng.uniform(0.0, 3.0))
        center_m = along_m + 0.5 * size_m[0]
        yield road.box(center_m, side * (front_m + 0.5 * size_m[1]), size_m, Material.BUILDING)
        along_m += size_m[0] + float(rng.exponential(5.0))


def _green(road: _Road, side: float, rng: np.random.Generator) -> Iterator[Part]:
    if rng.random() < 0.5:
        length_m = float(rng.uniform(30, 90))
        start_m = float(rng.uniform(0, 30))
        left_m = side * (road.half_width_m + 0.5)
        x, y = road.place(start_m + 0.5 * length_m, left_m)
        yield Box((x, y, 0.6), (length_m, 0.1, 0.35), road.yaw_rad, Material.METAL)
    for along_m in _stations(rng, 0.0, (4.0, 14.0)):
        size_m = tuple(rng.uniform((1.5, 1.0, 0.7), (9.0, 3.0, 2.8)).tolist())
        left_m = side * (road.half_width_m + 2.0 + float(rng.exponential(5.0)) + 0.5 * size_m[1])
        yield road.box(along_m, left_m, size_m, Material.VEGETATION)
    if rng.random() < 0.6:
        wall_m = side * (road.half_width_m + float(rng.uniform(15, 30)))
        size_m = (float(rng.uniform(30, 110)), 1.0, float(rng.uniform(2.0, 7.0)))
        yield road.box(float(rng.uniform(30, 70)), wall_m, size_m, Material.VEGETATION)


def _parked(road: _Road, side: float, rng: np.random.Generator) -> Iterator[Part]:
    if rng.random() < 0.35:
        return
    gap_m = (6.5, float(rng.uniform(9.0, 30.0)))
    for along_m in _stations(rng, 4.0, gap_m):
        left_m = side * (road.half_width_m - 1.15 + float(rng.normal(0.0, 0.08)))
        yield from _vehicle(road, along_m, left_m, 0.0, rng)


def _traffic(road: _Road, rng: np.random.Generator) -> Iterator[Part]:
    """Moving vehicles: with the car on the right lane, against it on the left one."""
    for side, direction in ((-1.0, 1.0), (1.0, -1.0)):
        gap_m = (15.0, float(rng.uniform(30.0, 120.0)))
        for along_m in _stations(rng, 9.0, gap_m):
            left_m = side * 0.5 * LANE_WIDTH_M + float(rng.normal(0.0, 0.2))
            yield from _vehicle(road, along_m, left_m, direction * float(rng.uniform(4, 14)), rng)


def _vehicle(
    road: _Road, along_m: float, left_m: float, speed_mps: float, rng: np.random.Generator
) -> Iterator[Box]:
    """A car of body and cabin, or a van or lorry of one box."""
    x, y = road.place(along_m, left_m)
    velocity = road.heading(speed_mps)
    kind = rng.random()
    if kind < 0.8:
        length, width, height = rng.uniform((3.8, 1.70, 1.40), (4.9, 1.90, 1.70)).tolist()
        body, cabin = (
            (length, width, 0.6 * height - 0.2),
            (0.55 * length, 0.88 * width, 0.4 * height),
        )
        yield Box((x, y, 0.2 + 0.5 * body[2]), body, road.yaw_rad, Material.VEHICLE, velocity)
        cabin_z = 0.6 * height + 0.5 * cabin[2]
        yield Box((x, y, cabin_z), cabin, road.yaw_rad, Material.VEHICLE, velocity)
    else:
        largest = (6.0, 2.0, 2.6) if kind < 0.95 else (11.0, 2.5, 3.8)
        length, width, height = (np.asarray(largest) * rng.uniform(0.85, 1.0)).tolist()
        box = (length, width, height - 0.3)
        yield Box((x, y, 0.3 + 0.5 * box[2]), box, road.yaw_rad, Material.VEHICLE, velocity)


def _people(road: _Road, rng: np.random.Generator) -> Iterator[Box]:
    for _ in range(rng.poisson(2.0)):
        side = float(rng.choice(SIDES))
        left_m = side * (road.half_width_m + float(rng.uniform(0.5, 2.0)))
        x, y = road.place(float(rng.uniform(6, 60)), left_m)
        velocity = road.heading(float(rng.choice(SIDES)) * 1.3)
        yield Box((x, y, 0.87), (0.35, 0.5, 1.74), road.yaw_rad, Material.PERSON, velocity)


def _posts(road: _Road, side: float, rng: np.random.Generator) -> Iterator[Cylinder]:
    """Lamp posts and signs at the road's edge, trees among them."""
    trees = rng.uniform(0.0, 0.8)
    for along_m in _stations(rng, 5.0, (8.0, 26.0)):
        foot = road.place(along_m, side * (road.half_width_m + 0.7 + float(rng.exponential(0.5))))
        if rng.random() < trees:
            yield from _tree(foot, rng)
        else:
            radius_m, top_m = rng.uniform((0.04, 2.5), (0.15, 8.0)).tolist()
            yield Cylinder(foot, radius_m, 0.0, top_m, Material.METAL)


def _tree(foot: tuple[float, float], rng: np.random.Generator) -> Iterator[Cylinder]:
    trunk_m, crown_m, bottom_m, top_m = rng.uniform(
        (0.1, 0.9, 2.0, 4.0), (0.3, 2.3, 2.8, 8)
    ).tolist()
    yield Cylinder(foot, trunk_m, 0.0, bottom_m, Material.VEGETATION)
    yield Cylinder(foot, crown_m, bottom_m, top_m, Material.VEGETATION)


def _crossing(road: _Road, rng: np.random.Generator) -> Iterator[Box]:
    """A house across the end of the road, as at a bend or a junction."""
    if rng.random() < 0.35:
        size_m = (10.0, float(rng.uniform(15, 50)), float(rng.uniform(3.5, 12)))
        yield road.box(float(rng.uniform(45, 100)), 0.0, size_m, Material.BUILDING)
