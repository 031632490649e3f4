"""The simulator's sensors against what is published of the real ones.

The comments at the sensors, in the package, name where all published figures are from.
"""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy.spatial import KDTree

from radarsparse.geometry import pose
from radarsparse.simulator.landscape import random_world
from radarsparse.simulator.lidar import scan_lidar
from radarsparse.simulator.lidar_models import LIDARS, LIVOX_HORIZON
from radarsparse.simulator.mounts import ASTYX_PLACES, random_mounts
from radarsparse.simulator.pairs import ASTYX_RIG, SensorRig, simulate_pair, simulation_card
from radarsparse.simulator.radar import scan_radar
from radarsparse.simulator.radar_models import (
    ARS548,
    ASTYX_6455,
    ERROR_RANGE_M,
    OCULII_EAGLE,
    RADARS,
    RadarModel,
)
from radarsparse.simulator.world import Box, Cylinder, Material, Part, Triple, World

FRAMES = 24
SEED = 40
HIGH_M = 1000.0
"""Height of sensors that are to see neither the road nor ghosts below it."""


def lonely_world(*parts: Part, ego_velocity_mps: Triple = (0.0, 0.0, 0.0)) -> World:
    T_world_radar = pose((0.0, 0.0, 0.0), (0.0, 0.0, HIGH_M))
    return World(parts, T_world_radar, np.eye(4), ego_velocity_mps)


def wall(x_m: float) -> Box:
    """A wall across the view, its front at x_m, 60 m wide and as high."""
    return Box((x_m + 0.5, 0.0, HIGH_M), (1.0, 60.0, 60.0), 0.0, Material.BUILDING)


def draw_world(rng: np.random.Generator) -> World:
    return random_world(rng, random_mounts(rng, ASTYX_PLACES))


@cache
def radar_frames(name: str) -> list[np.ndarray]:
    rngs = [np.random.default_rng([SEED, index]) for index in range(FRAMES)]
    return [scan_radar(draw_world(rng), RADARS[name], rng) for rng in rngs]


