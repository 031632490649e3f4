"""What drives, stands parked and walks along a road."""

from collections.abc import Iterator

import numpy as np

from radarsparse.simulator.road import LANE_WIDTH_M, SIDES, Road
from radarsparse.simulator.world import Box, Material


def moving_vehicles(road: Road) -> Iterator[Box]:
    """Moving vehicles: with the car on the right lane, against it on the left one."""
    for side, direction in ((-1.0, 1.0), (1.0, -1.0)):
        for along_m in road.stations(8.0, (10.0, road.rng.uniform(20.0, 100.0))):
            left_m = side * 0.5 * LANE_WIDTH_M + road.rng.normal(0.0, 0.2)
            yield from _vehicle(road, along_m, left_m, direction * road.rng.uniform(4, 14))


def parked_vehicles(road: Road, side: float) -> Iterator[Box]:
    """Cars at the kerb of one side, or none."""
    if road.rng.random() < 0.35:
        return
    for along_m in road.stations(4.0, (6.5, road.rng.uniform(9.0, 30.0))):
        left_m = side * (road.half_width_m - 1.15 + road.rng.normal(0.0, 0.08))
        yield from _vehicle(road, along_m, left_m, 0.0)


def people(road: Road) -> Iterator[Box]:
    """Who walks beside the road."""
    for _ in range(road.rng.poisson(2.0)):
        left_m = road.rng.choice(SIDES) * (road.half_width_m + road.rng.uniform(0.5, 2.0))
        x, y, ground_m = road.place(road.rng.uniform(6, 60), left_m)
        velocity = road.heading(road.rng.choice(SIDES) * 1.3)
        center_m, size_m = (x, y, ground_m + 0.87), (0.35, 0.5, 1.74)
        yield Box(center_m, size_m, road.yaw_rad, Material.PERSON, velocity)


def _vehicle(road: Road, along_m: float, left_m: float, speed_mps: float) -> Iterator[Box]:
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
