from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from radarsparse.config import AugmentSettings, validate_config
from radarsparse.errors import InputError
from radarsparse.geometry import Volume, observed_mask, transform_points
from radarsparse.scan import ScanPair
from radarsparse.voxels.augment import augment, mix
from radarsparse.voxels.voxelize import RADAR_FEATURES, Voxels, voxelize_lidar, voxelize_radar
from tests.conftest import tiny_config, tiny_pair

NOTHING = AugmentSettings(mirror=0.0, yaw_max_deg=0.0, shift_std_m=0.0, radar_dropout=0.0)
FURTHER = {"quarter_turn": 1.0, "scale_max": 0.1, "lidar_dropout": 0.3, "cutout": 1.0}
FURTHER |= {"doppler_std_mps": 0.1, "power_point_std_db": 1.0, "radar_range_std_m": 0.1}
FURTHER |= {"radar_azimuth_std_deg": 1.0, "radar_elevation_std_deg": 1.0}
EVERYTHING = AugmentSettings().model_copy(update=FURTHER)

VOLUME = Volume((-20.0, -20.0, -4.0), (20.0, 20.0, 4.0), 0.2, np.pi)
STRIDE = 8


def _only(**changes: float) -> AugmentSettings:
    return NOTHING.model_copy(update=changes)


def _augmented(pair: ScanPair, settings: AugmentSettings, seed: int = 0) -> ScanPair:
    return augment(pair, settings, VOLUME, np.random.default_rng(seed))


