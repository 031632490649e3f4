"""The simulator's geometry against a slow oracle, and the traits of its sensors."""

import math
import zlib
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import bisect
from scipy.spatial import KDTree

from radarsparse.geometry import pose, transform_points
from radarsparse.simulator.landscape import random_world
from radarsparse.simulator.lidar import scan_lidar
from radarsparse.simulator.lidar_models import VLP_16
from radarsparse.simulator.mounts import ASTYX_PLACES, random_mounts
from radarsparse.simulator.pairs import (
    DRIVE_FRAMES,
    SIMULATOR_VERSION,
    VARIED_RIG,
    random_drive,
    simulate_pair,
)
from radarsparse.simulator.radar import scan_radar
from radarsparse.simulator.radar_models import ASTYX_6455
from radarsparse.simulator.raycast import cast_rays
from radarsparse.simulator.relief import Relief, Wave, range_to_ground
from radarsparse.simulator.world import (
    Box,
    Cylinder,
    Material,
    Part,
    Triple,
    World,
    bottom_m,
    clearance_m,
)

RADAR_HEIGHT_M = 1.6
REACH_M = 400.0
UNFOLDED = replace(ASTYX_6455, doppler_max_mps=math.inf)
LEVEL = pose((0.0, 0.0, 0.0), (0.0, 0.0, RADAR_HEIGHT_M))
BESIDE = pose((0.02, -0.01, 0.01), (-0.1, 0.0, 0.3))


def draw_world(rng: np.random.Generator) -> World:
    """A world whose parts all have surfaces."""
    world = random_world(rng, random_mounts(rng, ASTYX_PLACES))
    return replace(world, parts=tuple(replace(part, free_path_m=0.0) for part in world.parts))


def make_world(*parts: Part, ego_velocity_mps: Triple = (0.0, 0.0, 0.0)) -> World:
    return World(parts, LEVEL, BESIDE, ego_velocity_mps)


def wall(x_m: float, velocity_mps: Triple = (0.0, 0.0, 0.0)) -> Box:
    """A wall across the view, its front at x_m, 40 m wide and 6 m high."""
    size_m = (1.0, 40.0, 6.0)
    return Box((x_m + 0.5, 0.0, 3.0), size_m, 0.0, Material.BUILDING, velocity_mps)


def box_faces_m(box: Box, origin: np.ndarray, direction: np.ndarray) -> list[float]:
    """Ranges to each face that the ray passes, face by face."""
    cos, sin = math.cos(box.yaw_rad), math.sin(box.yaw_rad)
    axes = [np.array([cos, sin, 0.0]), np.array([-sin, cos, 0.0]), np.array([0.0, 0.0, 1.0])]
    found = []
    for normal, size in zip(axes, box.size_m, strict=True):
        for sign in (-1, 1):
            face = np.array(box.center_m) + sign * 0.5 * size * normal
            t = float(normal @ (face - origin)) / float(normal @ direction)
            offset = origin + t * direction - np.array(box.center_m)
            sides = zip(axes, box.size_m, strict=True)
            inside = (abs(float(a @ offset)) <= 0.5 * s + 1e-9 for a, s in sides)
            if t > 0 and all(inside):
                found.append(t)
    return found


def cylinder_faces_m(part: Cylinder, origin: np.ndarray, direction: np.ndarray) -> list[float]:
    """Ranges to the mantle and the two ends that the ray passes."""
    found = []
    center = np.array(part.center_m)
    for z in (part.bottom_m, part.top_m):
        t = (z - origin[2]) / direction[2]
        if t > 0 and np.hypot(*(origin + t * direction)[:2] - center) <= part.radius_m:
            found.append(float(t))
    a, b = direction[:2] @ direction[:2], 2 * direction[:2] @ (origin[:2] - center)
    c = (origin[:2] - center) @ (origin[:2] - center) - part.radius_m**2
    if b * b >= 4 * a * c:
        for root in (-1, 1):
            t = (-b + root * math.sqrt(b * b - 4 * a * c)) / (2 * a)
            if t > 0 and part.bottom_m <= origin[2] + t * direction[2] <= part.top_m:
                found.append(float(t))
    return found


def ground_m(relief: Relief, origin: np.ndarray, direction: np.ndarray) -> float:
    """Range to the ground, followed in steps of 5 cm and closed in by bisection."""

    def clearance_m(range_m: np.ndarray | float) -> np.ndarray:
        x, y, z = (origin[:, None] + direction[:, None] * np.atleast_1d(range_m)).reshape(3, -1)
        return z - relief.height_m(x, y)

    range_m = np.arange(0.0, REACH_M, 0.05)
    below = np.flatnonzero(clearance_m(range_m) < 0)
    if len(below) == 0:
        return math.inf
    return float(bisect(lambda r: clearance_m(r)[0], *range_m[below[0] - 1 : below[0] + 1]))


