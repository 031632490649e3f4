"""Random worlds: a straight road over rolling ground, with what stands and drives along it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from radarsparse.geometry import pose
from radarsparse.simulator.relief import Floats, Relief, Wave
from radarsparse.simulator.world import Box, Cylinder, Material, Part, Triple, World

# Astyx: the ground lies 1.4 to 1.9 m below the radar, the LiDAR sits 0.3 m above and 0.1 m behind
# it, turned by a few degrees (its calibration files).
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

# Of the ground's waves: heights in shares of their length, so that slopes stay below 5 %.
RELIEF_WAVES = 3
WAVELENGTH_M = (50.0, 250.0)
STEEPNESS_MAX = 0.0035
# Slabs and fronts go on below the ground, so that none hovers where it falls.
FOUNDATION_M = 1.0
PIECE_M = 8.0
RAIL_HEIGHT_M = 0.6


@dataclass(frozen=True)
class _Road:
    """A straight road: `along` it from the car's foot, `left` of its middle, in metres."""

    rng: np.random.Generator
    yaw_rad: float
    car_left_m: float
    half_width_m: float
    pavement_m: float
    relief: Relief

    def place(self, along_m: float, left_m: float) -> Triple:
        """A point of the ground."""
        cos, sin = float(np.cos(self.yaw_rad)), float(np.sin(self.yaw_rad))
        aside_m = left_m - self.car_left_m
        x, y = along_m * cos - aside_m * sin, along_m * sin + aside_m * cos
        return x, y, float(self.relief.height_m(x, y))

    def heading(self, speed_mps: float) -> Triple:
        cos, sin = float(np.cos(self.yaw_rad)), float(np.sin(self.yaw_rad))
        return speed_mps * cos, speed_mps * sin, 0.0

    def stations(self, start_m: float, gap_m: tuple[float, float]) -> Iterator[float]:
        """Places along the road with random gaps."""
        along_m = start_m + self.rng.uniform(0.0, gap_m[1])
        while along_m < ROAD_END_M:
            yield along_m
            along_m += self.rng.uniform(*gap_m)

    def box(self, along_m: float, left_m: float, size_m: Triple, material: Material) -> Box:
        """A box with a foundation in the ground, its length along the road."""
        x, y, ground_m = self.place(along_m, left_m)
        length_m, width_m, height_m = size_m
        center_m = (x, y, ground_m + 0.5 * (height_m - FOUNDATION_M))
        return Box(center_m, (length_m, width_m, height_m + FOUNDATION_M), self.yaw_rad, material)

    def row(self, along_m: float, left_m: float, size_m: Triple, material: Material) -> list[Box]:
        """A long box from `along_m` on, in pieces that follow the ground."""
        count = max(1, round(size_m[0] / PIECE_M))
        piece_m = size_m[0] / count
        size_m = (piece_m, *size_m[1:])
        starts = along_m + piece_m * np.arange(count)
        return [self.box(start + 0.5 * piece_m, left_m, size_m, material) for start in starts]


def random_world(rng: np.random.Generator) -> World:
    """Draw a road with all that is along it, and the sensors."""
    road = _Road(
        rng,
        yaw_rad=rng.normal(0.0, ROAD_YAW_STD_RAD),
        car_left_m=-0.5 * LANE_WIDTH_M + rng.uniform(-0.3, 0.3),
        half_width_m=rng.uniform(3.5, 8.0),
        pavement_m=rng.uniform(1.0, 5.0),
        relief=Relief(tuple(_wave(rng) for _ in range(RELIEF_WAVES))),
    )
    parts = [*_traffic(road), *_people(road), *_crossing(road)]
    for side in SIDES:
        parts += [*_roadside(road, side), *_parked(road, side), *_posts(road, side)]
    return World(
        # Boxes first: the noise of a surface is drawn by the number of its part.
        parts=tuple(sorted(parts, key=lambda part: isinstance(part, Cylinder))),
        T_world_radar=_radar_pose(road),
        T_radar_lidar=_lidar_pose(rng),
        ego_velocity_mps=(max(0.0, rng.normal(7.0, 5.0)), 0.0, 0.0),
        relief=road.relief,
    )


def _wave(rng: np.random.Generator) -> Wave:
    length_m = rng.uniform(*WAVELENGTH_M)
    heading_rad, phase_rad = rng.uniform(0.0, 2.0 * np.pi, 2).tolist()
    turn = 2.0 * np.pi / length_m
    per_m = (turn * float(np.cos(heading_rad)), turn * float(np.sin(heading_rad)))
    return Wave(length_m * STEEPNESS_MAX * rng.random(), per_m, phase_rad)