def _mounted(index: int) -> ScanPair:
    """A pair whose LiDAR stands off the radar, turned and tilted."""
    pair, (yaw, pitch) = tiny_pair(index), (0.3, 0.1)
    turn, tilt = np.eye(4), np.eye(4)
    turn[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    tilt[::2, ::2] = [[np.cos(pitch), np.sin(pitch)], [-np.sin(pitch), np.cos(pitch)]]
    T_radar_lidar = turn @ tilt
    T_radar_lidar[:3, 3] = [-0.53, 0.27, 0.61]
    lidar = transform_points(np.linalg.inv(T_radar_lidar), pair.lidar)
    return ScanPair(pair.name, pair.radar, lidar, T_radar_lidar)


def _off_grid(index: int) -> ScanPair:
    """A pair without points on the sides of voxels, which floor() deals with one-sidedly."""
    pair = tiny_pair(index)
    for cloud in (pair.radar, pair.lidar):
        cloud[:, :3] += np.float32(0.0437)
    return pair


def _distances(pair):
    return np.linalg.norm(pair.radar[:, None, :3] - pair.lidar_in_radar_frame[None, :, :3], axis=2)


def _observed(pair: ScanPair) -> np.ndarray:
    return observed_mask(VOLUME, STRIDE, pair.lidar_origin_m, pair.lidar_in_radar_frame)


def _assert_equal(one: ScanPair, other: ScanPair) -> None:
    assert one.name == other.name
    for field in ("radar", "lidar", "T_radar_lidar"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_radar_and_lidar_move_together():
    pair = tiny_pair(0)
    moved = _augmented(pair, _only(mirror=1.0, yaw_max_deg=40.0, shift_std_m=1.0))
    # float32 coordinates of about 10 m, moved twice.
    np.testing.assert_allclose(_distances(moved), _distances(pair), atol=1e-4)
    assert np.abs(moved.radar[:, :3] - pair.radar[:, :3]).max() > 0.5
    np.testing.assert_array_equal(moved.radar[:, 3:], pair.radar[:, 3:])
    np.testing.assert_allclose(np.linalg.det(moved.T_radar_lidar), 1.0)


def test_a_mirror_changes_sides():
    pair = tiny_pair(0)
    mirrored = _augmented(pair, _only(mirror=1.0))
    np.testing.assert_array_equal(mirrored.radar[:, 1], -pair.radar[:, 1])
    expected = pair.lidar_in_radar_frame * np.array([1, -1, 1, 1], np.float32)
    np.testing.assert_allclose(mirrored.lidar_in_radar_frame, expected, atol=1e-6)


def test_dropping_never_empties_the_radar():
    settings = _only(radar_dropout=1.0)
    counts = [len(_augmented(tiny_pair(0), settings, seed).radar) for seed in range(200)]
    assert min(counts) > 0
    assert len(set(counts)) > 5


def test_a_change_that_would_leave_nothing_to_see_is_not_made():
    pair = tiny_pair(0)
    for seed in range(30):
        moved = _augmented(pair, _only(shift_std_m=15.0), seed)
        assert VOLUME.contains(moved.radar).any()
        assert VOLUME.contains(moved.lidar_in_radar_frame).any()
    assert _augmented(pair, _only(shift_std_m=1e4)) is pair


def test_nothing_asked_nothing_changed_and_equal_seeds_agree():
    pair = tiny_pair(0)
    same = _augmented(pair, NOTHING)
    np.testing.assert_array_equal(same.radar, pair.radar)
    np.testing.assert_array_equal(same.T_radar_lidar, pair.T_radar_lidar)
    for settings in (AugmentSettings(), EVERYTHING):
        _assert_equal(_augmented(pair, settings, 3), _augmented(pair, settings, 3))
    _assert_equal(pair, tiny_pair(0))


def test_default_settings_draw_the_random_numbers_that_they_always_drew():
    random = np.random.default_rng(7)
    pair = augment(tiny_pair(0), AugmentSettings(), VOLUME, random)
    # The next number tells how many were drawn; the sums weigh every value by its place.
    assert random.random() == 0.09149560506304566
    assert len(pair.radar) == 35
    arrays = pair.radar, pair.lidar, pair.T_radar_lidar
    sums = [np.arange(1, a.size + 1) @ a.astype(np.float64).ravel() for a in arrays]
    expected = [202010.3672781475, 80320503.47793481, 32.97971693332834]
    # Another BLAS may round a float32 the other way: 6e-8 of it.
    np.testing.assert_allclose(sums, expected, rtol=1e-7)


@pytest.mark.parametrize("name", sorted(FURTHER))
def test_a_further_change_leaves_the_draws_of_the_default_ones(name):
    pair = _mounted(0)
    settings = AugmentSettings().model_copy(update={"radar_dropout": 0.0})
    plain = _augmented(pair, settings, 5)
    further = _augmented(pair, settings.model_copy(update={name: FURTHER[name]}), 5)
    names = ("radar", "lidar", "T_radar_lidar")
    assert not all(np.array_equal(getattr(plain, n), getattr(further, n)) for n in names)
    # The shift shows in the LiDAR's elevation, which neither a turn nor a scaling changes.
    elevations = [p.lidar_origin_m[2] / np.linalg.norm(p.lidar_origin_m) for p in (plain, further)]
    np.testing.assert_allclose(*elevations, rtol=1e-12)


def _assert_same_voxels(voxels: Voxels, index: np.ndarray, feats: np.ndarray) -> None:
    order = np.lexsort(index.T[::-1])
    np.testing.assert_array_equal(voxels.index, index[order])
    # float32 coordinates of 20 m are off by 2e-6, in half voxels of 0.1 m.
    np.testing.assert_allclose(voxels.feats, feats[order], atol=1e-4)


def test_a_mirrored_pair_has_the_mirrored_voxels():
    pair = _off_grid(1)
    mirrored = _augmented(pair, _only(mirror=1.0))
    lidar, radar = _voxels(pair)
    lidar.feats[:, 1] *= -1.0
    radar.feats[:, [2, 9]] *= -1.0  # offset along y, azimuth
    for voxels, before in zip(_voxels(mirrored), (lidar, radar), strict=True):
        index = before.index * [1, -1, 1] + [0, VOLUME.shape[1] - 1, 0]
        _assert_same_voxels(voxels, index, before.feats)


def _voxels(pair: ScanPair) -> tuple[Voxels, Voxels]:
    return voxelize_lidar(pair.lidar_in_radar_frame, VOLUME), voxelize_radar(pair.radar, VOLUME)


def _quarter_turns(before: ScanPair, after: ScanPair) -> int:
    """How many quarter turns to the left lead from one pair to the other."""
    turn = after.T_radar_lidar @ np.linalg.inv(before.T_radar_lidar)
    return round(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])) / 90.0) % 4


