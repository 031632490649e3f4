"""What stands in a simulated road scene.

The world frame has its origin on the ground below the radar, x along the car's heading, y left, z
up. The sensors' poses carry pitch, roll and height.
"""

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from radarsparse.simulator.relief import FLAT, Floats, Relief

Triple = tuple[float, float, float]


class Material(IntEnum):
    """What a surface is made of; rows of the sensors' tables of reflectivity."""

    ROAD = 0
    BUILDING = 1
    VEHICLE = 2
    METAL = 3
    VEGETATION = 4
    PERSON = 5


@dataclass(frozen=True)
class Box:
    """A box that stands upright and is turned about z.

    Attributes:
        center_m: its centre, world frame.
        size_m: length, width and height.
        yaw_rad: direction of its length to the left of x.
        material: of all its faces.
        velocity_mps: world frame.
    """

    center_m: Triple
    size_m: Triple
    yaw_rad: float
    material: Material
    velocity_mps: Triple = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Cylinder:
    """An upright cylinder: a pole, a trunk or a crown.

    Attributes:
        center_m: x and y of its axis, world frame.
        radius_m: its radius.
        bottom_m: its lower end.
        top_m: its upper end.
        material: of its surface.
    """

    center_m: tuple[float, float]
    radius_m: float
    bottom_m: float
    top_m: float
    material: Material

    velocity_mps: Triple = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class World:
    """All that the sensors can see, and how they move.

    Attributes:
        boxes: buildings, vehicles, kerbs, people.
        cylinders: poles and trees.
        T_world_radar: pose of the radar.
        T_radar_lidar: pose of the LiDAR on the car.
        ego_velocity_mps: of both sensors, world frame, level.
        relief: of the ground.
    """

    boxes: tuple[Box, ...]
    cylinders: tuple[Cylinder, ...]
    T_world_radar: Floats
    T_radar_lidar: Floats
    ego_velocity_mps: Triple
    relief: Relief = FLAT

    @property
    def T_world_lidar(self) -> Floats:
        """Pose of the LiDAR."""
        return self.T_world_radar @ self.T_radar_lidar

    def after(self, seconds: float) -> "World":
        """The same scene so much later; before, where `seconds` is negative."""
        T_world_radar = self.T_world_radar.copy()
        T_world_radar[:3, 3] = self._moved(T_world_radar[:3, 3], self.ego_velocity_mps, seconds)
        boxes = tuple(
            replace(box, center_m=self._moved(box.center_m, box.velocity_mps, seconds))
            for box in self.boxes
        )
        return replace(self, boxes=boxes, T_world_radar=T_world_radar)

    def _moved(self, at_m: Floats | Triple, velocity_mps: Triple, seconds: float) -> Triple:
        """Where something is so much later that keeps its height over the ground."""
        x, y, z = np.add(at_m, np.multiply(seconds, velocity_mps)).tolist()
        rise_m = self.relief.height_m(x, y) - self.relief.height_m(float(at_m[0]), float(at_m[1]))
        return x, y, z + float(rise_m)


def pose(yaw_pitch_roll_rad: Triple, position_m: Triple) -> Floats:
    """Transform to the parent frame of a body that is turned about z, then y, then x.

    Args:
        yaw_pitch_roll_rad: angles about z, y and x; positive pitch looks down.
        position_m: of the body in the parent frame.
    """
    (cy, cp, cr), (sy, sp, sr) = np.cos(yaw_pitch_roll_rad), np.sin(yaw_pitch_roll_rad)
    transform = np.eye(4)
    transform[:3, :3] = (
        np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
        @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
        @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    )
    transform[:3, 3] = position_m
    return transform
