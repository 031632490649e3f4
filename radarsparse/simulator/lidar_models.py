"""LiDARs as numbers: where their beams point, how far and how well they see."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from radarsparse.formats.rings import HDL_64_DEG, OS1_128_DEG, VLP_16_DEG
from radarsparse.geometry import Floats, cartesian

# Worlds end a few metres behind the car, so that no more of a turn is worth casting.
AHEAD_DEG = 75.0


@dataclass(frozen=True)
class LidarModel:
    """What tells one LiDAR from another.

    Attributes:
        directions: where the beams of one sweep point, [n, 3] unit vectors, LiDAR frame; takes
            where the sweep starts, 0 to 1, within what repeats.
        rings_deg: elevations of beams that turn about the vertical, LiDAR frame; else none.

    Source: the makers' data sheets, and what the comment at each sensor names.
    """

    name: str
    directions: Callable[[float], Floats]
    range_min_m: float
    range_max_m: float
    range_noise_std_m: float
    rate_hz: float = 10.0
    rings_deg: tuple[float, ...] = ()


def _rings(azimuth_step_deg: float, rings_deg: Sequence[float], phase: float) -> Floats:
    """Beams that turn about the vertical, of which the part ahead is kept; a step repeats."""
    azimuth_deg = np.arange(-AHEAD_DEG, AHEAD_DEG, azimuth_step_deg) + phase * azimuth_step_deg
    return _unit_vectors(azimuth_deg, np.array(rings_deg)[:, None])


def _unit_vectors(azimuth_deg: Floats, elevation_deg: Floats) -> Floats:
    return cartesian(1.0, np.radians(azimuth_deg), np.radians(elevation_deg)).reshape(-1, 3)


def turning_lidar(name: str, rings_deg: Sequence[float], azimuth_step_deg: float) -> LidarModel:
    """A LiDAR of rings, with the reach and the noise that most have."""
    return LidarModel(
        name=name,
        directions=partial(_rings, azimuth_step_deg, rings_deg),
        range_min_m=1.0,
        range_max_m=120.0,
        range_noise_std_m=0.02,
        rings_deg=tuple(rings_deg),
    )


# Data sheet: azimuth step 0.2 deg, 100 m, 3 cm. The nearest return is chosen.
VLP_16 = LidarModel(
    name="Velodyne VLP-16",
    directions=partial(_rings, 0.2, VLP_16_DEG),
    range_min_m=1.0,
    range_max_m=100.0,
    range_noise_std_m=0.03,
    rings_deg=VLP_16_DEG,
)

# Manual: 120 m, at most 2 cm. The azimuth step is chosen to match the 84,000 to 95,000 points a
# sweep of View-of-Delft: steps of the stated 0.09 deg would give over twice as many. The nearest
# return is chosen.
HDL_64 = LidarModel(
    name="Velodyne HDL-64E S3",
    directions=partial(_rings, 0.22, HDL_64_DEG),
    range_min_m=1.0,
    range_max_m=120.0,
    range_noise_std_m=0.02,
    rings_deg=HDL_64_DEG,
)

# Captures of ouster-lidar/ouster-sdk: 1,024 columns (131,072 slots). Data sheet: 170 m, 1 to 3 cm.
# The rate is that of MSC-RAD4R; the nearest return is chosen.
OS1_128 = LidarModel(
    name="Ouster OS1-128",
    directions=partial(_rings, 360.0 / 1024, OS1_128_DEG),
    range_min_m=0.5,
    range_max_m=170.0,
    range_noise_std_m=0.02,
    rings_deg=OS1_128_DEG,
)

# Data sheet: 81.7 x 25.1 deg, 24,000 points in 0.1 s on 5 lines, 260 m at 80 % reflectivity, 2 cm
# at 20 m; its simulator's nearest return is 0.1 m. The frequencies and the gap are chosen so that,
# in cells of 0.5 deg, 0.1 s covers 60 % and 0.5 s 98 % of the view, denser in the middle.
ROSE_WIDTH_DEG, ROSE_HEIGHT_DEG = 81.7, 25.1
ROSE_BEAMS, ROSE_BEAM_GAP_DEG = 5, 0.4
ROSE_FIRINGS, ROSE_SWEEP_S = 4800, 0.1
# How often a beam goes from rim to rim and back, how often its direction turns round, and after how
# long the pattern is the same again.
ROSE_SWING_HZ, ROSE_TURN_HZ, ROSE_REPEAT_S = 100.3, 9.37, 100.0


def _rose(phase: float) -> Floats:
    """Parallel beams that swing through the middle of a rectangle while their direction turns.

    Swings of equal time go through the middle, each stretched to reach the rectangle's rim.
    """
    seconds = phase * ROSE_REPEAT_S + np.arange(ROSE_FIRINGS) * (ROSE_SWEEP_S / ROSE_FIRINGS)
    heading = 2.0 * np.pi * ROSE_TURN_HZ * seconds
    across, up = np.cos(heading), np.sin(heading)
    out = np.cos(2.0 * np.pi * ROSE_SWING_HZ * seconds) / np.maximum(abs(across), abs(up))
    beam_deg = ROSE_BEAM_GAP_DEG * (np.arange(ROSE_BEAMS) - 0.5 * (ROSE_BEAMS - 1))
    swing_height_deg = ROSE_HEIGHT_DEG - ROSE_BEAM_GAP_DEG * (ROSE_BEAMS - 1)
    azimuth_deg = 0.5 * ROSE_WIDTH_DEG * out * across
    return _unit_vectors(azimuth_deg, 0.5 * swing_height_deg * out * up + beam_deg[:, None])


LIVOX_HORIZON = LidarModel(
    name="Livox Horizon",
    directions=_rose,
    range_min_m=0.1,
    range_max_m=260.0,
    range_noise_std_m=0.02,
)

LIDARS = {"vlp-16": VLP_16, "hdl-64": HDL_64, "os1-128": OS1_128, "livox-horizon": LIVOX_HORIZON}
"""By the names that the command line takes."""
