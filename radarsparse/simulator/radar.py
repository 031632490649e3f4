"""Frames of a 4D radar.

Echoes come from strong scatterers on visible surfaces, not from the surfaces evenly: rays find the
surfaces, a heavy-tailed radar cross-section decides which of them answer, and each that does, or
its ghost, gives a cluster of detections. Clutter is added, then polar noise.
"""

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radarsparse.geometry import azimuth_rad, cartesian
from radarsparse.simulator.radar_models import ERROR_RANGE_M, PolarNoise, PowerScale, RadarModel
from radarsparse.simulator.raycast import NOTHING, Hits, cast_rays
from radarsparse.simulator.world import Floats, Material, World, by_material

GHOST_DETOUR_M = 12.0
GHOST_LOSS_DB = 4.0
SIDE_LOBE_SHARE = 0.5
SIDE_LOBE_STD_DEG = 8.0
# In frames of Astyx and TJ4DRadSet 5 to 10 % of the points lie below the ground.
MIRROR_SHARE = 0.05
MIRROR_HEIGHT_MIN_M = 0.5
MIRROR_LOSS_DB = 3.0

# By the radar equation SNR falls with 40 log10(r / r0), here beyond about 50 m, up to where a gain
# that rises with range keeps the list flat; clusters of 1 to 10 detections. A probe stands for a
# patch that grows with the range squared, which takes 20 log10(r / r0) off both losses.
GAIN_FLAT_TO_M = 50.0
SNR_SLOPE_NEAR = -14.0
SNR_SLOPE_FAR = 20.0
DETECTION_WIDTH_DB = 1.5
CLUSTER_MAX = 10
CLUSTER_SHARED_NOISE = 0.88

# Lowest cross-section of a patch seen head-on, in dB over the threshold at GAIN_FLAT_TO_M;
# chosen so that counts and magnitudes match Astyx (about 2000 points, median 50.5 dB,
# 95 % at 65 dB). Each surface is a few dB off, each patch has a heavy tail above.
LEVEL_DB = by_material(
    road=-18.0, building=-4.0, vehicle=2.0, metal=4.0, vegetation=-5.0, person=-4.0
)
TAIL_DB = 7.0
SURFACE_STD_DB = 5.0
CLUSTER_SPREAD_DB = 2.0

# Share of probes that go on below a vehicle by way of the road, and how many times as far as light
# they go between leaves; chosen so that as many points as in Astyx lie behind what stops its LiDAR.
PASS_SHARE = by_material(vehicle=0.5)
PASS_LOSS_DB = 3.0
CLEARNESS = np.where(np.arange(len(Material)) == Material.VEGETATION, 3.0, 1.0)

COS_INCIDENCE_MIN = 0.05
ELEVATION_MEAN_DEG = 0.7
CLUTTER_DOPPLER_STD_MPS = 3.0
CLUTTER_TAIL_DB = 2.0


class _Echoes(NamedTuple):
    """Where the radar gets power from, before noise; `snr_db` is over the detection threshold."""

    points: Floats
    doppler_mps: Floats
    snr_db: Floats

    def take(self, index: NDArray[Any]) -> "_Echoes":
        return _Echoes._make(values[index] for values in self)

    @property
    def range_m(self) -> Floats:
        return np.linalg.norm(self.points, axis=1)


def scan_radar(world: World, model: RadarModel, rng: np.random.Generator) -> NDArray[np.float32]:
    """One frame of detections.

    Returns:
        float32 [n, 5] x, y, z in metres, Doppler in m/s (negative when approaching, not
        ego-compensated, folded where the sensor's is) and power in dB, radar frame.
    """
    detections = _detections(world, model, rng)
    polar = _noisy_polar(detections.points, model.noise, 1.0 - CLUSTER_SHARED_NOISE, rng)
    points = cartesian(
        _on_grid(polar[0], model.steps.range_m),
        _on_grid(polar[1], np.radians(model.steps.azimuth_deg)),
        _on_grid(polar[2], np.radians(model.steps.elevation_deg)),
    )
    noise_mps = rng.normal(0.0, model.noise.doppler_std_mps, len(points))
    doppler = _folded(detections.doppler_mps + noise_mps, model.doppler_max_mps)
    doppler = _on_grid(doppler, model.steps.doppler_mps)
    power = _on_grid(_power_db(detections, model.power), model.steps.power_db)
    table = np.column_stack([points, doppler, power])
    seen = np.flatnonzero(_in_view(points, model))
    strongest = np.argsort(-detections.snr_db[seen], kind="stable")[: model.points_max]
    return table[np.sort(seen[strongest])].astype(np.float32)


def _detections(world: World, model: RadarModel, rng: np.random.Generator) -> _Echoes:
    echoes = _detected(_scatterers(world, model, rng), rng)
    ghosts = (
        _ground_mirrored(echoes, world, rng),
        _detoured(echoes, model, rng),
        _misdirected(echoes, model, rng),
    )
    return _join(_clustered(_join(echoes, *ghosts), model, rng), _clutter(model, rng))


