"""4D radars as numbers: what they see, how finely, how often and how wrongly.

Where no source gives a number of one sensor, it is that of the Astyx, the one radar whose frames
were at hand, or chosen to match a published count, as the comment at the sensor says.
"""

import math
from dataclasses import dataclass

Row = tuple[float, float, float, float]

# Middles of 2-15, 15-30, 30-50 and 50-100 m, by which errors against LiDAR points were measured.
ERROR_RANGE_M = (8.0, 22.0, 40.0, 75.0)
"""Where the values of a `Row` hold; between them they are interpolated."""


@dataclass(frozen=True)
class PolarNoise:
    """Standard deviations of what a radar measures; that of the Doppler is one at any range."""

    range_std_m: Row
    azimuth_std_deg: Row
    elevation_std_deg: Row
    doppler_std_mps: float


@dataclass(frozen=True)
class Steps:
    """Grids that measured values are rounded to; 0 where they are not."""

    range_m: float = 0.0
    azimuth_deg: float = 0.0
    elevation_deg: float = 0.0
    doppler_mps: float = 0.0
    power_db: float = 0.0


@dataclass(frozen=True)
class PowerScale:
    """What a radar calls power: a level that falls with range or a cross-section that doesn't.

    Attributes:
        threshold_db: value at the threshold of detection, 50 m away.
        per_decade_db: by how much that rises with each tenfold of the range.
        per_db: by how much the value rises with each dB over the threshold.
    """

    min_db: float
    max_db: float
    threshold_db: float
    per_decade_db: float = 0.0
    per_db: float = 1.0


@dataclass(frozen=True)
class RadarModel:
    """What tells one radar from another.

    Attributes:
        azimuth_max_deg: the field of view is from minus this to this.
        elevation_max_deg: the same, up and down, of what is lit.
        elevation_std_deg: how wide the light is spread about the level.
        elevation_listed_max_deg: farthest up and down that a point is listed.
        probes: how many scatterers are tried.
        cluster_mean: detections of one scatterer.
        doppler_max_mps: the Doppler is folded into minus this to this.
        points_max: length of the list; the strongest points enter it.
        sensitivity_db: by how much more each scatterer answers than to the Astyx.
        clutter_mean: detections of nothing, and always one more.
        ghost_share: share of ghosts that came by a detour, at `ERROR_RANGE_M`.

    Source: as the comment at each sensor says, stated there or measured on public frames.
    """

    name: str
    rate_hz: float
    azimuth_max_deg: float
    elevation_max_deg: float
    elevation_std_deg: float
    elevation_listed_max_deg: float
    range_max_m: float
    noise: PolarNoise
    power: PowerScale
    probes: int
    cluster_mean: float
    range_min_m: float = 2.0
    doppler_max_mps: float = math.inf
    points_max: int = 100_000
    steps: Steps = Steps()
    sensitivity_db: float = 0.0
    clutter_mean: float = 25.0
    # In example frames of View-of-Delft 0 to 4 % of near and 47 to 63 % of far points have no LiDAR
    # support, part of them only out of the LiDAR's reach.
    ghost_share: Row = (0.02, 0.05, 0.07, 0.15)


# Astyx HiRes2019: field of view 110 x 10 deg, 100 m, 13 Hz; in its frames to +-15 deg, magnitude 45
# to 97 dB in steps of 0.5, range in steps of 0.075 m, Doppler of 0.0812 m/s and folded at 5.2 m/s.
# Noise such that a point beside the LiDAR point next to it is off by what was measured so there:
# matching cuts tails and takes the nearer ring, so the noise itself is larger.
# Probes are chosen to match the 1,974 points of a frame, ghosts the share without LiDAR support.
ASTYX_6455 = RadarModel(
    name="Astyx 6455 HiRes",
    rate_hz=13.0,
    azimuth_max_deg=55.0,
    elevation_max_deg=10.0,
    elevation_std_deg=3.0,
    elevation_listed_max_deg=90.0,
    range_max_m=100.0,
    doppler_max_mps=64 * 0.0812,
    noise=PolarNoise(
        range_std_m=(0.20, 0.35, 0.45, 0.45),
        azimuth_std_deg=(0.90, 0.90, 0.85, 0.75),
        elevation_std_deg=(2.1, 2.1, 1.9, 1.6),
        doppler_std_mps=0.05,
    ),
    steps=Steps(range_m=0.075, doppler_mps=0.0812, power_db=0.5),
    power=PowerScale(min_db=45.0, max_db=97.0, threshold_db=45.0),
    probes=960,
    cluster_mean=7.0,
    ghost_share=(0.05, 0.24, 0.45, 0.70),
)

