"""A 4D radar like the Astyx 6455 HiRes.

Echoes come from strong scatterers on visible surfaces, not from the surfaces evenly: rays find the
surfaces, a heavy-tailed radar cross-section decides which of them answer, and each that does, or
its ghost, gives a cluster of detections. Clutter is added, then polar noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radarsparse.data.simulator.raycast import Hits, cast_rays
from radarsparse.data.simulator.scene import Floats, Material, Scene

# data-formats.md, section 10.1: field of view 110 x 10 deg (data to +-15 deg), 100 m, magnitude
# 45 to 97 dB in steps of 0.5
AZIMUTH_MAX_DEG = 55.0
ELEVATION_MAX_DEG = 10.0
ELEVATION_STD_DEG = 5.0
ELEVATION_MEAN_DEG = 0.7
RANGE_MAX_M = 100.0
RANGE_MIN_M = 2.0
POWER_DB = (45.0, 97.0)
POWER_STEP_DB = 0.5

# Section 10.2: noise by range; Astyx column, elevation without what the VLP-16's gaps add
NOISE_AT_RANGE_M = (8.0, 22.0, 40.0, 75.0)
RANGE_NOISE_STD_M = (0.12, 0.20, 0.30, 0.35)
AZIMUTH_NOISE_STD_DEG = (0.64, 0.59, 0.54, 0.50)
ELEVATION_NOISE_STD_DEG = (1.1, 1.1, 1.0, 0.9)

# Section 10.2: points without LiDAR support, 0-4 % near to 47-63 % far, of which part is only out
# of the LiDAR's reach; 5-10 % of points below the ground
GHOST_SHARE = (0.03, 0.12, 0.22, 0.40)
GHOST_DETOUR_M = 8.0
GHOST_LOSS_DB = 4.0
MIRROR_SHARE = 0.07
MIRROR_HEIGHT_MIN_M = 0.5
MIRROR_LOSS_DB = 3.0

# Section 10.3: Doppler residual; SNR falls with 40 log10(r / r0) beyond about 50 m, up to where a
# gain that rises with range keeps the list flat; clusters of 1 to 10 detections. A probe stands for
# a patch that grows with the range squared, which takes 20 log10(r / r0) off both losses.
DOPPLER_NOISE_STD_MPS = 0.05
GAIN_FLAT_TO_M = 50.0
SNR_SLOPE_NEAR = -20.0
SNR_SLOPE_FAR = 20.0
DETECTION_WIDTH_DB = 1.5
CLUSTER_MAX = 10
CLUSTER_MEAN = 7.0
CLUSTER_SHARED_NOISE = 0.7

# Lowest cross-section of a patch seen head-on, in dB over the threshold at GAIN_FLAT_TO_M, by
# Material; chosen so that counts and magnitudes match Astyx (about 2000 points, median 50.5 dB,
# 95 % at 65 dB). Each surface is a few dB off, each patch has a heavy tail above.
LEVEL_DB = np.zeros(len(Material))
LEVEL_DB[Material.ROAD] = -14.0
LEVEL_DB[Material.BUILDING] = -4.0
LEVEL_DB[Material.VEHICLE] = 2.0
LEVEL_DB[Material.METAL] = 4.0
LEVEL_DB[Material.VEGETATION] = -5.0
LEVEL_DB[Material.PERSON] = -4.0
TAIL_DB = 7.0
SURFACE_STD_DB = 5.0
CLUSTER_SPREAD_DB = 2.0

COS_INCIDENCE_MIN = 0.05
PROBES = 1700
CLUTTER_MEAN = 25.0
CLUTTER_DOPPLER_STD_MPS = 3.0
CLUTTER_TAIL_DB = 2.0


@dataclass(frozen=True)
class _Echoes:
    """Where the radar gets power from.

    Attributes:
        points: [n, 3] metres, radar frame, before noise.
        doppler_mps: [n] negative when approaching.
        snr_db: [n] over the threshold of detection.
    """

    points: Floats
    doppler_mps: Floats
    snr_db: Floats

    def take(self, index: NDArray[Any]) -> "_Echoes":
        return _Echoes(self.points[index], self.doppler_mps[index], self.snr_db[index])

    @property
    def range_m(self) -> Floats:
        return np.linalg.norm(self.points, axis=1)


def scan_radar(scene: Scene, rng: np.random.Generator) -> NDArray[np.float32]:
    """One frame of detections.

    Args:
        scene: what can be seen.
        rng: source of scatterers and noise.

    Returns:
        float32 [n, 5] x, y, z in metres, Doppler in m/s (negative when approaching, not
        ego-compensated, not wrapped) and power in dB, radar frame.
    """
    echoes = _detected(_scatterers(scene, rng), rng)
    ghosts = [_ground_mirrored(echoes, scene, rng), _detoured(echoes, rng)]
    detections = _join([_clustered(_join([echoes, *ghosts]), rng), _clutter(rng)])
    points = _noisy_points(detections.points, 1.0 - CLUSTER_SHARED_NOISE, rng)
    doppler = detections.doppler_mps + rng.normal(0.0, DOPPLER_NOISE_STD_MPS, len(points))
    power = _power_db(detections.snr_db)
    table = np.concatenate([points, doppler[:, None], power[:, None]], axis=1)
    return table[_in_view(points)].astype(np.float32)


def _scatterers(scene: Scene, rng: np.random.Generator) -> _Echoes:
    """Candidate scatterers on visible surfaces."""
    directions = _probe_directions(rng)
    rotation, origin_m = scene.T_world_radar[:3, :3], scene.T_world_radar[:3, 3]
    in_world = directions @ rotation.T
    hits = cast_rays(scene, origin_m, in_world)
    closing = hits.velocity_mps - np.asarray(scene.ego_velocity_mps)
    level = _cross_section_db(hits, rng)
    seen = np.flatnonzero((hits.range_m > RANGE_MIN_M) & (hits.range_m < RANGE_MAX_M))
    range_m = hits.range_m[seen]
    return _Echoes(
        directions[seen] * range_m[:, None],
        (in_world[seen] * closing[seen]).sum(axis=1),
        level[seen] - _range_loss_db(range_m),
    )


def _cross_section_db(hits: Hits, rng: np.random.Generator) -> Floats:
    surface = rng.normal(0.0, SURFACE_STD_DB, hits.owner.max() + 2)
    incidence = 10.0 * np.log10(np.maximum(hits.cos_incidence, COS_INCIDENCE_MIN))
    tail = rng.exponential(TAIL_DB, len(hits.owner))
    return LEVEL_DB[hits.material] + surface[hits.owner] + incidence + tail


def _range_loss_db(range_m: Floats) -> Floats:
    decades = np.log10(range_m / GAIN_FLAT_TO_M)
    return np.where(decades > 0, SNR_SLOPE_FAR, SNR_SLOPE_NEAR) * decades


def _probe_directions(rng: np.random.Generator) -> Floats:
    azimuth = np.radians(rng.uniform(-AZIMUTH_MAX_DEG, AZIMUTH_MAX_DEG, PROBES))
    elevation_deg = rng.normal(ELEVATION_MEAN_DEG, ELEVATION_STD_DEG, PROBES)
    elevation_deg = np.clip(elevation_deg, -ELEVATION_MAX_DEG, ELEVATION_MAX_DEG)
    return _cartesian(np.ones(PROBES), azimuth, np.radians(elevation_deg))


def _detected(echoes: _Echoes, rng: np.random.Generator) -> _Echoes:
    probability = 1.0 / (1.0 + np.exp(-np.clip(echoes.snr_db / DETECTION_WIDTH_DB, -50.0, 50.0)))
    return echoes.take(np.flatnonzero(rng.random(len(probability)) < probability))


def _clustered(echoes: _Echoes, rng: np.random.Generator) -> _Echoes:
    """Several detections of each echo; part of the noise they have in common."""
    count = np.minimum(rng.geometric(1.0 / CLUSTER_MEAN, len(echoes.snr_db)), CLUSTER_MAX)
    member = np.repeat(np.arange(len(count)), count)
    points = _noisy_points(echoes.points, CLUSTER_SHARED_NOISE, rng)[member]
    weaker = np.abs(rng.normal(0.0, CLUSTER_SPREAD_DB, len(member)))
    return _Echoes(points, echoes.doppler_mps[member], echoes.snr_db[member] - weaker)


def _ground_mirrored(echoes: _Echoes, scene: Scene, rng: np.random.Generator) -> _Echoes:
    """Echoes that came by way of the road and so appear below it."""
    rotation, origin_m = scene.T_world_radar[:3, :3], scene.T_world_radar[:3, 3]
    world = echoes.points @ rotation.T + origin_m
    high = world[:, 2] > MIRROR_HEIGHT_MIN_M
    chosen = np.flatnonzero(high & (rng.random(len(high)) < MIRROR_SHARE))
    mirrored = (world[chosen] * (1.0, 1.0, -1.0) - origin_m) @ rotation
    source = echoes.take(chosen)
    return _Echoes(mirrored, source.doppler_mps, source.snr_db - MIRROR_LOSS_DB)


def _detoured(echoes: _Echoes, rng: np.random.Generator) -> _Echoes:
    """Echoes that came by way of another surface and so appear farther away."""
    odds = np.interp(echoes.range_m, NOISE_AT_RANGE_M, GHOST_SHARE)
    chosen = np.flatnonzero(rng.random(len(odds)) < odds / (1.0 - odds))
    source = echoes.take(chosen)
    detour_m = 2.0 + rng.exponential(GHOST_DETOUR_M, len(chosen))
    stretch = 1.0 + detour_m / source.range_m
    return _Echoes(
        source.points * stretch[:, None], source.doppler_mps, source.snr_db - GHOST_LOSS_DB
    )


def _clutter(rng: np.random.Generator) -> _Echoes:
    count = rng.poisson(CLUTTER_MEAN) + 1
    azimuth = np.radians(rng.uniform(-AZIMUTH_MAX_DEG, AZIMUTH_MAX_DEG, count))
    elevation = np.radians(rng.uniform(-ELEVATION_MAX_DEG, ELEVATION_MAX_DEG, count))
    points = _cartesian(rng.uniform(RANGE_MIN_M, RANGE_MAX_M, count), azimuth, elevation)
    doppler = rng.normal(0.0, CLUTTER_DOPPLER_STD_MPS, count)
    return _Echoes(points, doppler, rng.exponential(CLUTTER_TAIL_DB, count))


def _join(parts: Sequence[_Echoes]) -> _Echoes:
    return _Echoes(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.doppler_mps for part in parts]),
        np.concatenate([part.snr_db for part in parts]),
    )


def _noisy_points(points: Floats, variance_share: float, rng: np.random.Generator) -> Floats:
    """Noise in range, azimuth and elevation, in which a radar measures."""
    range_m = np.linalg.norm(points, axis=1)
    azimuth = np.arctan2(points[:, 1], points[:, 0])
    elevation = np.arcsin(np.clip(points[:, 2] / range_m, -1.0, 1.0))
    unit = rng.normal(0.0, np.sqrt(variance_share), (3, len(points)))
    spread = [
        np.interp(range_m, NOISE_AT_RANGE_M, std)
        for std in (RANGE_NOISE_STD_M, AZIMUTH_NOISE_STD_DEG, ELEVATION_NOISE_STD_DEG)
    ]
    return _cartesian(
        range_m + unit[0] * spread[0],
        azimuth + unit[1] * np.radians(spread[1]),
        elevation + unit[2] * np.radians(spread[2]),
    )


def _cartesian(range_m: Floats, azimuth: Floats, elevation: Floats) -> Floats:
    level_m = range_m * np.cos(elevation)
    columns = (level_m * np.cos(azimuth), level_m * np.sin(azimuth), range_m * np.sin(elevation))
    return np.stack(columns, axis=1)


def _power_db(snr_db: Floats) -> Floats:
    power = np.clip(POWER_DB[0] + np.abs(snr_db), *POWER_DB)
    return np.round(power / POWER_STEP_DB) * POWER_STEP_DB


def _in_view(points: Floats) -> NDArray[np.bool_]:
    azimuth = np.abs(np.arctan2(points[:, 1], points[:, 0]))
    range_m = np.linalg.norm(points, axis=1)
    inside = (range_m >= RANGE_MIN_M) & (range_m <= RANGE_MAX_M)
    return inside & (azimuth <= np.radians(AZIMUTH_MAX_DEG))
