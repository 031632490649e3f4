"""The simulator's geometry against a slow oracle, and the traits of its sensors."""

import math
import zlib

import numpy as np
import pytest
from scipy.spatial import KDTree

from radarsparse.data.simulator.layout import random_scene
from radarsparse.data.simulator.lidar import scan_lidar
from radarsparse.data.simulator.lidar_models import VLP_16
from radarsparse.data.simulator.radar import scan_radar
from radarsparse.data.simulator.radar_models import ASTYX_6455
from radarsparse.data.simulator.raycast import cast_rays
from radarsparse.data.simulator.scene import Box, Cylinder, Material, Scene, Triple, pose
from radarsparse.data.simulator.simulate import SIMULATOR_VERSION, simulate_pair
from radarsparse.geometry import transform_points

RADAR_HEIGHT_M = 1.6
LEVEL = pose((0.0, 0.0, 0.0), (0.0, 0.0, RADAR_HEIGHT_M))
BESIDE = pose((0.02, -0.01, 0.01), (-0.1, 0.0, 0.3))


def make_scene(
    *parts: Box | Cylinder, ego_velocity_mps: Triple = (0.0, 0.0, 0.0), world: np.ndarray = LEVEL
) -> Scene:
    return Scene(
        tuple(part for part in parts if isinstance(part, Box)),
        tuple(part for part in parts if isinstance(part, Cylinder)),
        world,
        BESIDE,
        ego_velocity_mps,
    )


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


def nearest_m(scene: Scene, origin: np.ndarray, direction: np.ndarray) -> float:
    found = [math.inf]
    if direction[2] < 0:
        found.append(-origin[2] / direction[2])
    for box in scene.boxes:
        found += box_faces_m(box, origin, direction)
    for cylinder in scene.cylinders:
        found += cylinder_faces_m(cylinder, origin, direction)
    return min(found)


def random_directions(rng: np.random.Generator, count: int) -> np.ndarray:
    directions = rng.normal(size=(count, 3)) * (1.0, 0.7, 0.2)
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(4))
def test_rays_end_where_a_plain_loop_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene = random_scene(rng)
    origin = scene.T_world_lidar[:3, 3]
    directions = random_directions(rng, 150)
    hits = cast_rays(scene, origin, directions)
    expected = [nearest_m(scene, origin, direction) for direction in directions]
    assert np.isfinite(expected).mean() > 0.3
    np.testing.assert_allclose(hits.range_m, expected, rtol=1e-9)
    assert (hits.cos_incidence >= 0).all()
    assert (hits.cos_incidence <= 1 + 1e-12).all()


def test_incidence_owner_and_velocity_are_those_of_the_surface_hit() -> None:
    scene = make_scene(
        wall(20.0, (1.0, 2.0, 0.0)), Cylinder((10.0, 0.0), 0.5, 0.0, 5.0, Material.METAL)
    )
    straight, down, up, aside = (1.0, 0, 0), (0, 0, -1.0), (0, 0, 1.0), (0.8, 0.6, 0)
    hits = cast_rays(scene, np.array([0.0, 0.0, 2.0]), np.array([straight, down, up, aside]))
    np.testing.assert_allclose(hits.range_m, [9.5, 2.0, np.inf, 25.0])
    np.testing.assert_array_equal(hits.owner, [2, 0, -1, 1])
    np.testing.assert_allclose(hits.cos_incidence[[0, 1, 3]], [1.0, 1.0, 0.8])
    assert hits.material[[0, 1, 3]].tolist() == [Material.METAL, Material.ROAD, Material.BUILDING]
    np.testing.assert_array_equal(hits.velocity_mps[3], (1.0, 2.0, 0.0))


def test_lidar_returns_lie_on_surfaces() -> None:
    scene = make_scene(
        wall(30.0), Box((12.0, 3.0, 0.8), (4.5, 1.8, 1.6), 0.4, Material.VEHICLE), world=LEVEL
    )
    cloud = scan_lidar(scene, VLP_16, np.random.default_rng(0)).astype(np.float64)
    rays = cloud[:, :3] / np.linalg.norm(cloud[:, :3], axis=1, keepdims=True)
    origin = scene.T_world_lidar[:3, 3]
    directions = rays @ scene.T_world_lidar[:3, :3].T
    # float32 coordinates turn a ray by 1e-7, which only matters at the edges of the boxes
    expected = cast_rays(scene, origin, directions).range_m
    error_m = np.abs(np.linalg.norm(cloud[:, :3], axis=1) - expected)
    assert np.mean(error_m < 0.15) > 0.999
    assert 0.02 < np.std(error_m[error_m < 0.15]) * 1.66 < 0.04
    assert len(cloud) > 3000
    assert cloud[:, 3].min() >= 0
    assert cloud[:, 3].max() <= 255