def _turned_left(voxels: Voxels, offset: int, turns: int) -> Voxels:
    """The voxels of the scene after quarter turns: x becomes y, y becomes -x."""
    if turns == 0:
        return voxels
    index, feats = voxels.index.copy(), voxels.feats.copy()
    index[:, 0], index[:, 1] = VOLUME.shape[1] - 1 - voxels.index[:, 1], voxels.index[:, 0]
    feats[:, offset], feats[:, offset + 1] = -voxels.feats[:, offset + 1], voxels.feats[:, offset]
    if feats.shape[1] == RADAR_FEATURES:
        feats[:, 9] = (feats[:, 9] + 1.5) % 2.0 - 1.0  # azimuth in half turns, 0.5 to the left
    return _turned_left(Voxels(index, feats), offset, turns - 1)


def test_a_turned_pair_has_the_turned_voxels():
    pair, found = _off_grid(1), set()
    for seed in range(12):
        turned = _augmented(pair, _only(quarter_turn=1.0), seed)
        turns = _quarter_turns(pair, turned)
        found.add(turns)
        for voxels, before, offset in zip(_voxels(turned), _voxels(pair), (0, 1), strict=True):
            expected = _turned_left(before, offset, turns)
            _assert_same_voxels(voxels, expected.index, expected.feats)
    assert found == {1, 2, 3}


def test_the_observed_mask_turns_with_the_scene():
    pair = _mounted(2)
    before = _observed(pair)
    for seed in range(6):
        turned = _augmented(pair, _only(quarter_turn=1.0), seed)
        expected = np.rot90(before, _quarter_turns(pair, turned), axes=(0, 1))
        np.testing.assert_array_equal(_observed(turned), expected)
    np.testing.assert_array_equal(_observed(_augmented(pair, _only(mirror=1.0))), before[:, ::-1])


def test_a_scaled_scene_is_seen_alike_through_a_scaled_volume():
    pair = _mounted(2)
    scaled = _augmented(pair, _only(scale_max=0.2), 3)
    scale = np.linalg.norm(scaled.lidar_origin_m) / np.linalg.norm(pair.lidar_origin_m)
    assert 0.01 < abs(scale - 1.0) <= 0.2
    np.testing.assert_allclose(_distances(scaled), scale * _distances(pair), atol=1e-4)
    low, high = scale * np.array([VOLUME.minimum_m, VOLUME.maximum_m])
    volume = replace(VOLUME, minimum_m=tuple(low), maximum_m=tuple(high), voxel_size_m=0.2 * scale)
    mask = observed_mask(volume, STRIDE, scaled.lidar_origin_m, scaled.lidar_in_radar_frame)
    # A ray that passes a corner at a micrometre may take the other side of it.
    assert np.count_nonzero(mask != _observed(pair)) <= 2
    np.testing.assert_array_equal(scaled.radar[:, 3:], pair.radar[:, 3:])


@pytest.mark.parametrize(
    "changes",
    [{"mirror": 1.0}, {"yaw_max_deg": 180.0}, {"quarter_turn": 1.0}, {"scale_max": 0.3}],
)
def test_doppler_stays_the_radial_part_of_the_velocity(changes):
    pair = tiny_pair(3)
    velocity = np.random.default_rng(3).normal(0.0, 5.0, (len(pair.radar), 3))
    pair.radar[:, 3] = _radial(pair, velocity)
    changed = _augmented(pair, _only(**changes), 2)
    linear = np.linalg.lstsq(pair.radar[:, :3], changed.radar[:, :3], rcond=None)[0].T
    turn = linear / np.cbrt(abs(np.linalg.det(linear)))
    assert np.abs(linear - np.eye(3)).max() > 0.01
    np.testing.assert_allclose(changed.radar[:, 3], _radial(changed, velocity @ turn.T), atol=1e-4)


def _radial(pair: ScanPair, velocity_mps: np.ndarray) -> np.ndarray:
    position_m = pair.radar[:, :3]
    return (velocity_mps * position_m).sum(1) / np.linalg.norm(position_m, axis=1)


def _dense_pair() -> ScanPair:
    """A pair of 20000 radar points between 5 and 15 m."""
    random, pair = np.random.default_rng(0), tiny_pair(0)
    direction = random.standard_normal((20000, 3)) * [1.0, 1.0, 0.2]
    range_m = random.uniform(5.0, 15.0, (20000, 1))
    xyz = range_m * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    return replace(pair, radar=np.c_[xyz, np.zeros((20000, 2))].astype(np.float32))