def _scatterers(world: World, model: RadarModel, rng: np.random.Generator) -> _Echoes:
    """Candidate scatterers on visible surfaces."""
    directions = _probe_directions(model, rng)
    rotation, origin_m = world.T_world_radar[:3, :3], world.T_world_radar[:3, 3]
    in_world = directions @ rotation.T
    hits = cast_rays(world, origin_m, in_world, rng, CLEARNESS)
    passed = (hits.owner != NOTHING) & (rng.random(len(in_world)) < PASS_SHARE[hits.material])
    stopped = Hits._make(values[~passed] for values in hits)
    direct = _answers(world, model, directions[~passed], stopped, rng)
    # Now through all that is passed below.
    opaque = tuple(part for part in world.parts if not PASS_SHARE[part.material])
    farther = cast_rays(replace(world, parts=opaque), origin_m, in_world[passed], rng, CLEARNESS)
    behind = _answers(world, model, directions[passed], farther, rng)
    return _join(direct, behind._replace(snr_db=behind.snr_db - PASS_LOSS_DB))


def _answers(
    world: World, model: RadarModel, directions: Floats, hits: Hits, rng: np.random.Generator
) -> _Echoes:
    """What probes, radar frame, get back from where they end."""
    in_world = directions @ world.T_world_radar[:3, :3].T
    closing = hits.velocity_mps - np.asarray(world.ego_velocity_mps)
    level = _cross_section_db(hits, rng)
    seen = (hits.range_m > model.range_min_m) & (hits.range_m < model.range_max_m)
    range_m = hits.range_m[seen]
    decades = _decades(range_m)
    loss = np.where(decades > 0, SNR_SLOPE_FAR, SNR_SLOPE_NEAR) * decades
    return _Echoes(
        directions[seen] * range_m[:, None],
        (in_world[seen] * closing[seen]).sum(axis=1),
        level[seen] - loss + model.sensitivity_db,
    )


def _cross_section_db(hits: Hits, rng: np.random.Generator) -> Floats:
    surface = rng.normal(0.0, SURFACE_STD_DB, hits.owner.max(initial=NOTHING) + 2)
    incidence = 10.0 * np.log10(np.maximum(hits.cos_incidence, COS_INCIDENCE_MIN))
    tail = rng.exponential(TAIL_DB, len(hits.owner))
    return LEVEL_DB[hits.material] + surface[hits.owner] + incidence + tail


def _decades(range_m: Floats) -> Floats:
    return np.log10(range_m / GAIN_FLAT_TO_M)


def _probe_directions(model: RadarModel, rng: np.random.Generator) -> Floats:
    count, highest_deg = model.probes, model.elevation_max_deg
    azimuth = np.radians(rng.uniform(-model.azimuth_max_deg, model.azimuth_max_deg, count))
    elevation_deg = rng.normal(ELEVATION_MEAN_DEG, model.elevation_std_deg, count)
    elevation_deg = np.clip(elevation_deg, -highest_deg, highest_deg)
    return cartesian(1.0, azimuth, np.radians(elevation_deg))


def _detected(echoes: _Echoes, rng: np.random.Generator) -> _Echoes:
    probability = 1.0 / (1.0 + np.exp(-np.clip(echoes.snr_db / DETECTION_WIDTH_DB, -50.0, 50.0)))
    return echoes.take(rng.random(len(probability)) < probability)


def _clustered(echoes: _Echoes, model: RadarModel, rng: np.random.Generator) -> _Echoes:
    """Several detections of each echo; part of the noise they have in common."""
    count = np.minimum(rng.geometric(1.0 / model.cluster_mean, len(echoes.snr_db)), CLUSTER_MAX)
    member = np.repeat(np.arange(len(count)), count)
    polar = _noisy_polar(echoes.points, model.noise, CLUSTER_SHARED_NOISE, rng)
    points = cartesian(*polar)[member]
    weaker = np.abs(rng.normal(0.0, CLUSTER_SPREAD_DB, len(member)))
    return _Echoes(points, echoes.doppler_mps[member], echoes.snr_db[member] - weaker)


def _ground_mirrored(echoes: _Echoes, world: World, rng: np.random.Generator) -> _Echoes:
    """Echoes that came by way of the road and so appear below it."""
    rotation, origin_m = world.T_world_radar[:3, :3], world.T_world_radar[:3, 3]
    in_world = echoes.points @ rotation.T + origin_m
    ground_m = world.relief.height_m(in_world[:, 0], in_world[:, 1])
    high = in_world[:, 2] - ground_m > MIRROR_HEIGHT_MIN_M
    chosen = high & (rng.random(len(high)) < MIRROR_SHARE)
    below = in_world[chosen] * (1.0, 1.0, -1.0)
    below[:, 2] += 2.0 * ground_m[chosen]
    source = echoes.take(chosen)
    points = (below - origin_m) @ rotation
    return source._replace(points=points, snr_db=source.snr_db - MIRROR_LOSS_DB)