def test_lidar_sees_rings_on_an_empty_road() -> None:
    scene = make_scene()
    seen = scan_lidar(scene, VLP_16, np.random.default_rng(0))
    cloud = transform_points(scene.T_radar_lidar, seen)
    assert np.abs(cloud[:, 2] + RADAR_HEIGHT_M).max() < 0.1
    assert np.hypot(cloud[:, 0], cloud[:, 1]).min() == pytest.approx(7.1, abs=0.5)


def test_nothing_is_seen_behind_a_wall() -> None:
    scene = make_scene(wall(10.0), wall(20.0))
    rng = np.random.default_rng(0)
    cloud = transform_points(scene.T_radar_lidar, scan_lidar(scene, VLP_16, rng))
    ahead = np.abs(np.arctan2(cloud[:, 1], cloud[:, 0])) < math.radians(50)
    assert cloud[ahead, 0].max() < 10.3
    assert np.count_nonzero(cloud[ahead, 0] > 9.7) > 1000
    hits = cast_rays(scene, LEVEL[:3, 3], random_directions(rng, 2000))
    assert 2 not in hits.owner[hits.range_m < 15]


def test_doppler_of_what_stands_is_minus_the_cars_own_speed() -> None:
    scene = make_scene(wall(25.0), ego_velocity_mps=(10.0, 0.0, 0.0))
    radar = scan_radar(scene, ASTYX_6455, np.random.default_rng(1)).astype(np.float64)
    unit = radar[:, :3] / np.linalg.norm(radar[:, :3], axis=1, keepdims=True)
    residual = radar[:, 3] + unit @ (10.0, 0.0, 0.0)
    assert len(radar) > 300
    assert np.median(np.abs(residual)) < 0.15
    assert np.mean(np.abs(residual) < 0.5) > 0.8
    assert np.median(radar[:, 3]) < -5.0


def test_doppler_of_what_drives_away_is_positive() -> None:
    scene = make_scene(wall(20.0, (6.0, 0.0, 0.0)), ego_velocity_mps=(2.0, 0.0, 0.0))
    radar = scan_radar(scene, ASTYX_6455, np.random.default_rng(2))
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
    first, again, other, elsewhere = (
        simulate_pair(1, 2),
        simulate_pair(1, 2),
        simulate_pair(1, 3),
        simulate_pair(2, 2),
    )
    assert first.name == "000002"
    np.testing.assert_array_equal(first.radar, again.radar)
    np.testing.assert_array_equal(first.lidar, again.lidar)
    np.testing.assert_array_equal(first.T_radar_lidar, again.T_radar_lidar)
    assert not np.array_equal(first.T_radar_lidar, other.T_radar_lidar)
    assert not np.array_equal(first.T_radar_lidar, elsewhere.T_radar_lidar)


@pytest.mark.parametrize(
    ("seed", "index", "radar_sweeps", "radar_crc", "lidar_crc"),
    [
        (0, 0, 1, 3457810898, 437540106),
        (5, 3, 1, 2894812199, 3784167484),
        (7, 1, 2, 2175715613, 1377696323),
    ],
)
def test_frames_of_version_1_stay_as_they_are(
    seed: int, index: int, radar_sweeps: int, radar_crc: int, lidar_crc: int
) -> None:
    assert SIMULATOR_VERSION == 1
    pair = simulate_pair(seed, index, radar_sweeps)
    assert zlib.crc32(pair.radar.tobytes()) == radar_crc
    assert zlib.crc32(pair.lidar.tobytes()) == lidar_crc


def test_a_scene_drives_on():
    parked, driving = wall(20.0), wall(40.0, velocity_mps=(-4.0, 1.0, 0.0))
    scene = make_scene(parked, driving, ego_velocity_mps=(10.0, 0.0, 0.0))
    earlier = scene.after(-0.5)
    assert earlier.boxes[0] == parked
    np.testing.assert_allclose(earlier.boxes[1].center_m, np.add(driving.center_m, (2.0, -0.5, 0)))
    np.testing.assert_allclose(earlier.T_world_radar[:3, 3], (-5.0, 0.0, RADAR_HEIGHT_M))
    np.testing.assert_allclose(scene.T_world_radar, LEVEL)


def test_several_sweeps_hold_the_newest_and_show_the_same_walls():
    one, three = simulate_pair(3, 0), simulate_pair(3, 0, radar_sweeps=3)
    np.testing.assert_array_equal(three.radar[: len(one.radar)], one.radar)
    np.testing.assert_array_equal(three.lidar, one.lidar)
    earlier = three.radar[len(one.radar) :]
    assert 1.0 < len(earlier) / len(one.radar) < 3.0
    # What is far from all LiDAR points is no more in the earlier sweeps than in the newest.
    tree = KDTree(one.lidar_in_radar_frame[:, :3])
    distances_m = [np.median(tree.query(sweep[:, :3])[0]) for sweep in (one.radar, earlier)]
    assert distances_m[1] < 1.3 * distances_m[0]