def _radar_pose(road: _Road) -> Floats:
    """Of the radar on a car that stands on the slope below it."""
    along_x, along_y = np.arctan(road.relief.slope(0.0, 0.0))
    position_m = (0.0, 0.0, road.rng.normal(RADAR_HEIGHT_M, RADAR_HEIGHT_STD_M))
    return pose(road.rng.normal((0.0, -along_x, along_y), RADAR_TILT_STD_RAD), position_m)


def _lidar_pose(rng: np.random.Generator) -> Floats:
    position_m = rng.normal(LIDAR_POSITION_M, LIDAR_POSITION_STD_M)
    return pose(rng.normal(0.0, LIDAR_TILT_STD_RAD, 3), position_m)


def _roadside(road: _Road, side: float) -> Iterator[Part]:
    """What bounds the road on one side: a kerb and houses, or a rail and green."""
    if road.rng.random() < 0.65:
        middle_m = side * (road.half_width_m + 0.5 * road.pavement_m)
        size_m = (ROAD_END_M - ROAD_START_M, road.pavement_m, KERB_HEIGHT_M)
        yield from road.row(ROAD_START_M, middle_m, size_m, Material.ROAD)
        yield from _houses(road, side)
    else:
        yield from _green(road, side)


def _houses(road: _Road, side: float) -> Iterator[Part]:
    """House fronts on the pavement, or behind gardens."""
    edge_m, garden_m = road.half_width_m + road.pavement_m, 0.0
    if road.rng.random() < 0.6:
        garden_m = road.rng.uniform(3.0, 9.0)
        yield from _garden(road, side, garden_m)
    along_m = ROAD_START_M
    while along_m < ROAD_END_M:
        size_m = (road.rng.uniform(7, 24), 10.0, road.rng.uniform(4.5, 14))
        front_m = edge_m + garden_m + road.rng.uniform(0.0, 3.0)
        center_m = along_m + 0.5 * size_m[0]
        yield road.box(center_m, side * (front_m + 0.5 * size_m[1]), size_m, Material.BUILDING)
        along_m += size_m[0] + road.rng.exponential(5.0)


def _garden(road: _Road, side: float, garden_m: float) -> Iterator[Part]:
    """Hedges and walls along the pavement, trees and shrubs behind them."""
    edge_m = road.half_width_m + road.pavement_m
    along_m = ROAD_START_M
    while along_m < ROAD_END_M:
        length_m = road.rng.uniform(6, 25)
        hedge = road.rng.random() < 0.7
        height_m = road.rng.uniform(0.9, 2.4 if hedge else 1.5)
        size_m = (length_m, 0.8 if hedge else 0.25, height_m)
        material = Material.VEGETATION if hedge else Material.BUILDING
        yield from road.row(along_m, side * (edge_m + 0.4), size_m, material)
        along_m += length_m + road.rng.exponential(3.0)
    for along_m in road.stations(3.0, (6.0, 22.0)):
        left_m = side * (edge_m + road.rng.uniform(0.3, 1) * garden_m)
        yield from _tree(road, along_m, left_m)


def _green(road: _Road, side: float) -> Iterator[Part]:
    """A guard rail, bushes, trees, and a wood or a noise barrier at the back."""
    if road.rng.random() < 0.5:
        yield from _rail(road, side)
    for along_m in road.stations(0.0, (4.0, 14.0)):
        size_m = tuple(road.rng.uniform((1.5, 1.0, 0.7), (9.0, 3.0, 2.8)).tolist())
        left_m = side * (road.half_width_m + 2.0 + road.rng.exponential(5.0) + 0.5 * size_m[1])
        yield road.box(along_m, left_m, size_m, Material.VEGETATION)
    for along_m in road.stations(3.0, (5.0, road.rng.uniform(8.0, 30.0))):
        left_m = side * (road.half_width_m + 2.0 + road.rng.exponential(6.0))
        yield from _tree(road, along_m, left_m)
    if road.rng.random() < 0.6:
        barrier_m = side * (road.half_width_m + road.rng.uniform(8, 30))
        wood = road.rng.random() < 0.7
        height_m = road.rng.uniform(4.0, 14.0) if wood else road.rng.uniform(2.0, 4.5)
        size_m = (road.rng.uniform(30, 110), 1.0, height_m)
        material = Material.VEGETATION if wood else Material.BUILDING
        yield from road.row(road.rng.uniform(0, 30), barrier_m, size_m, material)


def _rail(road: _Road, side: float) -> Iterator[Part]:
    """A guard rail on posts."""
    left_m, start_m = side * (road.half_width_m + 0.5), road.rng.uniform(0, 30)
    for along_m in np.arange(start_m, start_m + road.rng.uniform(30, 90), PIECE_M).tolist():
        x, y, ground_m = road.place(along_m + 0.5 * PIECE_M, left_m)
        size_m, center_m = (PIECE_M, 0.1, 0.35), (x, y, ground_m + RAIL_HEIGHT_M)
        yield Box(center_m, size_m, road.yaw_rad, Material.METAL)
        x, y, ground_m = road.place(along_m, left_m)
        yield Cylinder((x, y), 0.06, ground_m, ground_m + RAIL_HEIGHT_M, Material.METAL)


