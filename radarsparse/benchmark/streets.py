"""Clouds with the densities of a LiDAR's: dense circles nearby, thin surfaces far away."""

import numpy as np
from numpy.typing import NDArray

from radarsparse.geometry import cartesian
from radarsparse.simulator.raycast import cast_rays
from radarsparse.simulator.world import Box, Floats, Material, World

BEAMS = 64
ELEVATION_DEG = (-25.0, 8.0)
RANGE_M = (1.5, 100.0)
SENSOR_HEIGHT_M = 1.8
NOISE_STD_M = 0.1
OUTLIER_SHARE = 0.01
OUTLIER_BOX_M = (100.0, 100.0, 6.0)
# How many, the ring they stand in, and sides or ranges of sides.
_CARS = (40, (4.0, 60.0), ((4.0, 5.0), (1.7, 2.0), (1.4, 1.8)))
_BUILDINGS = (25, (15.0, 95.0), ((8.0, 25.0), (8.0, 25.0), (4.0, 15.0)))
_POLES = (50, (5.0, 60.0), ((0.1, 0.3), (0.1, 0.3), (3.0, 8.0)))
# More rays than points asked for, since some meet nothing.
_RAYS_PER_POINT = 1.4


def lidar_pair(points: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A prediction and its target: one street seen from two places.

    Returns:
        Prediction with noise and some points anywhere, and target; float32 [points, 3] metres.
    """
    rng = np.random.default_rng(seed)
    boxes = [box for kind in (_CARS, _BUILDINGS, _POLES) for box in _boxes(rng, *kind)]
    street = World(tuple(boxes), np.eye(4), np.eye(4), (0.0, 0.0, 0.0))
    target = _scan(rng, street, (0.0, 0.0), points)
    guess = _scan(rng, street, (0.7, 0.2), points)
    guess += rng.normal(0.0, NOISE_STD_M, guess.shape)
    lost = rng.random(points) < OUTLIER_SHARE
    guess[lost] = rng.uniform(-1.0, 1.0, (lost.sum(), 3)) * OUTLIER_BOX_M
    return guess.astype(np.float32), target.astype(np.float32)


def _boxes(
    rng: np.random.Generator,
    count: int,
    ring_m: tuple[float, float],
    sides_m: tuple[tuple[float, float], ...],
) -> list[Box]:
    """Boxes that stand on the ground clear of the sensor."""
    angle = rng.uniform(0.0, 2.0 * np.pi, count)
    distance = rng.uniform(*ring_m, count)
    sides = np.stack([rng.uniform(*side, count) for side in sides_m], axis=1)
    # The nearest corner, not the centre, is so far away.
    distance += np.hypot(sides[:, 0], sides[:, 1]) / 2
    x, y = distance * np.cos(angle), distance * np.sin(angle)
    return [
        Box((x, y, height / 2), (length, width, height), 0.0, Material.BUILDING)
        for x, y, (length, width, height) in zip(x, y, sides, strict=True)
    ]


def _scan(
    rng: np.random.Generator, street: World, place_m: tuple[float, float], points: int
) -> Floats:
    """[points, 3] where rays from a sensor above a place end; z from the sensor's height."""
    columns = int(_RAYS_PER_POINT * points / BEAMS) + 1
    azimuth = np.linspace(-np.pi, np.pi, columns, endpoint=False) + rng.uniform(0.0, 1e-3)
    elevation = np.radians(np.linspace(*ELEVATION_DEG, BEAMS))[:, None]
    rays = cartesian(1.0, azimuth, elevation).reshape(-1, 3)
    range_m = cast_rays(street, np.array([*place_m, SENSOR_HEIGHT_M]), rays, rng).range_m
    met = (range_m > RANGE_M[0]) & (range_m < RANGE_M[1])
    ends = rays[met] * range_m[met, None] + (*place_m, 0.0)
    return ends[np.sort(rng.choice(len(ends), points, replace=False))]
