"""Sensors drawn at random, from a prior that is wide enough to hold those that nobody lists."""

import numpy as np

from radarsparse.simulator.lidar_models import (
    HDL_64,
    OS1_128,
    VLP_16,
    LidarModel,
    turning_lidar,
)
from radarsparse.simulator.radar_models import (
    ASTYX_6455,
    PolarNoise,
    PowerScale,
    RadarModel,
    Row,
    Steps,
)

# Points of a cloud; of which a probe of the Astyx gives 0.18 and each cluster so many more.
POINTS = (120.0, 8000.0)
ANSWERS_PER_PROBE = 0.18
# Chances of the sensors that are drawn.
LIKE_ASTYX = 0.4
LIDAR_CHANCES = ((VLP_16, 0.5), (HDL_64, 0.1), (OS1_128, 0.1))


def random_radar(rng: np.random.Generator) -> RadarModel:
    """Draw a radar: resolution, noise, clutter, ghosts, density, power and field of view."""
    if rng.random() < LIKE_ASTYX:
        return ASTYX_6455
    elevation_max_deg, folded = rng.uniform(6.0, 20.0), rng.random() < 0.5
    cluster_mean = _log_uniform(rng, 1.0, 8.0)
    answers = _log_uniform(rng, *POINTS) / cluster_mean
    return RadarModel(
        name="varied radar",
        rate_hz=13.0,
        azimuth_max_deg=rng.uniform(40.0, 75.0),
        elevation_max_deg=elevation_max_deg,
        elevation_std_deg=rng.uniform(2.0, 8.0),
        elevation_listed_max_deg=rng.choice((elevation_max_deg, 90.0)),
        range_max_m=_log_uniform(rng, 60.0, 250.0),
        doppler_max_mps=rng.uniform(4.0, 40.0) if folded else np.inf,
        noise=_random_noise(rng),
        steps=Steps(range_m=rng.choice((0.0, 0.075, 0.2)), power_db=rng.choice((0.0, 0.5, 1.0))),
        power=_random_power(rng),
        probes=max(1, round(answers / ANSWERS_PER_PROBE)),
        cluster_mean=cluster_mean,
        sensitivity_db=rng.normal(0.0, 2.0),
        clutter_mean=answers * cluster_mean * _log_uniform(rng, 0.002, 0.06),
        ghost_share=_row(
            np.minimum(0.7, np.multiply(ASTYX_6455.ghost_share, rng.uniform(0.2, 1.5)))
        ),
    )


def random_lidar(rng: np.random.Generator) -> LidarModel:
    """Draw a LiDAR that turns: a common one, or one of other rings."""
    left = rng.random()
    for model, chance in LIDAR_CHANCES:
        left -= chance
        if left < 0.0:
            return model
    count = int(rng.choice((16, 32, 40, 64)))
    rings_deg = np.linspace(rng.uniform(-25.0, -12.0), rng.uniform(2.0, 16.0), count)
    return turning_lidar("varied LiDAR", rings_deg.tolist(), rng.uniform(0.15, 0.35))


def _random_noise(rng: np.random.Generator) -> PolarNoise:
    """Errors that grow with range, and fall in angle, as those of the Astyx do."""
    azimuth_deg = _log_uniform(rng, 0.2, 1.2)
    return PolarNoise(
        range_std_m=_row(_log_uniform(rng, 0.04, 0.3) * np.array((0.6, 1.0, 1.3, 1.4))),
        azimuth_std_deg=_row(azimuth_deg * np.array((1.05, 1.0, 0.95, 0.85))),
        elevation_std_deg=_row(
            azimuth_deg * rng.uniform(1.0, 4.0) * np.array((1.05, 1.0, 0.95, 0.85))
        ),
        doppler_std_mps=_log_uniform(rng, 0.02, 0.25),
    )


def _random_power(rng: np.random.Generator) -> PowerScale:
    """A level over the noise, or a cross-section that doesn't fall with range."""
    per_decade_db = rng.choice((0.0, 20.0, 40.0))
    threshold_db, per_db = rng.uniform(-30.0, 60.0), rng.uniform(0.5, 2.0)
    return PowerScale(
        min_db=threshold_db - 60.0,
        max_db=threshold_db + 60.0,
        threshold_db=threshold_db,
        per_decade_db=per_decade_db,
        per_db=per_db,
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _row(values: np.ndarray) -> Row:
    near, middle, far, farthest = values.tolist()
    return near, middle, far, farthest