def nearest_m(world: World, origin: np.ndarray, direction: np.ndarray) -> float:
    found = [ground_m(world.relief, origin, direction)]
    for part in world.parts:
        if isinstance(part, Box):
            found += box_faces_m(part, origin, direction)
        else:
            found += cylinder_faces_m(part, origin, direction)
    return min(found)


def random_directions(rng: np.random.Generator, count: int) -> np.ndarray:
    directions = rng.normal(size=(count, 3)) * (1.0, 0.7, 0.2)
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(4))
def test_rays_end_where_a_plain_loop_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    world = draw_world(rng)
    origin = world.T_world_lidar[:3, 3]
    directions = random_directions(rng, 150)
    hits = cast_rays(world, origin, directions, rng)
    expected = [nearest_m(world, origin, direction) for direction in directions]
    assert np.isfinite(expected).mean() > 0.3
    assert np.count_nonzero(hits.owner == 0) > 20
    # Both close in on the ground to about 1e-9 m.
    np.testing.assert_allclose(
        np.minimum(hits.range_m, REACH_M), np.minimum(expected, REACH_M), rtol=1e-8
    )
    assert (hits.cos_incidence >= 0).all()
    assert (hits.cos_incidence <= 1 + 1e-12).all()


def test_rays_meet_steep_waves_where_a_plain_loop_says() -> None:
    rng = np.random.default_rng(9)
    waves = (Wave(1.5, (0.1, 0.02), 0.3), Wave(0.6, (-0.05, 0.2), 2.0))
    relief, origin = Relief(waves), np.array([0.0, 0.0, 1.9])
    directions = rng.normal(size=(300, 3)) * (1.0, 0.7, 0.1)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found = np.minimum(range_to_ground(relief, origin, directions), REACH_M)
    expected = np.array([ground_m(relief, origin, direction) for direction in directions])
    expected = np.minimum(expected, REACH_M)
    # A ray that dips into a crest for less than a step may pass it.
    same = np.isclose(found, expected, rtol=1e-7)
    assert np.mean(same) > 0.98
    assert (found[~same] > expected[~same]).all()
    assert 100 < np.count_nonzero(found < REACH_M) < 290


def test_the_ground_slopes_as_its_height_says() -> None:
    relief = Relief((Wave(1.0, (0.1, 0.03), 0.5), Wave(0.4, (-0.2, 0.1), 1.0)))
    x, y = np.random.default_rng(1).uniform(-50, 50, (2, 100))
    along_x, along_y = relief.slope(x, y)
    step = 1e-5
    rise = relief.height_m(x + step, y) - relief.height_m(x - step, y)
    np.testing.assert_allclose(along_x, rise / (2 * step), atol=1e-8)
    rise = relief.height_m(x, y + step) - relief.height_m(x, y - step)
    np.testing.assert_allclose(along_y, rise / (2 * step), atol=1e-8)
    assert np.hypot(along_x, along_y).max() <= relief.steepest
    assert relief.height_m(0.0, 0.0) == 0.0


def test_things_stand_on_the_ground_and_stay_on_it_as_they_drive() -> None:
    for seed in range(5):
        world = draw_world(np.random.default_rng(seed))
        for later in (world, world.after(0.8)):
            for part in later.parts:
                if part.material in (Material.PERSON, Material.BUILDING):
                    assert isinstance(part, Box)
                    x, y, z = part.center_m
                    bottom_m = z - 0.5 * part.size_m[2] - float(later.relief.height_m(x, y))
                    assert bottom_m == pytest.approx(
                        0.0 if part.material == Material.PERSON else -1.0
                    )
            x, y, z = later.T_world_radar[:3, 3]
            assert 1.0 < z - later.relief.height_m(x, y) < 2.2


def test_a_radar_sees_through_a_hedge_where_a_lidar_does_not() -> None:
    size_m = (0.8, 40.0, 6.0)
    hedge = Box((10.0, 0.0, 3.0), size_m, 0.0, Material.VEGETATION, free_path_m=0.15)
    world = make_world(hedge, wall(20.0))
    rng = np.random.default_rng(3)
    lidar = transform_points(world.T_radar_lidar, scan_lidar(world, VLP_16, rng))
    passed = np.mean(lidar[np.abs(lidar[:, 1]) < 8, 0] > 15)
    assert passed < 0.02, "exp(-0.8 / 0.15) is 0.5 %"
    radar = scan_radar(world, ASTYX_6455, rng)
    ahead = radar[np.abs(radar[:, 1]) < 8, 0]
    assert np.count_nonzero(np.abs(ahead - 20.0) < 1.0) > 50
    assert np.count_nonzero(np.abs(ahead - 10.0) < 1.0) > 20