@cache
def lidar_frames(name: str) -> list[np.ndarray]:
    rngs = [np.random.default_rng([SEED, index]) for index in range(FRAMES // 2)]
    return [scan_lidar(draw_world(rng), LIDARS[name], rng) for rng in rngs]


def polar(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Range in metres, azimuth and elevation in degrees."""
    xyz = points[:, :3].astype(np.float64)
    range_m = np.linalg.norm(xyz, axis=1)
    azimuth_deg = np.degrees(np.arctan2(xyz[:, 1], xyz[:, 0]))
    return range_m, azimuth_deg, np.degrees(np.arcsin(xyz[:, 2] / range_m))


def robust_std(errors: np.ndarray) -> float:
    return float(1.4826 * np.median(np.abs(errors - np.median(errors))))


# The mean of 24 frames is known to about 8 %: 20 % about a published mean, else published bounds.
@pytest.mark.parametrize(
    ("name", "mean_min", "mean_max", "most"),
    [
        ("astyx-6455", 0.8 * 1974, 1.2 * 1974, 9432),
        ("oculii-eagle", 2302, 3191, 20_000),
        ("zf-frgen21", 242, 352, 1000),
        ("ars548", 0.8 * 523, 1.2 * 523, 800),
        ("arbe-phoenix", 0.8 * 11_172, 1.2 * 11_172, 93_721),
    ],
)
def test_radars_list_as_many_points_as_published(
    name: str, mean_min: float, mean_max: float, most: int
) -> None:
    counts = [len(frame) for frame in radar_frames(name)]
    assert mean_min < np.mean(counts) < mean_max
    assert max(counts) <= most
    assert min(counts) > 0.2 * mean_min


@pytest.mark.parametrize(
    ("name", "azimuth_deg", "elevation_deg", "range_max_m", "power_db"),
    [
        ("astyx-6455", 55.0, 15.0, 102.0, (45, 97)),
        ("oculii-eagle", 56.5, 22.5, 400.0, (5, 20)),
        ("zf-frgen21", 60.0, 16.0, 100.0, (-57, 51)),
        ("ars548", 60.0, 24.0, 300.0, (-20, 34)),
        ("arbe-phoenix", 50.0, 15.0, 153.6, (45, 97)),
    ],
)
def test_radars_see_as_far_and_wide_as_published(
    name: str,
    azimuth_deg: float,
    elevation_deg: float,
    range_max_m: float,
    power_db: tuple[float, float],
) -> None:
    points = np.concatenate(radar_frames(name))
    range_m, azimuth, elevation = polar(points)
    assert 0.97 * azimuth_deg < np.abs(azimuth).max() < azimuth_deg + 1e-4
    assert np.mean(np.abs(elevation) < elevation_deg + 1e-4) > 0.98
    assert 0.95 * range_max_m < range_m.max() < range_max_m + 1e-3
    assert power_db[0] <= points[:, 4].min() < points[:, 4].max() <= power_db[1]


@pytest.mark.parametrize(
    ("name", "spacing_m"), [("astyx-6455", 0.25), ("oculii-eagle", 0.39), ("zf-frgen21", 0.84)]
)
def test_radar_points_are_as_close_as_published(name: str, spacing_m: float) -> None:
    medians = [
        np.median(KDTree(frame[:, :3]).query(frame[:, :3], k=2)[0][:, 1])
        for frame in radar_frames(name)
    ]
    assert np.median(medians) == pytest.approx(spacing_m, rel=0.3)


def poles(range_m: float) -> list[Cylinder]:
    """Thin poles every ten degrees, all equally far away."""
    angles = np.radians(np.arange(-40.0, 41.0, 10.0))
    feet = [(range_m * math.cos(angle), range_m * math.sin(angle)) for angle in angles]
    extent_m = (HIGH_M - 20.0, HIGH_M + 20.0)
    return [Cylinder(foot, 0.001 * range_m, *extent_m, Material.METAL) for foot in feet]


def rail(range_m: float) -> Box:
    """A thin beam across the view at the radar's height."""
    size_m = (0.1, 4.0 * range_m, 0.004 * range_m)
    return Box((range_m, 0.0, HIGH_M), size_m, 0.0, Material.METAL)


def many_points(world: World, model: RadarModel) -> np.ndarray:
    """So many and so strong that clutter doesn't count; without ghosts."""
    whole = replace(model, points_max=1_000_000, elevation_std_deg=2.0)
    dense = replace(whole, probes=60_000, sensitivity_db=20.0, ghost_share=4 * (0.0,))
    return scan_radar(world, dense, np.random.default_rng(SEED))


def measured_errors(model: RadarModel, range_m: float) -> tuple[float, float, float]:
    """Deviations of range in metres, azimuth and elevation in degrees; the latter two robust."""
    found_m, azimuth_deg, _ = polar(many_points(lonely_world(*poles(range_m)), model))
    near = np.abs(found_m - range_m) < 1.5
    from_pole_deg = azimuth_deg - 10.0 * np.round(azimuth_deg / 10.0)
    _, _, elevation_deg = polar(many_points(lonely_world(rail(range_m)), model))
    # Steps of range are too wide for a robust measure.
    range_error_m = float(np.std(found_m[near]))
    return range_error_m, robust_std(from_pole_deg[near]), robust_std(elevation_deg)


# Lowest and highest of what Astyx and View-of-Delft show and of what is chosen after them, for the
# ARS548 of its own standard deviations; the Astyx errs by more, since what matching shows is a
# lower bound. 15 % for what the targets' size and the sample add.
@pytest.mark.parametrize(
    ("name", "range_error_m", "azimuth_error_deg", "elevation_error_deg"),
    [
        ("astyx-6455", (0.16, 0.5), (0.64, 0.9), (1.25, 2.1)),
        ("oculii-eagle", (0.1, 0.42), (0.30, 0.7), (0.69, 1.5)),
        ("zf-frgen21", (0.07, 0.25), (0.30, 0.53), (0.49, 1.5)),
        ("ars548", (0.2, 0.2), (0.5, 0.5), (0.5, 4.2)),
        ("arbe-phoenix", (0.1, 0.42), (0.30, 0.7), (0.49, 1.5)),
    ],
)
def test_radars_are_as_wrong_as_published(
    name: str,
    range_error_m: tuple[float, float],
    azimuth_error_deg: tuple[float, float],
    elevation_error_deg: tuple[float, float],
) -> None:
    bounds = np.array([range_error_m, azimuth_error_deg, elevation_error_deg])
    found = np.array([measured_errors(RADARS[name], range_m) for range_m in ERROR_RANGE_M])
    assert (found > 0.85 * bounds[:, 0]).all(), found
    assert (found < 1.15 * bounds[:, 1]).all(), found
    # The farther, the better the angle and the worse the range, but not in the ARS548.
    if name != "ars548":
        assert found[0, 0] < found[-1, 0]
        assert found[0, 1] > found[-1, 1]
        np.testing.assert_allclose(found[:, 2] / found[:, 1], 2.0, atol=0.5)


def test_the_ars548_hardly_knows_the_elevation() -> None:
    assert measured_errors(ARS548, 22.0)[2] == pytest.approx(3.6, rel=0.1)


def test_the_eagle_measures_in_steps() -> None:
    points = radar_frames("oculii-eagle")[0]
    measured = (*polar(points), points[:, 3])
    for values, step in zip(measured, (0.4309, 0.1104, 0.0443, 0.0888), strict=True):
        counts = values / step
        np.testing.assert_allclose(counts, np.round(counts), atol=2e-3)
        assert len(np.unique(np.round(counts))) > 20


def test_doppler_beyond_the_span_is_folded() -> None:
    world = lonely_world(wall(20.0), ego_velocity_mps=(30.0, 0.0, 0.0))
    folded = many_points(world, ARS548)
    unit = folded[:, :3] / np.linalg.norm(folded[:, :3], axis=1, keepdims=True)
    turns = (folded[:, 3] + 30.0 * unit[:, 0]) / (2 * 22.9)
    assert np.abs(folded[:, 3]).max() <= 22.9
    assert np.median(np.abs(turns - np.round(turns))) < 0.02
    assert np.mean(np.round(turns) == 1) > 0.5
    assert np.abs(many_points(world, ASTYX_6455)[:, 3]).max() < 5.2
    assert many_points(world, OCULII_EAGLE)[:, 3].min() < -29.0


def test_a_full_list_holds_the_strongest_points() -> None:
    world = lonely_world(wall(20.0))
    whole = scan_radar(world, ASTYX_6455, np.random.default_rng(0))
    short = scan_radar(world, replace(ASTYX_6455, points_max=100), np.random.default_rng(0))
    listed = (whole[:, None] == short).all(axis=2).any(axis=1)
    assert len(short) == np.count_nonzero(listed) == 100
    assert whole[listed, 4].min() >= whole[~listed, 4].max()


def test_the_eagles_power_falls_with_range_and_a_cross_section_does_not() -> None:
    eagle, zf = (np.concatenate(radar_frames(name)) for name in ("oculii-eagle", "zf-frgen21"))
    range_m = polar(eagle)[0]
    assert np.median(eagle[range_m < 50, 4]) == pytest.approx(14, abs=1)
    assert np.median(eagle[np.abs(range_m - 75) < 10, 4]) == pytest.approx(13, abs=1.5)
    assert np.median(eagle[range_m > 200, 4]) == pytest.approx(6, abs=3)
    assert -15 < np.median(zf[:, 4]) < -9


# Points of a full turn where the model looks 150 deg ahead; of the Horizon what it sends out.
@pytest.mark.parametrize(
    ("name", "share", "mean_min", "mean_max", "most"),
    [
        ("vlp-16", 150 / 360, 13_000, 24_000, 28_800),
        ("hdl-64", 150 / 360, 84_000, 95_000, 64 * 4000),
        ("os1-128", 150 / 360, 0.8 * 107_000, 1.2 * 107_000, 131_072),
        ("livox-horizon", 1.0, 12_000, 24_000, 24_000),
    ],
)
def test_lidars_return_as_many_points_as_published(
    name: str, share: float, mean_min: float, mean_max: float, most: int
) -> None:
    counts = np.array([len(frame) for frame in lidar_frames(name)]) / share
    assert mean_min < counts.mean() < mean_max
    assert counts.max() <= 1.005 * most


@pytest.mark.parametrize(
    ("name", "azimuth_deg", "lowest_deg", "highest_deg", "range_max_m"),
    [
        ("vlp-16", 75.0, -15.0, 15.0, 100.0),
        ("hdl-64", 75.0, -24.9, 2.0, 120.0),
        ("os1-128", 75.0, -21.82, 20.95, 170.0),
        ("livox-horizon", 81.7 / 2, -25.1 / 2, 25.1 / 2, 260.0),
    ],
)
def test_lidars_see_as_far_and_wide_as_published(
    name: str, azimuth_deg: float, lowest_deg: float, highest_deg: float, range_max_m: float
) -> None:
    _, azimuth, elevation = polar(LIDARS[name].directions(0.5))
    if rings_deg := LIDARS[name].rings_deg:
        found = np.unique(np.round(elevation, 6))
        np.testing.assert_allclose(found, np.sort(rings_deg), atol=1e-6)
    assert np.abs(azimuth).max() == pytest.approx(azimuth_deg, rel=0.01)
    assert elevation.min() == pytest.approx(lowest_deg, abs=0.1)
    assert elevation.max() == pytest.approx(highest_deg, abs=0.1)
    assert max(polar(frame)[0].max() for frame in lidar_frames(name)) < range_max_m + 0.5


@pytest.mark.parametrize(
    ("name", "noise_min_m", "noise_max_m"),
    [
        ("vlp-16", 0.03, 0.03),
        ("hdl-64", 0.0, 0.02),
        ("os1-128", 0.01, 0.03),
        ("livox-horizon", 0.02, 0.02),
    ],
)
def test_lidars_measure_range_as_well_as_published(
    name: str, noise_min_m: float, noise_max_m: float
) -> None:
    cloud = scan_lidar(lonely_world(wall(20.0)), LIDARS[name], np.random.default_rng(SEED))
    range_m = np.linalg.norm(cloud[:, :3].astype(np.float64), axis=1)
    front = np.abs(cloud[:, 1]) < 0.9 * 30.0
    along = (cloud[:, 0] - 20.0) * range_m / cloud[:, 0]
    assert 0.95 * noise_min_m < robust_std(along[front]) < 1.05 * noise_max_m


def covered(phases: list[float], cell_deg: float = 0.5) -> np.ndarray:
    """Which cells of the Horizon's view are met, [azimuth, elevation]."""
    rays = np.concatenate([LIVOX_HORIZON.directions(phase) for phase in phases])
    _, azimuth, elevation = polar(rays)
    edges = [np.arange(-half, half + cell_deg, cell_deg) for half in (81.7 / 2, 25.1 / 2)]
    return np.histogram2d(azimuth, elevation, edges)[0]


@pytest.mark.parametrize("start", [0.0, 0.123, 0.77])
def test_the_horizon_covers_its_view_in_part_and_later_elsewhere(start: float) -> None:
    sweep = 0.1 / 100.0
    assert len(LIVOX_HORIZON.directions(start)) == 24_000
    once = covered([start])
    five = covered([start + number * sweep for number in range(5)])
    assert np.mean(once > 0) == pytest.approx(0.6, abs=0.05)
    assert np.mean(five > 0) == pytest.approx(0.98, abs=0.02)
    wide, high = once.shape
    middle = once[wide // 3 : -wide // 3, high // 3 : -high // 3]
    assert middle.mean() > 1.5 * once.mean()


@pytest.mark.parametrize("radar", RADARS)
@pytest.mark.parametrize("lidar", LIDARS)
def test_seed_index_and_sensors_determine_a_frame(radar: str, lidar: str) -> None:
    rig = SensorRig(RADARS[radar], LIDARS[lidar])
    first, again = simulate_pair(1, 2, rig=rig), simulate_pair(1, 2, rig=rig)
    np.testing.assert_array_equal(first.radar, again.radar)
    np.testing.assert_array_equal(first.lidar, again.lidar)
    assert first.radar.dtype == first.lidar.dtype == np.float32
    assert np.isfinite(first.radar).all()
    # The world is drawn before any sensor looks at it.
    np.testing.assert_array_equal(first.T_radar_lidar, simulate_pair(1, 2).T_radar_lidar)


def test_earlier_sweeps_are_as_far_back_as_the_radars_rate_says() -> None:
    rig = SensorRig(ARS548, LIVOX_HORIZON)
    one, three = simulate_pair(3, 0, 1, rig), simulate_pair(3, 0, 3, rig)
    np.testing.assert_array_equal(three.radar[: len(one.radar)], one.radar)
    np.testing.assert_array_equal(three.lidar, one.lidar)
    assert len(three.radar) > 2 * len(one.radar)


def test_the_card_tells_the_sensors() -> None:
    card = simulation_card(1, 5, 1, SensorRig(OCULII_EAGLE, LIVOX_HORIZON))
    assert card.radar_sensor == "simulated, after Oculii Eagle"
    assert card.lidar_sensor == "simulated, after Livox Horizon"
    assert card.field_of_view_deg == pytest.approx((112.8, 44.8))
    assert (card.radar_rate_hz, card.lidar_rate_hz) == (12.0, 10.0)
    assert card.lidar_rings_deg == ()
    default = simulation_card(1, 5, 1)
    assert default.lidar_rings_deg == tuple(np.arange(-15.0, 16.0, 2.0))
    assert default == simulation_card(1, 5, 1, ASTYX_RIG)
    assert default.field_of_view_deg == (110.0, 20.0)
    assert default.provenance != card.provenance
