"""What stands in a simulated world, and how it moves.

The world frame has its origin on the ground below the radar, x along the car's heading, y left, z
up. The sensors' poses carry pitch, roll and height.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import ClassVar

import numpy as np

from radarsparse.simulator.relief import FLAT, Floats, Relief

Triple = tuple[float, float, float]


class Material(IntEnum):
    """What a surface is made of; rows of the sensors' tables."""

    ROAD = 0
    BUILDING = 1
    VEHICLE = 2
    METAL = 3
    VEGETATION = 4
    PERSON = 5


def by_material(**values: float) -> Floats:
    """A table with a value for each `Material`, 0 for those that are not named."""
    table = np.zeros(len(Material))
    for name, value in values.items():
        table[Material[name.upper()]] = value
    return table


@dataclass(frozen=True)
class Box:
    """An upright box of length, width and height, its length turned to the left of x.

    Attributes:
        free_path_m: how far light goes into it on average; 0 where it ends at the surface.
    """

    center_m: Triple
    size_m: Triple
    yaw_rad: float
    material: Material
    velocity_mps: Triple = (0.0, 0.0, 0.0)
    free_path_m: float = 0.0


@dataclass(frozen=True)
class Cylinder:
    """An upright cylinder that stays where it is: a pole, a trunk or a crown.

    Attributes:
        free_path_m: as of a `Box`.
    """

    center_m: tuple[float, float]
    radius_m: float
    bottom_m: float
    top_m: float
    material: Material
    free_path_m: float = 0.0
    velocity_mps: ClassVar[Triple] = (0.0, 0.0, 0.0)


Part = Box | Cylinder


def clearance_m(part: Part) -> float:
    """How far a part is from the upright line through the world's origin; 0 where it is in it."""
    if isinstance(part, Cylinder):
        return max(0.0, float(np.hypot(*part.center_m)) - part.radius_m)
    cos, sin = np.cos(part.yaw_rad), np.sin(part.yaw_rad)
    from_origin = np.array([[cos, sin], [-sin, cos]]) @ part.center_m[:2]
    outside_m = np.abs(from_origin) - 0.5 * np.asarray(part.size_m[:2])
    return float(np.hypot(*np.maximum(outside_m, 0.0)))


def bottom_m(part: Part) -> float:
    """Height of a part's underside."""
    if isinstance(part, Cylinder):
        return part.bottom_m
    return part.center_m[2] - 0.5 * part.size_m[2]


@dataclass(frozen=True)
class World:
    """All that the sensors can see, where they are, and how fast both move, level."""

    parts: tuple[Part, ...]
    T_world_radar: Floats
    T_radar_lidar: Floats
    ego_velocity_mps: Triple
    relief: Relief = FLAT

    @property
    def T_world_lidar(self) -> Floats:
        """Pose of the LiDAR, [4, 4]."""
        return self.T_world_radar @ self.T_radar_lidar

    def after(self, seconds: float) -> "World":
        """The same world so much later; before, where `seconds` is negative."""
        T_world_radar = self.T_world_radar.copy()
        T_world_radar[:3, 3] = self._moved(T_world_radar[:3, 3], self.ego_velocity_mps, seconds)
        parts = tuple(
            replace(part, center_m=self._moved(part.center_m, part.velocity_mps, seconds))
            if isinstance(part, Box)
            else part
            for part in self.parts
        )
        return replace(self, parts=parts, T_world_radar=T_world_radar)

    def _moved(self, at_m: Floats | Triple, velocity_mps: Triple, seconds: float) -> Triple:
        """Where something is so much later that keeps its height over the ground."""
        x, y, z = np.add(at_m, np.multiply(seconds, velocity_mps)).tolist()
        rise_m = self.relief.height_m(x, y) - self.relief.height_m(float(at_m[0]), float(at_m[1]))
        return x, y, z + float(rise_m)
