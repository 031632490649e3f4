"""Random worlds: a road with all that is along it, seen from a car."""

import numpy as np

from radarsparse.geometry import pose
from radarsparse.simulator.far import across, background
from radarsparse.simulator.mounts import Mounts
from radarsparse.simulator.relief import Floats
from radarsparse.simulator.road import SIDES, Road, random_road
from radarsparse.simulator.roadside import posts, roadside
from radarsparse.simulator.traffic import moving_vehicles, parked_vehicles, people
from radarsparse.simulator.world import Cylinder, Part, World, bottom_m, clearance_m

# Of one frame: a car that brakes, turns and rolls over bumps.
CAR_TILT_STD_RAD = float(np.radians(0.7))
CAR_BOUNCE_STD_M = 0.03
# Nothing solid stands where the car and its sensors are.
CAR_REACH_M = 1.5
CAR_TOP_M = 3.0


def random_world(rng: np.random.Generator, mounts: Mounts) -> World:
    """Draw a road with all that is along it, and how the car stands on it."""
    road = random_road(rng)
    parts = [*moving_vehicles(road), *people(road), *across(road)]
    for side in SIDES:
        parts += [*roadside(road, side), *parked_vehicles(road, side), *posts(road, side)]
        parts += background(road, side)
    return World(
        # Boxes first: the noise of a surface is drawn by the number of its part.
        parts=tuple(
            sorted(
                (part for part in parts if not _in_the_car(part)),
                key=lambda part: isinstance(part, Cylinder),
            )
        ),
        T_world_radar=_car_pose(road) @ mounts.T_car_radar,
        T_radar_lidar=mounts.T_radar_lidar,
        ego_velocity_mps=(max(0.0, rng.normal(7.0, 5.0)), 0.0, 0.0),
        relief=road.relief,
    )


def _in_the_car(part: Part) -> bool:
    solid = not part.free_path_m
    return solid and clearance_m(part) < CAR_REACH_M and bottom_m(part) < CAR_TOP_M


def _car_pose(road: Road) -> Floats:
    """Of a car that stands on the slope below it, its origin on the ground."""
    along_x, along_y = np.arctan(road.relief.slope(0.0, 0.0))
    tilt_rad = road.rng.normal((0.0, -along_x, along_y), (0.0, *2 * (CAR_TILT_STD_RAD,)))
    return pose(tilt_rad, (0.0, 0.0, road.rng.normal(0.0, CAR_BOUNCE_STD_M)))