def _polar_deg(radar: np.ndarray) -> np.ndarray:
    range_m = np.linalg.norm(radar[:, :3], axis=1)
    azimuth = np.arctan2(radar[:, 1], radar[:, 0])
    return np.stack([range_m, np.degrees(azimuth), np.degrees(np.arcsin(radar[:, 2] / range_m))])


@pytest.mark.parametrize(
    ("name", "std", "axis"),
    [
        ("radar_range_std_m", 0.2, 0),
        ("radar_azimuth_std_deg", 1.5, 1),
        ("radar_elevation_std_deg", 0.7, 2),
    ],
)
def test_positions_are_noisy_in_the_radars_own_coordinates(name, std, axis):
    pair = _dense_pair()
    noisy = _augmented(pair, _only(**{name: std}))
    change = _polar_deg(noisy.radar) - _polar_deg(pair.radar)
    change[1] = (change[1] + 180.0) % 360.0 - 180.0
    expected = np.zeros(3)
    expected[axis] = std
    # 20000 draws: 1 percent is two standard errors.
    np.testing.assert_allclose(change.std(axis=1), expected, rtol=0.02, atol=1e-3)
    np.testing.assert_allclose(change.mean(axis=1), 0.0, atol=0.03)
    np.testing.assert_array_equal(noisy.radar[:, 3:], pair.radar[:, 3:])
    _assert_equal(replace(noisy, radar=pair.radar), pair)


def test_noise_of_the_range_never_crosses_the_radar():
    pair = tiny_pair(0)
    noisy = _augmented(pair, _only(radar_range_std_m=50.0))
    assert (noisy.radar[:, 0] >= 0.0).all()
    assert (noisy.radar[:, 0] == 0.0).any()


@pytest.mark.parametrize(("name", "column"), [("doppler_std_mps", 3), ("power_point_std_db", 4)])
def test_doppler_and_power_are_noisy_by_point(name, column):
    pair = _dense_pair()
    noisy = _augmented(pair, _only(**{name: 0.5}))
    np.testing.assert_allclose(noisy.radar[:, column].std(), 0.5, rtol=0.02)
    noisy.radar[:, column] = 0.0
    _assert_equal(noisy, pair)


def test_dropped_returns_take_their_rays_along():
    pair, settings = _mounted(0), _only(lidar_dropout=0.9)
    thinned = [_augmented(pair, settings, seed) for seed in range(100)]
    shares = [len(thin.lidar) / len(pair.lidar) for thin in thinned]
    assert min(shares) < 0.2
    assert max(shares) > 0.9
    fewest = thinned[int(np.argmin(shares))]
    assert not (_observed(fewest) & ~_observed(pair)).any()
    assert np.count_nonzero(_observed(fewest)) < np.count_nonzero(_observed(pair))
    np.testing.assert_array_equal(fewest.radar, pair.radar)


def test_a_cutout_blinds_the_radar_in_one_sector_only():
    pair, widths_deg, backwards = _dense_pair(), [], []
    pair.radar[:, 4] = np.arange(len(pair.radar))
    around = pair.radar[np.argsort(_polar_deg(pair.radar)[1])]
    for seed in range(40):
        cut = _augmented(pair, _only(cutout=1.0, cutout_max_deg=60.0), seed)
        gone = ~np.isin(around[:, 4], cut.radar[:, 4])
        assert np.count_nonzero(gone != np.roll(gone, 1)) == 2
        widths_deg.append(360.0 * gone.mean())
        backwards.append(gone[0] and gone[-1])
        _assert_equal(replace(cut, radar=pair.radar), pair)
    # As many points in every degree, give or take some.
    assert max(widths_deg) < 62.0
    assert max(widths_deg) - min(widths_deg) > 20.0
    assert any(backwards)


@pytest.mark.parametrize("points", [0, 1])
def test_a_cutout_that_would_leave_no_radar_is_not_made(points):
    pair = replace(tiny_pair(0), radar=tiny_pair(0).radar[:points])
    assert _augmented(pair, _only(cutout=1.0)) is pair