# Sample of TJ4DRadSet, captures of Aiuan/OCULii_EAGLE_Decoder: 12.0 Hz, +-56.4 x +-22.4 deg, steps
# in short mode, Doppler to +-45 m/s, its residual 0.054 m/s, part of it from the step, SNR 5 to 20
# dB, of which two for each dB over the threshold give the medians of 14 near, 13 at 75 m and 6 far
# away. MSC-RAD4R, SNAIL-Radar: 400 m, up to 20,000 points, azimuth accuracy 0.44 deg, here the
# middle of what falls with range as for the Astyx; its 0.86 m and 0.175 deg are left aside for what
# Astyx and View-of-Delft show: 0.1 to 0.25 m and elevation twice azimuth. Probes are chosen to
# match the 2,302 to 3,191 points of its enhanced frames, clusters and sensitivity to match their
# distance of 0.39 m; the spread of the light is chosen.
OCULII_EAGLE = RadarModel(
    name="Oculii Eagle",
    rate_hz=12.0,
    azimuth_max_deg=56.4,
    elevation_max_deg=22.4,
    elevation_std_deg=8.0,
    elevation_listed_max_deg=22.4,
    range_max_m=400.0,
    doppler_max_mps=45.0,
    points_max=20_000,
    noise=PolarNoise(
        range_std_m=(0.10, 0.15, 0.20, 0.25),
        azimuth_std_deg=(0.50, 0.46, 0.42, 0.38),
        elevation_std_deg=(1.00, 0.92, 0.84, 0.76),
        doppler_std_mps=0.048,
    ),
    steps=Steps(
        range_m=0.4309, azimuth_deg=0.1104, elevation_deg=0.0443, doppler_mps=0.0888, power_db=0.01
    ),
    power=PowerScale(min_db=5.0, max_db=20.0, threshold_db=5.0, per_decade_db=-2.5, per_db=2.0),
    probes=9200,
    sensitivity_db=4.0,
    cluster_mean=1.2,
)

# View-of-Delft: about 13 Hz; in its example frames and CMFlow's +-60 x +-16 deg, 100 m, RCS -57 to
# 51 dBsm with a median of -14 to -10, range and azimuth errors; elevation twice azimuth, which is
# above what was measured, a lower bound; Doppler residual 0.026 m/s. Probes are chosen to match the
# 242 to 352 points of a frame, the clusters to match their distance of 0.84 m, the power at the
# threshold to match the median; the spread of the light is chosen.
ZF_FRGEN21 = RadarModel(
    name="ZF FRGen21",
    rate_hz=13.0,
    azimuth_max_deg=60.0,
    elevation_max_deg=16.0,
    elevation_std_deg=6.0,
    elevation_listed_max_deg=16.0,
    range_max_m=100.0,
    noise=PolarNoise(
        range_std_m=(0.07, 0.13, 0.24, 0.25),
        azimuth_std_deg=(0.53, 0.38, 0.42, 0.30),
        elevation_std_deg=(1.06, 0.76, 0.84, 0.60),
        doppler_std_mps=0.026,
    ),
    power=PowerScale(min_db=-57.0, max_db=51.0, threshold_db=-11.0, per_decade_db=40.0),
    probes=1200,
    cluster_mean=1.1,
)

# Dual-Radar: 20 Hz, +-60 deg, +-14 deg near (the narrowing to +-4 deg at 300 m is left out: the
# worlds end before), 300 m. List in tier4/nebula: points to 24 deg, standard deviations 0.2 m, 0.5
# deg in azimuth, 0.5 to 4.2 deg with a median of 3.6 in elevation, where they are so much worse
# than elsewhere that twice the azimuth doesn't hold, and 0.25 m/s; +-22.9 m/s is taken for the span
# of the Doppler, RCS -20 to 34 in whole dB. Its list ends at 800 points. Probes are chosen to match
# the 523 points of a frame, the power at the threshold to fall within the published bounds;
# clusters and spread of the light are chosen.
ARS548 = RadarModel(
    name="Continental ARS548 RDI",
    rate_hz=20.0,
    azimuth_max_deg=60.0,
    elevation_max_deg=14.0,
    elevation_std_deg=6.0,
    elevation_listed_max_deg=24.0,
    range_max_m=300.0,
    doppler_max_mps=22.9,
    points_max=800,
    noise=PolarNoise(
        range_std_m=(0.2, 0.2, 0.2, 0.2),
        azimuth_std_deg=(0.5, 0.5, 0.5, 0.5),
        elevation_std_deg=(2.4, 3.6, 4.0, 4.2),
        doppler_std_mps=0.25,
    ),
    steps=Steps(power_db=1.0),
    power=PowerScale(min_db=-20.0, max_db=34.0, threshold_db=4.0, per_decade_db=40.0),
    probes=1400,
    cluster_mean=2.0,
)

# Dual-Radar: 20 Hz, 100 x 30 deg, 153.6 m, resolution 0.3 m, 1.25 and 2 deg. Errors of a point are
# chosen as 0.4 of the resolution in azimuth, elevation twice that, range as the Astyx and ZF show,
# Doppler 0.05 m/s as the Eagle shows. Of the power nothing is published: the scale is the Astyx's.
# Probes are chosen to match the 11,172 points of a frame, of which the list holds up to the
# published 93,721; the spread of the light is chosen.
ARBE_PHOENIX = RadarModel(
    name="Arbe Phoenix",
    rate_hz=20.0,
    azimuth_max_deg=50.0,
    elevation_max_deg=15.0,
    elevation_std_deg=6.0,
    elevation_listed_max_deg=15.0,
    range_max_m=153.6,
    points_max=93_721,
    noise=PolarNoise(
        range_std_m=(0.10, 0.15, 0.20, 0.25),
        azimuth_std_deg=(0.55, 0.52, 0.48, 0.45),
        elevation_std_deg=(1.10, 1.04, 0.96, 0.90),
        doppler_std_mps=0.05,
    ),
    power=PowerScale(min_db=45.0, max_db=97.0, threshold_db=45.0),
    probes=10_000,
    cluster_mean=7.0,
)

RADARS = {
    "astyx-6455": ASTYX_6455,
    "oculii-eagle": OCULII_EAGLE,
    "zf-frgen21": ZF_FRGEN21,
    "ars548": ARS548,
    "arbe-phoenix": ARBE_PHOENIX,
}
"""By the names that the command line takes."""