def _detoured(echoes: _Echoes, model: RadarModel, rng: np.random.Generator) -> _Echoes:
    """Echoes that came by way of another surface and so appear farther away."""
    share = np.interp(echoes.range_m, ERROR_RANGE_M, model.ghost_share)
    source = echoes.take(rng.random(len(share)) < share / (1.0 - share))
    detour_m = 2.0 + rng.exponential(GHOST_DETOUR_M, len(source.points))
    stretch = 1.0 + detour_m / source.range_m
    points, snr_db = source.points * stretch[:, None], source.snr_db - GHOST_LOSS_DB
    return source._replace(points=points, snr_db=snr_db)


def _misdirected(echoes: _Echoes, model: RadarModel, rng: np.random.Generator) -> _Echoes:
    """Echoes that came in by a side lobe and so appear in another direction."""
    share = SIDE_LOBE_SHARE * np.interp(echoes.range_m, ERROR_RANGE_M, model.ghost_share)
    source = echoes.take(rng.random(len(share)) < share / (1.0 - share))
    azimuth, elevation = np.radians(rng.normal(0.0, SIDE_LOBE_STD_DEG, (2, len(source.points))))
    flat = np.hypot(source.points[:, 0], source.points[:, 1])
    points = cartesian(
        source.range_m,
        azimuth_rad(source.points) + azimuth,
        np.arctan2(source.points[:, 2], flat) + elevation,
    )
    return source._replace(points=points, snr_db=source.snr_db - GHOST_LOSS_DB)


def _clutter(model: RadarModel, rng: np.random.Generator) -> _Echoes:
    count = rng.poisson(model.clutter_mean) + 1
    azimuth = np.radians(rng.uniform(-model.azimuth_max_deg, model.azimuth_max_deg, count))
    elevation = np.radians(rng.uniform(-model.elevation_max_deg, model.elevation_max_deg, count))
    range_m = rng.uniform(model.range_min_m, model.range_max_m, count)
    points = cartesian(range_m, azimuth, elevation)
    doppler = rng.normal(0.0, CLUTTER_DOPPLER_STD_MPS, count)
    return _Echoes(points, doppler, rng.exponential(CLUTTER_TAIL_DB, count))


def _join(*parts: _Echoes) -> _Echoes:
    return _Echoes._make(map(np.concatenate, zip(*parts, strict=True)))


def _noisy_polar(
    points: Floats, noise: PolarNoise, variance_share: float, rng: np.random.Generator
) -> Floats:
    """Range, azimuth and elevation with part of a radar's noise, [3, n]."""
    range_m = np.linalg.norm(points, axis=1)
    elevation = np.arcsin(np.clip(points[:, 2] / range_m, -1.0, 1.0))
    unit = rng.normal(0.0, np.sqrt(variance_share), (3, len(points)))
    range_std_m = np.interp(range_m, ERROR_RANGE_M, noise.range_std_m)
    azimuth_std = np.radians(np.interp(range_m, ERROR_RANGE_M, noise.azimuth_std_deg))
    elevation_std = np.radians(np.interp(range_m, ERROR_RANGE_M, noise.elevation_std_deg))
    std = np.stack([range_std_m, azimuth_std, elevation_std])
    return np.stack([range_m, azimuth_rad(points), elevation]) + unit * std


def _on_grid(values: Floats, step: float) -> Floats:
    return np.round(values / step) * step if step > 0 else values


def _folded(doppler_mps: Floats, max_mps: float) -> Floats:
    """What is measured of a Doppler beyond the span that a radar can tell apart."""
    if math.isinf(max_mps):
        return doppler_mps
    return doppler_mps - 2.0 * max_mps * np.round(doppler_mps / (2.0 * max_mps))


def _power_db(echoes: _Echoes, scale: PowerScale) -> Floats:
    at_threshold_db = scale.threshold_db + scale.per_decade_db * _decades(echoes.range_m)
    over_db = scale.per_db * np.abs(echoes.snr_db)
    return np.clip(at_threshold_db + over_db, scale.min_db, scale.max_db)


def _in_view(points: Floats, model: RadarModel) -> NDArray[np.bool_]:
    range_m = np.linalg.norm(points, axis=1)
    inside = (range_m >= model.range_min_m) & (range_m <= model.range_max_m)
    inside &= np.abs(points[:, 2]) <= np.sin(np.radians(model.elevation_listed_max_deg)) * range_m
    return inside & (np.abs(azimuth_rad(points)) <= np.radians(model.azimuth_max_deg))
