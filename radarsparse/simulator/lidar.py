"""Sweeps of a LiDAR."""

import numpy as np
from numpy.typing import NDArray

from radarsparse.simulator.lidar_models import LidarModel, Rings, Rose
from radarsparse.simulator.raycast import Hits, cast_rays
from radarsparse.simulator.world import Floats, Material, World

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
ROUGHNESS_STD_M[Material.VEGETATION] = 1.0

INTENSITY_MAX = 255.0
PAINT_SPREAD = 0.4
SPECKLE_SPREAD = 0.15
RETROREFLECTOR_SHARE = 0.02
RETROREFLECTOR_INTENSITY = (120.0, 255.0)

# A return is lost with 1 - exp(-(range / reach)^2); the reach, in shares of the farthest return,
# grows with the light sent back.
REACH_DARK = 0.35
REACH_BRIGHT = 5.0
DROPOUT_BASE = 0.02


def scan_lidar(world: World, model: LidarModel, rng: np.random.Generator) -> NDArray[np.float32]:
    """One sweep of the front.

    Args:
        world: what can be seen.
        model: the sensor.
        rng: source of noise.

    Returns:
        float32 [m, 4] x, y, z in metres and intensity 0 to 255, LiDAR frame.
    """
    directions = beam_directions(model.pattern, rng.random())
    T_world_lidar = world.T_world_lidar
    hits = cast_rays(world, T_world_lidar[:3, 3], directions @ T_world_lidar[:3, :3].T)
    kept = _returned(hits, model, rng)
    range_m = _noisy_range(hits, model.range_noise_std_m, rng)
    intensity = _intensity(hits, rng)
    points = np.concatenate([directions * range_m[:, None], intensity[:, None]], axis=1)
    return points[kept].astype(np.float32)


def beam_directions(pattern: Rings | Rose, phase: float) -> Floats:
    """Where the beams of one sweep point.

    Args:
        pattern: of the sensor.
        phase: 0 to 1, where the sweep starts within what repeats: an azimuth step of rings, the
            whole pattern of a rose.

    Returns:
        [n, 3] unit vectors, LiDAR frame.
    """
    if isinstance(pattern, Rings):
        return _ring_directions(pattern, phase)
    return _rose_directions(pattern, phase)


def _ring_directions(pattern: Rings, phase: float) -> Floats:
    end_deg, step_deg = pattern.azimuth_max_deg, pattern.azimuth_step_deg
    azimuth_deg = np.arange(-end_deg, end_deg, step_deg) + phase * step_deg
    azimuth, elevation = np.meshgrid(np.radians(azimuth_deg), np.radians(pattern.elevation_deg))
    return _unit_vectors(azimuth, elevation)


def _rose_directions(pattern: Rose, phase: float) -> Floats:
    """Swings of equal time through the middle, each stretched to reach the rectangle's rim."""
    firings = pattern.points // pattern.beams
    seconds = phase * pattern.repeat_s + np.arange(firings) * (pattern.duration_s / firings)
    heading = 2.0 * np.pi * pattern.turn_hz * seconds
    across, up = np.cos(heading), np.sin(heading)
    out = np.cos(2.0 * np.pi * pattern.swing_hz * seconds) / np.maximum(abs(across), abs(up))
    beam_deg = pattern.beam_gap_deg * (np.arange(pattern.beams) - 0.5 * (pattern.beams - 1))
    swing_height_deg = pattern.height_deg - pattern.beam_gap_deg * (pattern.beams - 1)
    azimuth_deg = 0.5 * pattern.width_deg * out * across + np.zeros((pattern.beams, 1))
    elevation_deg = 0.5 * swing_height_deg * out * up + beam_deg[:, None]
    return _unit_vectors(np.radians(azimuth_deg), np.radians(elevation_deg))


def _unit_vectors(azimuth: Floats, elevation: Floats) -> Floats:
    level = np.cos(elevation)
    grid = (level * np.cos(azimuth), level * np.sin(azimuth), np.sin(elevation))
    return np.stack(grid, axis=-1).reshape(-1, 3)


def _returned(hits: Hits, model: LidarModel, rng: np.random.Generator) -> NDArray[np.bool_]:
    light = REFLECTIVITY[hits.material] * hits.cos_incidence
    reach_m = model.range_max_m * REACH_DARK + model.range_max_m * REACH_BRIGHT * light
    share = (1.0 - DROPOUT_BASE) * np.exp(-((hits.range_m / reach_m) ** 2))
    in_range = (hits.range_m > model.range_min_m) & (hits.range_m < model.range_max_m)
    return in_range & (rng.random(len(share)) < share)


def _noisy_range(hits: Hits, noise_std_m: float, rng: np.random.Generator) -> Floats:
    """Vegetation is entered before it sends light back, so its roughness only adds."""
    noise_m = rng.normal(0.0, noise_std_m, len(hits.range_m))
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
