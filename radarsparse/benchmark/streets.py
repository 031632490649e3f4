"""Clouds with the densities of a LiDAR's: dense circles nearby, thin surfaces far away."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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

    Args:
        points: of each cloud.
        seed: of everything.

    Returns:
        Prediction with noise and some points anywhere, and target; float32 [points, 3] metres.
    """
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([_boxes(rng, *kind) for kind in (_CARS, _BUILDINGS, _POLES)])
    target = _scan(rng, boxes, np.array([0.0, 0.0, 0.0]), points)
    guess = _scan(rng, boxes, np.array([0.7, 0.2, 0.0]), points)
    guess += rng.normal(0.0, NOISE_STD_M, guess.shape)
    lost = rng.random(points) < OUTLIER_SHARE
    guess[lost] = rng.uniform(-1.0, 1.0, (lost.sum(), 3)) * OUTLIER_BOX_M
    return guess.astype(np.float32), target.astype(np.float32)


def _boxes(
    rng: np.random.Generator,
    count: int,
    ring_m: tuple[float, float],
    sides_m: tuple[tuple[float, float], ...],
) -> Floats:
    """[count, 2, 3] lower and upper corners, standing on the ground clear of the sensor."""
    angle = rng.uniform(0.0, 2.0 * np.pi, count)
    distance = rng.uniform(*ring_m, count)
    sides = np.stack([rng.uniform(*side, count) for side in sides_m], axis=1)
    # The nearest corner, not the centre, is so far away.
    distance += np.hypot(sides[:, 0], sides[:, 1]) / 2
    foot = np.full(count, -SENSOR_HEIGHT_M)
    centre = np.stack([distance * np.cos(angle), distance * np.sin(angle), foot], axis=1)
    half = sides * (0.5, 0.5, 0.0)
    return np.stack([centre - half, centre + half + sides * (0.0, 0.0, 1.0)], axis=1)


def _scan(rng: np.random.Generator, boxes: Floats, origin: Floats, points: int) -> Floats:
    """[points, 3] where rays from an origin end."""
    columns = int(_RAYS_PER_POINT * points / BEAMS) + 1
    azimuth, elevation = np.meshgrid(
        np.linspace(-np.pi, np.pi, columns, endpoint=False) + rng.uniform(0.0, 1e-3),
        np.radians(np.linspace(*ELEVATION_DEG, BEAMS)),
    )
    level = np.cos(elevation)
    grid = (level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation))
    rays = np.stack(grid, axis=-1).reshape(-1, 3)
    range_m = _ranges(rays.astype(np.float32), (boxes - origin).astype(np.float32), SENSOR_HEIGHT_M)
    ends = (rays * range_m[:, None])[(range_m > RANGE_M[0]) & (range_m < RANGE_M[1])] + origin
    return ends[np.sort(rng.choice(len(ends), points, replace=False))]


def _ranges(
    rays: NDArray[np.float32], boxes: NDArray[np.float32], height_m: float
) -> NDArray[np.float32]:
    """How far rays get from a sensor so high above the ground; infinite where nothing is met."""
    with np.errstate(divide="ignore"):
        inverse = np.float32(1.0) / rays
    ground = np.float32(-height_m) * inverse[:, 2]
    range_m = np.where(ground > 0.0, ground, np.float32(np.inf))
    for low, high in boxes:
        ways = low * inverse, high * inverse
        enters = np.minimum(*ways).max(axis=1)
        leaves = np.maximum(*ways).min(axis=1)
        met = (enters > 0.0) & (enters <= leaves)
        range_m = np.where(met & (enters < range_m), enters, range_m)
    return range_m