def test_free_paths_in_leaves_are_exponential() -> None:
    depth_m, path_m = 3.0, 1.5
    crown = Box(
        (10.0, 0.0, 5.0), (depth_m, 400.0, 400.0), 0.0, Material.VEGETATION, (0, 0, 0), path_m
    )
    rng = np.random.default_rng(2)
    directions = np.tile((1.0, 0.0, 0.0), (40_000, 1))
    for clearness in (1.0, 3.0):
        table = np.full(len(Material), clearness)
        hits = cast_rays(make_world(crown), LEVEL[:3, 3], directions, rng, table)
        inside_m = hits.range_m[np.isfinite(hits.range_m)] - (10.0 - 0.5 * depth_m)
        mean_m = path_m * clearness
        passed = math.exp(-depth_m / mean_m)
        # Standard errors of shares of 40,000 rays are at most 0.0025.
        assert np.mean(np.isinf(hits.range_m)) == pytest.approx(passed, abs=0.01)
        for bound_m in (0.5, 1.0, 2.0):
            expected = (1 - math.exp(-bound_m / mean_m)) / (1 - passed)
            assert np.mean(inside_m < bound_m) == pytest.approx(expected, abs=0.012)
        assert inside_m.min() > 0
        assert inside_m.max() < depth_m


def test_a_ray_that_starts_among_leaves_is_stopped_among_them() -> None:
    around = Cylinder((0.0, 0.0), 4.0, 0.0, 9.0, Material.VEGETATION, 2.0)
    directions = np.tile((0.0, 1.0, 0.0), (10_000, 1))
    hits = cast_rays(make_world(around), LEVEL[:3, 3], directions, np.random.default_rng(1))
    assert np.mean(np.isinf(hits.range_m)) == pytest.approx(math.exp(-2.0), abs=0.015)
    assert hits.range_m[np.isfinite(hits.range_m)].max() < 4.0


def test_incidence_owner_and_velocity_are_those_of_the_surface_hit() -> None:
    world = make_world(
        wall(20.0, (1.0, 2.0, 0.0)), Cylinder((10.0, 0.0), 0.5, 0.0, 5.0, Material.METAL)
    )
    straight, down, up, aside = (1.0, 0, 0), (0, 0, -1.0), (0, 0, 1.0), (0.8, 0.6, 0)
    directions = np.array([straight, down, up, aside])
    hits = cast_rays(world, np.array([0.0, 0.0, 2.0]), directions, np.random.default_rng(0))
    np.testing.assert_allclose(hits.range_m, [9.5, 2.0, np.inf, 25.0])
    np.testing.assert_array_equal(hits.owner, [2, 0, -1, 1])
    np.testing.assert_allclose(hits.cos_incidence[[0, 1, 3]], [1.0, 1.0, 0.8])
    assert hits.material[[0, 1, 3]].tolist() == [Material.METAL, Material.ROAD, Material.BUILDING]
    np.testing.assert_array_equal(hits.velocity_mps[3], (1.0, 2.0, 0.0))


def test_lidar_returns_lie_on_surfaces() -> None:
    world = make_world(wall(30.0), Box((12.0, 3.0, 0.8), (4.5, 1.8, 1.6), 0.4, Material.VEHICLE))
    cloud = scan_lidar(world, VLP_16, np.random.default_rng(0)).astype(np.float64)
    rays = cloud[:, :3] / np.linalg.norm(cloud[:, :3], axis=1, keepdims=True)
    origin = world.T_world_lidar[:3, 3]
    directions = rays @ world.T_world_lidar[:3, :3].T
    # float32 coordinates turn a ray by 1e-7, which only matters at the edges of the boxes
    expected = cast_rays(world, origin, directions, np.random.default_rng(0)).range_m
    error_m = np.abs(np.linalg.norm(cloud[:, :3], axis=1) - expected)
    assert np.mean(error_m < 0.15) > 0.999
    assert 0.02 < np.std(error_m[error_m < 0.15]) * 1.66 < 0.04
    assert len(cloud) > 3000
    assert cloud[:, 3].min() >= 0
    assert cloud[:, 3].max() <= 255