def _parked(road: _Road, side: float) -> Iterator[Part]:
    if road.rng.random() < 0.35:
        return
    for along_m in road.stations(4.0, (6.5, road.rng.uniform(9.0, 30.0))):
        left_m = side * (road.half_width_m - 1.15 + road.rng.normal(0.0, 0.08))
        yield from _vehicle(road, along_m, left_m, 0.0)


def _traffic(road: _Road) -> Iterator[Part]:
    """Moving vehicles: with the car on the right lane, against it on the left one."""
    for side, direction in ((-1.0, 1.0), (1.0, -1.0)):
        for along_m in road.stations(8.0, (10.0, road.rng.uniform(20.0, 100.0))):
            left_m = side * 0.5 * LANE_WIDTH_M + road.rng.normal(0.0, 0.2)
            yield from _vehicle(road, along_m, left_m, direction * road.rng.uniform(4, 14))


def _vehicle(road: _Road, along_m: float, left_m: float, speed_mps: float) -> Iterator[Box]:
    """A car of body and cabin, or a van or lorry of one box."""
    x, y, ground_m = road.place(along_m, left_m)
    standing = (road.yaw_rad, Material.VEHICLE, road.heading(speed_mps))
    kind = road.rng.random()
    if kind < 0.8:
        length, width, height = road.rng.uniform((3.8, 1.70, 1.40), (4.9, 1.90, 1.70)).tolist()
        body_m = (length, width, 0.6 * height - 0.2)
        cabin_m = (0.55 * length, 0.88 * width, 0.4 * height)
        yield Box((x, y, ground_m + 0.2 + 0.5 * body_m[2]), body_m, *standing)
        yield Box((x, y, ground_m + 0.6 * height + 0.5 * cabin_m[2]), cabin_m, *standing)
    else:
        largest = (6.0, 2.0, 2.6) if kind < 0.95 else (11.0, 2.5, 3.8)
        length, width, height = np.multiply(largest, road.rng.uniform(0.85, 1.0)).tolist()
        body_m = (length, width, height - 0.3)
        yield Box((x, y, ground_m + 0.3 + 0.5 * body_m[2]), body_m, *standing)


def _people(road: _Road) -> Iterator[Box]:
    for _ in range(road.rng.poisson(2.0)):
        left_m = road.rng.choice(SIDES) * (road.half_width_m + road.rng.uniform(0.5, 2.0))
        x, y, ground_m = road.place(road.rng.uniform(6, 60), left_m)
        velocity = road.heading(road.rng.choice(SIDES) * 1.3)
        center_m, size_m = (x, y, ground_m + 0.87), (0.35, 0.5, 1.74)
        yield Box(center_m, size_m, road.yaw_rad, Material.PERSON, velocity)


def _posts(road: _Road, side: float) -> Iterator[Cylinder]:
    """Lamp posts and signs at the road's edge, trees among them."""
    trees = road.rng.uniform(0.0, 0.8)
    for along_m in road.stations(5.0, (8.0, 26.0)):
        left_m = side * (road.half_width_m + 0.7 + road.rng.exponential(0.5))
        if road.rng.random() < trees:
            yield from _tree(road, along_m, left_m)
        else:
            x, y, ground_m = road.place(along_m, left_m)
            radius_m, top_m = road.rng.uniform((0.04, 2.5), (0.15, 8.0)).tolist()
            yield Cylinder((x, y), radius_m, ground_m, ground_m + top_m, Material.METAL)


def _tree(road: _Road, along_m: float, left_m: float) -> Iterator[Cylinder]:
    x, y, ground_m = road.place(along_m, left_m)
    lowest, highest = (0.1, 0.9, 1.8, 4.0), (0.3, 2.8, 3.0, 14.0)
    trunk_m, crown_m, bottom_m, top_m = road.rng.uniform(lowest, highest).tolist()
    crown_from_m = ground_m + bottom_m
    yield Cylinder((x, y), trunk_m, ground_m, crown_from_m, Material.VEGETATION)
    yield Cylinder((x, y), crown_m, crown_from_m, ground_m + top_m, Material.VEGETATION)


def _crossing(road: _Road) -> Iterator[Box]:
    """A house across the end of the road, as at a bend or a junction."""
    if road.rng.random() < 0.35:
        size_m = (10.0, road.rng.uniform(15, 50), road.rng.uniform(3.5, 12))
        yield road.box(road.rng.uniform(45, 100), 0.0, size_m, Material.BUILDING)
