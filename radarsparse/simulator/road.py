"""A straight road over rolling ground, and what is placed along it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from radarsparse.simulator.relief import Relief, Wave
from radarsparse.simulator.world import Box, Cylinder, Material, Triple

ROAD_START_M = -10.0
ROAD_END_M = 120.0
ROAD_YAW_STD_RAD = float(np.radians(3.0))
LANE_WIDTH_M = 3.5
SIDES = (-1.0, 1.0)

# Of the ground's waves: heights in shares of their length, so that slopes stay below 5 %.
RELIEF_WAVES = 3
WAVELENGTH_M = (50.0, 250.0)
STEEPNESS_MAX = 0.0035
# Slabs and fronts go on below the ground, so that none hovers where it falls.
FOUNDATION_M = 1.0
PIECE_M = 8.0

Bounds = tuple[float, float]


class Stuff(NamedTuple):
    """What a part consists of, as a `Box` has it."""

    material: Material
    free_path_m: float = 0.0


@dataclass(frozen=True)
class Road:
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
        """A velocity along the road."""
        cos, sin = float(np.cos(self.yaw_rad)), float(np.sin(self.yaw_rad))
        return speed_mps * cos, speed_mps * sin, 0.0

    def stations(self, start_m: float, gap_m: Bounds) -> Iterator[float]:
        """Places along the road with random gaps."""
        along_m = start_m + self.rng.uniform(0.0, gap_m[1])
        while along_m < ROAD_END_M:
            yield along_m
            along_m += self.rng.uniform(*gap_m)

    def box(self, along_m: float, left_m: float, size_m: Triple, stuff: Stuff) -> Box:
        """A box with a foundation in the ground, its length along the road."""
        x, y, ground_m = self.place(along_m, left_m)
        length_m, width_m, height_m = size_m
        center_m = (x, y, ground_m + 0.5 * (height_m - FOUNDATION_M))
        size_m = (length_m, width_m, height_m + FOUNDATION_M)
        return Box(center_m, size_m, self.yaw_rad, stuff.material, free_path_m=stuff.free_path_m)

    def hanging(self, along_m: float, left_m: float, size_m: Triple, bottom_m: float) -> Box:
        """A metal box above the ground, its length along the road."""
        x, y, ground_m = self.place(along_m, left_m)
        center_m = (x, y, ground_m + bottom_m + 0.5 * size_m[2])
        return Box(center_m, size_m, self.yaw_rad, Material.METAL)

    def row(self, along_m: float, left_m: float, size_m: Triple, stuff: Stuff) -> list[Box]:
        """A long box from `along_m` on, in pieces that follow the ground."""
        count = max(1, round(size_m[0] / PIECE_M))
        piece_m = size_m[0] / count
        size_m = (piece_m, *size_m[1:])
        starts = along_m + piece_m * np.arange(count)
        return [self.box(start + 0.5 * piece_m, left_m, size_m, stuff) for start in starts]

    def post(self, along_m: float, left_m: float, radius_m: float, height_m: float) -> Cylinder:
        """A metal post on the ground."""
        x, y, ground_m = self.place(along_m, left_m)
        return Cylinder((x, y), radius_m, ground_m, ground_m + height_m, Material.METAL)

    def uniform(self, bounds: Bounds) -> float:
        """A number between bounds."""
        return float(self.rng.uniform(*bounds))


def random_road(rng: np.random.Generator) -> Road:
    """Draw where a road runs, how wide it is and how its ground rolls."""
    return Road(
        rng,
        yaw_rad=rng.normal(0.0, ROAD_YAW_STD_RAD),
        car_left_m=-0.5 * LANE_WIDTH_M + rng.uniform(-0.3, 0.3),
        half_width_m=rng.uniform(3.5, 8.0),
        pavement_m=rng.uniform(1.0, 5.0),
        relief=Relief(tuple(_wave(rng) for _ in range(RELIEF_WAVES))),
    )


def _wave(rng: np.random.Generator) -> Wave:
    length_m = rng.uniform(*WAVELENGTH_M)
    heading_rad, phase_rad = rng.uniform(0.0, 2.0 * np.pi, 2).tolist()
    turn = 2.0 * np.pi / length_m
    per_m = (turn * float(np.cos(heading_rad)), turn * float(np.sin(heading_rad)))
    return Wave(length_m * STEEPNESS_MAX * rng.random(), per_m, phase_rad)