def _wall(x_m: float, name: str) -> ScanPair:
    """A wall across the road, seen by a LiDAR at 2 degree steps, and one radar point on it."""
    azimuth, elevation = (a.ravel() for a in np.radians(np.mgrid[-29:30:2, -5:6:2]))
    unit = np.c_[np.ones_like(azimuth), np.tan(azimuth), np.tan(elevation) / np.cos(azimuth)]
    lidar = np.c_[x_m * unit, np.full(len(unit), x_m)].astype(np.float32)
    radar = np.array([[x_m, 0.0, 0.0, -x_m, 60.0]], np.float32)
    return ScanPair(name, radar, lidar, np.eye(4))


def test_in_a_mix_the_nearer_wall_hides_the_farther():
    near, far = _wall(5.0, "near"), _wall(15.0, "far")
    # Its upper left and lower right.
    part = replace(near, lidar=near.lidar[near.lidar[:, 1] * near.lidar[:, 2] > 0.0])
    for mixed in (mix(part, far, VOLUME), mix(far, part, VOLUME)):
        far_seen = mixed.lidar[mixed.lidar[:, 3] == 15.0]
        np.testing.assert_array_equal(far_seen, far.lidar[far.lidar[:, 1] * far.lidar[:, 2] < 0.0])
        assert np.count_nonzero(mixed.lidar[:, 3] == 5.0) == len(part.lidar)
        assert sorted(mixed.radar[:, 0].tolist()) == [5.0, 15.0]
        # What either saw through the other's wall is unknown.
        expected = _observed(part) | _observed(replace(far, lidar=far_seen))
        np.testing.assert_array_equal(_observed(mixed), expected)
        behind = VOLUME.voxel_index(np.array([[10.0, 3.0, 0.9]]))[0] // STRIDE
        assert _observed(far)[tuple(behind)]
        assert not _observed(mixed)[tuple(behind)]


def test_a_mix_observes_no_more_than_its_frames():
    first, second = _mounted(0), _mounted(1)
    mixed = mix(first, second, VOLUME)
    assert mixed.name == "000000+000001"
    assert len(mixed.radar) == len(first.radar) + len(second.radar)
    assert max(len(first.lidar), len(second.lidar)) < len(mixed.lidar)
    assert not (_observed(mixed) & ~(_observed(first) | _observed(second))).any()
    _assert_equal(first, _mounted(0))
    _assert_equal(second, _mounted(1))


def test_in_a_mix_each_radar_keeps_its_place_to_its_lidar():
    first, second = _wall(5.0, "near"), _mounted(1)
    first = replace(first, lidar=first.lidar[:1] * np.float32(-1.0))
    second = replace(second, lidar=second.lidar[second.lidar[:, 0] > 0.0])
    mixed = mix(first, second, VOLUME)
    np.testing.assert_array_equal(mixed.radar[0], first.radar[0])
    own = replace(mixed, radar=mixed.radar[1:], lidar=mixed.lidar[1:])
    np.testing.assert_allclose(_distances(own), _distances(second), atol=1e-4)
    # All rays start where the first LiDAR stands.
    np.testing.assert_array_equal(mixed.T_radar_lidar, first.T_radar_lidar)
    np.testing.assert_allclose(_rays_m(own), _rays_m(second), atol=1e-4)


def _rays_m(pair: ScanPair) -> np.ndarray:
    return pair.lidar_in_radar_frame[:, :3] - pair.lidar_origin_m


def test_a_mix_of_which_nothing_would_be_seen_is_not_made():
    first, near = _wall(15.0, "far"), _wall(1.0, "near")
    assert mix(first, near, replace(VOLUME, minimum_m=(4.0, -20.0, -4.0))) is first
    assert mix(first, near, VOLUME) is not first


BOUNDS = {
    "quarter_turn, lidar_dropout, cutout, mixup": (-0.1, 1.1),
    "scale_max": (-0.1, 1.0),
    "radar_range_std_m, doppler_std_mps, power_point_std_db": (-1.0,),
    "radar_azimuth_std_deg": (-1.0, 181.0),
    "radar_elevation_std_deg": (-1.0, 91.0),
    "cutout_max_deg": (0.0, 361.0),
}


@pytest.mark.parametrize(("names", "values"), BOUNDS.items())
def test_a_setting_out_of_bounds_is_named(names, values, tmp_path):
    raw = tiny_config(tmp_path, "vae").model_dump(mode="json")
    for name, value in product(names.split(", "), values):
        raw["data"]["augment"] = {name: value}
        with pytest.raises(InputError, match=rf"data\.augment\.{name} = {value}: "):
            validate_config(raw, "test")
