"""LiDARs as numbers: where their beams point, how far and how well they see."""

from dataclasses import dataclass

import numpy as np

from radarsparse.geometry import Floats, cartesian

# Worlds end a few metres behind the car, so that no more of a turn is worth casting.
AHEAD_DEG = 75.0


@dataclass(frozen=True)
class Rings:
    """Beams that turn about the vertical, by `azimuth_step_deg` from one firing to the next.

    Of each turn, what is at most `azimuth_max_deg` off straight ahead is kept.
    """

    elevation_deg: tuple[float, ...]
    azimuth_step_deg: float
    azimuth_max_deg: float = AHEAD_DEG

    def directions(self, phase: float) -> Floats:
        """Where the beams of one sweep point: [n, 3] unit vectors, LiDAR frame.

        Args:
            phase: 0 to 1, where the sweep starts within what repeats, an azimuth step.
        """
        end_deg, step_deg = self.azimuth_max_deg, self.azimuth_step_deg
        azimuth_deg = np.arange(-end_deg, end_deg, step_deg) + phase * step_deg
        elevation_deg = np.array(self.elevation_deg)[:, None]
        return cartesian(1.0, np.radians(azimuth_deg), np.radians(elevation_deg)).reshape(-1, 3)


@dataclass(frozen=True)
class Rose:
    """Parallel beams that swing through the middle of a rectangle while their direction turns.

    Attributes:
        width_deg: of the rectangle.
        height_deg: of the rectangle, all beams included.
        beams: one above the other.
        beam_gap_deg: between neighbours.
        points: of one sweep, all beams together.
        duration_s: of one sweep.
        swing_hz: how often a beam goes from the rim to the opposite one and back.
        turn_hz: how often the direction of the swings turns round.
        repeat_s: after which the pattern is the same again.
    """

    width_deg: float
    height_deg: float
    beams: int
    beam_gap_deg: float
    points: int
    duration_s: float
    swing_hz: float
    turn_hz: float
    repeat_s: float

    def directions(self, phase: float) -> Floats:
        """The same as of `Rings`; what repeats is the whole pattern.

        Swings of equal time go through the middle, each stretched to reach the rectangle's rim.
        """
        firings = self.points // self.beams
        seconds = phase * self.repeat_s + np.arange(firings) * (self.duration_s / firings)
        heading = 2.0 * np.pi * self.turn_hz * seconds
        across, up = np.cos(heading), np.sin(heading)
        out = np.cos(2.0 * np.pi * self.swing_hz * seconds) / np.maximum(abs(across), abs(up))
        beam_deg = self.beam_gap_deg * (np.arange(self.beams) - 0.5 * (self.beams - 1))
        swing_height_deg = self.height_deg - self.beam_gap_deg * (self.beams - 1)
        azimuth_deg = 0.5 * self.width_deg * out * across
        elevation_deg = 0.5 * swing_height_deg * out * up + beam_deg[:, None]
        return cartesian(1.0, np.radians(azimuth_deg), np.radians(elevation_deg)).reshape(-1, 3)


@dataclass(frozen=True)
class LidarModel:
    """What tells one LiDAR from another.

    Source: data-formats.md, section 10.4.
    """

    name: str
    pattern: Rings | Rose
    range_min_m: float
    range_max_m: float
    range_noise_std_m: float
    rate_hz: float = 10.0


def _evenly(top_deg: float, bottom_deg: float, beams: int) -> tuple[float, ...]:
    return tuple(np.linspace(top_deg, bottom_deg, beams).tolist())


# Section 10.4: +-15 deg, azimuth step 0.2 deg, 100 m, 3 cm. The nearest return is chosen.
VLP_16 = LidarModel(
    name="Velodyne VLP-16",
    pattern=Rings(_evenly(-15.0, 15.0, 16), azimuth_step_deg=0.2),
    range_min_m=1.0,
    range_max_m=100.0,
    range_noise_std_m=0.03,
)

# Section 10.4: +2.0 to -24.9 deg, 120 m, at most 2 cm. The two blocks of 32 beams, 1/3 and 1/2 deg
# apart, are recalled from its manual. The azimuth step is chosen to match the published 84,000 to
# 95,000 points a sweep: steps of the published 0.09 deg would give over twice as many. The nearest
# return is chosen.
HDL_64 = LidarModel(
    name="Velodyne HDL-64E S3",
    pattern=Rings(_evenly(2.0, -8.33, 32) + _evenly(-8.83, -24.9, 32), azimuth_step_deg=0.22),
    range_min_m=1.0,
    range_max_m=120.0,
    range_noise_std_m=0.02,
)

# Section 10.4: +20.95 to -21.82 deg from the sensor's file, 1,024 columns (131,072 slots), 170 m,
# 1 to 3 cm. The rate is that of the data's section 7.2; the nearest return is chosen.
OS1_128 = LidarModel(
    name="Ouster OS1-128",
    pattern=Rings(_evenly(20.95, -21.82, 128), azimuth_step_deg=360.0 / 1024),
    range_min_m=0.5,
    range_max_m=170.0,
    range_noise_std_m=0.02,
)

# Section 10.4: 81.7 x 25.1 deg, 24,000 points in 0.1 s on 5 lines, 260 m at 80 % reflectivity, 2 cm
# at 20 m; its simulator's nearest return is 0.1 m. The frequencies and the gap are chosen so that,
# in cells of 0.5 deg, 0.1 s covers 60 % and 0.5 s 98 % of the view, denser in the middle.
LIVOX_HORIZON = LidarModel(
    name="Livox Horizon",
    pattern=Rose(
        width_deg=81.7,
        height_deg=25.1,
        beams=5,
        beam_gap_deg=0.4,
        points=24_000,
        duration_s=0.1,
        swing_hz=100.3,
        turn_hz=9.37,
        repeat_s=100.0,
    ),
    range_min_m=0.1,
    range_max_m=260.0,
    range_noise_std_m=0.02,
)

LIDARS = {"vlp-16": VLP_16, "hdl-64": HDL_64, "os1-128": OS1_128, "livox-horizon": LIVOX_HORIZON}
"""By the names that the command line takes."""
