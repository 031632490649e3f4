"""A LiDAR like the Velodyne VLP-16."""

import numpy as np
from numpy.typing import NDArray

from radarsparse.data.simulator.raycast import Hits, cast_rays
from radarsparse.data.simulator.scene import Floats, Material, Scene

# data-formats.md, section 10.4: +-15 deg, 100 m, 3 cm, azimuth step 0.2 deg
BEAM_ELEVATION_DEG = np.linspace(-15.0, 15.0, 16)
AZIMUTH_STEP_DEG = 0.2
AZIMUTH_MAX_DEG = 75.0
RANGE_MAX_M = 100.0
RANGE_MIN_M = 1.0
RANGE_NOISE_STD_M = 0.03

# Share of light sent back, by Material; chosen so that intensities have the quantiles of Astyx:
# 5 % at 1-2, median 8, 95 % at 40.
REFLECTIVITY = np.zeros(len(Material))
REFLECTIVITY[Material.ROAD] = 0.035
REFLECTIVITY[Material.BUILDING] = 0.08
REFLECTIVITY[Material.VEHICLE] = 0.1
REFLECTIVITY[Material.METAL] = 0.15
REFLECTIVITY[Material.VEGETATION] = 0.07
REFLECTIVITY[Material.PERSON] = 0.1
ROUGHNESS_STD_M = np.zeros(len(Material))
ROUGHNESS_STD_M[Material.VEGETATION] = 0.5

INTENSITY_MAX = 255.0
PAINT_SPREAD = 0.4
SPECKLE_SPREAD = 0.15
RETROREFLECTOR_SHARE = 0.02
RETROREFLECTOR_INTENSITY = (120.0, 255.0)

# A return is lost with 1 - exp(-(range / reach)^2); the reach grows with the light sent back.
REACH_DARK_M = 35.0
REACH_BRIGHT_M = 500.0
DROPOUT_BASE = 0.02


def scan_lidar(scene: Scene, rng: np.random.Generator) -> NDArray[np.float32]:
    """One sweep of the front.

    Args:
        scene: what can be seen.
        rng: source of noise.

    Returns:
        float32 [m, 4] x, y, z in metres and intensity 0 to 255, LiDAR frame.
    """
    directions = _beam_directions(rng.uniform(0.0, AZIMUTH_STEP_DEG))
    T_world_lidar = scene.T_world_lidar
    hits = cast_rays(scene, T_world_lidar[:3, 3], directions @ T_world_lidar[:3, :3].T)
    kept = _returned(hits, rng)
    range_m = _noisy_range(hits, rng)
    intensity = _intensity(hits, rng)
    points = np.concatenate([directions * range_m[:, None], intensity[:, None]], axis=1)
    return points[kept].astype(np.float32)


def _beam_directions(azimuth_phase_deg: float) -> Floats:
    azimuth_deg = np.arange(-AZIMUTH_MAX_DEG, AZIMUTH_MAX_DEG, AZIMUTH_STEP_DEG) + azimuth_phase_deg
    azimuth, elevation = np.meshgrid(np.radians(azimuth_deg), np.radians(BEAM_ELEVATION_DEG))
    level = np.cos(elevation)
    grid = (level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation))
    return np.stack(grid, axis=-1).reshape(-1, 3)


def _returned(hits: Hits, rng: np.random.Generator) -> NDArray[np.bool_]:
    light = REFLECTIVITY[hits.material] * hits.cos_incidence
    reach_m = REACH_DARK_M + REACH_BRIGHT_M * light
    share = (1.0 - DROPOUT_BASE) * np.exp(-((hits.range_m / reach_m) ** 2))
    in_range = (hits.range_m > RANGE_MIN_M) & (hits.range_m < RANGE_MAX_M)
    return in_range & (rng.random(len(share)) < share)


def _noisy_range(hits: Hits, rng: np.random.Generator) -> Floats:
    """Vegetation is entered before it sends light back, so its roughness only adds."""
    noise_m = rng.normal(0.0, RANGE_NOISE_STD_M, len(hits.range_m))
    depth_m = np.abs(rng.normal(0.0, 1.0, len(hits.range_m))) * ROUGHNESS_STD_M[hits.material]
    return np.where(np.isfinite(hits.range_m), hits.range_m, 0.0) + noise_m + depth_m


def _intensity(hits: Hits, rng: np.random.Generator) -> Floats:
    paint = rng.lognormal(0.0, PAINT_SPREAD, hits.owner.max() + 2)
    speckle = rng.lognormal(0.0, SPECKLE_SPREAD, len(hits.owner))
    shading = 0.4 + 0.6 * hits.cos_incidence
    intensity = INTENSITY_MAX * REFLECTIVITY[hits.material] * shading * paint[hits.owner] * speckle
    shiny = np.isin(hits.material, (Material.VEHICLE, Material.METAL))
    shiny &= rng.random(len(shiny)) < RETROREFLECTOR_SHARE
    glare = rng.uniform(*RETROREFLECTOR_INTENSITY, len(shiny))
    return np.minimum(np.round(np.where(shiny, glare, intensity)), INTENSITY_MAX)
