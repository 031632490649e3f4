"""Sweeps of a LiDAR."""

import numpy as np
from numpy.typing import NDArray

from radarsparse.formats.prepared import INTENSITY_MAX
from radarsparse.simulator.lidar_models import LidarModel
from radarsparse.simulator.raycast import Hits, cast_rays
from radarsparse.simulator.world import Floats, Material, World, by_material

# Share of light sent back; chosen so that intensities have the quantiles of Astyx: 5 % at 1-2,
# median 8, 95 % at 40.
REFLECTIVITY = by_material(
    road=0.035, building=0.08, vehicle=0.1, metal=0.15, vegetation=0.07, person=0.1
)

PAINT_SPREAD = 0.4
SPECKLE_SPREAD = 0.15
RETROREFLECTOR_SHARE = 0.02
RETROREFLECTOR_INTENSITY = (120.0, INTENSITY_MAX)

# A return is lost with 1 - exp(-(range / reach)^4); the reach, in shares of the farthest return,
# grows with the light sent back.
REACH_DARK = 0.30
REACH_BRIGHT = 3.0
DROPOUT_BASE = 0.02


def scan_lidar(world: World, model: LidarModel, rng: np.random.Generator) -> NDArray[np.float32]:
    """One sweep of what is ahead.

    Returns:
        float32 [m, 4] x, y, z in metres and intensity 0 to 255, LiDAR frame.
    """
    directions = model.directions(rng.random())
    T_world_lidar = world.T_world_lidar
    hits = cast_rays(world, T_world_lidar[:3, 3], directions @ T_world_lidar[:3, :3].T, rng)
    kept = _returned(hits, model, rng)
    range_m = _noisy_range(hits, model.range_noise_std_m, rng)
    intensity = _intensity(hits, rng)
    points = np.column_stack([directions * range_m[:, None], intensity])
    return points[kept].astype(np.float32)


def _returned(hits: Hits, model: LidarModel, rng: np.random.Generator) -> NDArray[np.bool_]:
    light = REFLECTIVITY[hits.material] * hits.cos_incidence
    reach_m = model.range_max_m * REACH_DARK + model.range_max_m * REACH_BRIGHT * light
    share = (1.0 - DROPOUT_BASE) * np.exp(-((hits.range_m / reach_m) ** 4))
    in_range = (hits.range_m > model.range_min_m) & (hits.range_m < model.range_max_m)
    return in_range & (rng.random(len(share)) < share)


def _noisy_range(hits: Hits, noise_std_m: float, rng: np.random.Generator) -> Floats:
    noise_m = rng.normal(0.0, noise_std_m, len(hits.range_m))
    return np.where(np.isfinite(hits.range_m), hits.range_m, 0.0) + noise_m


def _intensity(hits: Hits, rng: np.random.Generator) -> Floats:
    paint = rng.lognormal(0.0, PAINT_SPREAD, hits.owner.max() + 2)
    speckle = rng.lognormal(0.0, SPECKLE_SPREAD, len(hits.owner))
    shading = 0.4 + 0.6 * hits.cos_incidence
    intensity = INTENSITY_MAX * REFLECTIVITY[hits.material] * shading * paint[hits.owner] * speckle
    shiny = np.isin(hits.material, (Material.VEHICLE, Material.METAL))
    shiny &= rng.random(len(shiny)) < RETROREFLECTOR_SHARE
    glare = rng.uniform(*RETROREFLECTOR_INTENSITY, len(shiny))
    return np.minimum(np.round(np.where(shiny, glare, intensity)), INTENSITY_MAX)