def test_lidar_sees_rings_on_an_empty_road() -> None:
    world = make_world()
    seen = scan_lidar(world, VLP_16, np.random.default_rng(0))
    cloud = transform_points(world.T_radar_lidar, seen)
    assert np.abs(cloud[:, 2] + RADAR_HEIGHT_M).max() < 0.1
    assert np.hypot(cloud[:, 0], cloud[:, 1]).min() == pytest.approx(7.1, abs=0.5)


def test_nothing_is_seen_behind_a_wall() -> None:
    world = make_world(wall(10.0), wall(20.0))
    rng = np.random.default_rng(0)
    cloud = transform_points(world.T_radar_lidar, scan_lidar(world, VLP_16, rng))
    ahead = np.abs(np.arctan2(cloud[:, 1], cloud[:, 0])) < math.radians(50)
    assert cloud[ahead, 0].max() < 10.3
    assert np.count_nonzero(cloud[ahead, 0] > 9.7) > 1000
    hits = cast_rays(world, LEVEL[:3, 3], random_directions(rng, 2000), rng)
    assert 2 not in hits.owner[hits.range_m < 15]


def test_doppler_of_what_stands_is_minus_the_cars_own_speed() -> None:
    world = make_world(wall(25.0), ego_velocity_mps=(10.0, 0.0, 0.0))
    radar = scan_radar(world, UNFOLDED, np.random.default_rng(1)).astype(np.float64)
    unit = radar[:, :3] / np.linalg.norm(radar[:, :3], axis=1, keepdims=True)
    residual = radar[:, 3] + unit @ (10.0, 0.0, 0.0)
    assert len(radar) > 300
    assert np.median(np.abs(residual)) < 0.15
    assert np.mean(np.abs(residual) < 0.5) > 0.8
    assert np.median(radar[:, 3]) < -5.0


def test_doppler_of_what_drives_away_is_positive() -> None:
    world = make_world(wall(20.0, (6.0, 0.0, 0.0)), ego_velocity_mps=(2.0, 0.0, 0.0))
    radar = scan_radar(world, UNFOLDED, np.random.default_rng(2))
    ahead = (np.abs(radar[:, 1]) < 3) & (np.abs(radar[:, 0] - 20) < 1) & (radar[:, 2] > -1)
    assert np.median(radar[ahead, 3]) == pytest.approx(4.0, abs=0.2)


def test_simulated_frames_have_the_traits_of_the_sensors() -> None:
    pairs = [simulate_pair(5, index) for index in range(6)]
    radar = np.concatenate([pair.radar for pair in pairs])
    range_m = np.linalg.norm(radar[:, :3], axis=1)
    assert 300 <= len(radar) / 6 <= 4000
    assert np.abs(np.arctan2(radar[:, 1], radar[:, 0])).max() <= math.radians(55) + 1e-6
    assert range_m.max() <= 100.0 + 1e-4
    assert radar[:, 4].min() >= 45
    assert radar[:, 4].max() <= 97
    np.testing.assert_array_equal(radar[:, 4] * 2, np.round(radar[:, 4] * 2))
    assert 0.005 < np.mean(radar[:, 2] < -3.0) < 0.15, "ghosts below the road"
    for pair in pairs:
        assert pair.radar.dtype == pair.lidar.dtype == np.float32
        assert 3000 < len(pair.lidar) < 12016
        assert np.abs(pair.T_radar_lidar[:3, 3] - (-0.1, 0.0, 0.3)).max() < 0.15


def test_seed_and_index_determine_a_frame() -> None:
    first, again, other, next_drive, elsewhere = (
        simulate_pair(1, 2),
        simulate_pair(1, 2),
        simulate_pair(1, 3),
        simulate_pair(1, 2 + DRIVE_FRAMES),
        simulate_pair(2, 2),
    )
    assert first.name == "000002"
    np.testing.assert_array_equal(first.radar, again.radar)
    np.testing.assert_array_equal(first.lidar, again.lidar)
    np.testing.assert_array_equal(first.T_radar_lidar, again.T_radar_lidar)
    assert not np.array_equal(first.lidar, other.lidar)
    np.testing.assert_array_equal(first.T_radar_lidar, other.T_radar_lidar)
    assert not np.array_equal(first.T_radar_lidar, next_drive.T_radar_lidar)
    assert not np.array_equal(first.T_radar_lidar, elsewhere.T_radar_lidar)


@pytest.mark.parametrize(
    ("seed", "index", "radar_sweeps", "radar_crc", "lidar_crc"),
    [
        (0, 0, 1, 537894241, 1559736458),
        (5, 3, 1, 3534459831, 1862238669),
        (7, 1, 2, 410410683, 688421158),
    ],
)
def test_frames_of_version_4_stay_as_they_are(
    seed: int, index: int, radar_sweeps: int, radar_crc: int, lidar_crc: int
) -> None:
    assert SIMULATOR_VERSION == 4
    pair = simulate_pair(seed, index, radar_sweeps)
    assert zlib.crc32(pair.radar.tobytes()) == radar_crc
    assert zlib.crc32(pair.lidar.tobytes()) == lidar_crc


def test_no_lorry_is_parked_over_the_car() -> None:
    # A lorry at the kerb of a narrow road reached over the car, and the LiDAR saw nothing else.
    assert len(simulate_pair(0, 6089, rig=VARIED_RIG).lidar) > 1000


def test_nothing_solid_is_within_reach_of_the_car() -> None:
    close = Box((0.0, 2.4, 1.0), (4.0, 1.9, 1.6), 0.0, Material.VEHICLE)
    turned = replace(close, yaw_rad=math.pi / 2)
    pole = Cylinder((3.0, 4.0), 0.5, 0.5, 4.0, Material.METAL)
    assert clearance_m(close) == pytest.approx(2.4 - 0.95)
    assert clearance_m(turned) == pytest.approx(0.4)
    assert clearance_m(replace(close, center_m=(5.0, 4.95, 1.0))) == pytest.approx(5.0)
    assert clearance_m(pole) == pytest.approx(4.5)
    assert bottom_m(close) == pytest.approx(0.2)
    assert bottom_m(pole) == 0.5
    for index in range(60):
        rng = np.random.default_rng([0, index])
        world = random_world(rng, random_mounts(rng, ASTYX_PLACES))
        solid = [part for part in world.parts if not part.free_path_m and bottom_m(part) < 3.0]
        assert all(clearance_m(part) >= 1.5 for part in solid)


def test_drives_of_varied_sensors_differ_and_say_their_rings() -> None:
    drives = [random_drive(0, number, VARIED_RIG) for number in range(60)]
    heights_m = [drive.mounts.T_car_radar[2, 3] for drive in drives]
    assert min(heights_m) < 0.7
    assert max(heights_m) > 1.7
    probes = [drive.radar.probes * drive.radar.cluster_mean for drive in drives]
    assert max(probes) > 20 * min(probes)
    assert {len(drive.lidar.rings_deg) for drive in drives} >= {16, 64, 128}
    for number in (0, 3):
        pair = simulate_pair(0, number * DRIVE_FRAMES, rig=VARIED_RIG)
        assert pair.rings_deg == random_drive(0, number, VARIED_RIG).lidar.rings_deg
        elevation = np.arctan2(pair.lidar[:, 2], np.hypot(pair.lidar[:, 0], pair.lidar[:, 1]))
        off = np.abs(np.degrees(elevation)[:, None] - np.array(pair.rings_deg)).min(axis=1)
        # Numbers of float32 turn beams by less than a thousandth of a degree.
        assert off.max() < 1e-3
    assert simulate_pair(0, 0).rings_deg is None


def test_a_world_drives_on():
    parked, driving = wall(20.0), wall(40.0, velocity_mps=(-4.0, 1.0, 0.0))
    world = make_world(parked, driving, ego_velocity_mps=(10.0, 0.0, 0.0))
    earlier = world.after(-0.5)
    assert earlier.parts[0] == parked
    np.testing.assert_allclose(earlier.parts[1].center_m, np.add(driving.center_m, (2.0, -0.5, 0)))
    np.testing.assert_allclose(earlier.T_world_radar[:3, 3], (-5.0, 0.0, RADAR_HEIGHT_M))
    np.testing.assert_allclose(world.T_world_radar, LEVEL)


def test_several_sweeps_hold_the_newest_and_show_the_same_walls():
    one, three = simulate_pair(3, 0), simulate_pair(3, 0, radar_sweeps=3)
    np.testing.assert_array_equal(three.radar[: len(one.radar)], one.radar)
    np.testing.assert_array_equal(three.lidar, one.lidar)
    earlier = three.radar[len(one.radar) :]
    assert 1.0 < len(earlier) / len(one.radar) < 5.0
    # What is far from all LiDAR points is no more in the earlier sweeps than in the newest.
    tree = KDTree(one.lidar_in_radar_frame[:, :3])
    distances_m = [np.median(tree.query(sweep[:, :3])[0]) for sweep in (one.radar, earlier)]
    assert distances_m[1] < 1.6 * distances_m[0]
