import numpy as np

from radarsparse.config import AugmentSettings
from radarsparse.data.augment import augment
from radarsparse.geometry import Volume
from tests.conftest import tiny_pair

NOTHING = AugmentSettings(
    mirror=0.0, yaw_max_deg=0.0, shift_std_m=0.0, radar_dropout=0.0, power_std_db=0.0
)


VOLUME = Volume((-20.0, -20.0, -4.0), (20.0, 20.0, 4.0), 0.2, np.pi)


def _distances(pair):
    return np.linalg.norm(pair.radar[:, None, :3] - pair.lidar_in_radar_frame[None, :, :3], axis=2)


def test_radar_and_lidar_move_together():
    pair = tiny_pair(0)
    settings = NOTHING.model_copy(update={"mirror": 1.0, "yaw_max_deg": 40.0, "shift_std_m": 1.0})
    moved = augment(pair, settings, VOLUME, np.random.default_rng(0))
    # float32 coordinates of about 10 m, moved twice.
    np.testing.assert_allclose(_distances(moved), _distances(pair), atol=1e-4)
    assert np.abs(moved.radar[:, :3] - pair.radar[:, :3]).max() > 0.5
    np.testing.assert_array_equal(moved.radar[:, 3:], pair.radar[:, 3:])
    np.testing.assert_allclose(np.linalg.det(moved.T_radar_lidar), 1.0)


def test_a_mirror_changes_sides():
    pair = tiny_pair(0)
    settings = NOTHING.model_copy(update={"mirror": 1.0})
    mirrored = augment(pair, settings, VOLUME, np.random.default_rng(0))
    np.testing.assert_array_equal(mirrored.radar[:, 1], -pair.radar[:, 1])
    expected = pair.lidar_in_radar_frame * np.array([1, -1, 1, 1], np.float32)
    np.testing.assert_allclose(mirrored.lidar_in_radar_frame, expected, atol=1e-6)


def test_dropping_never_empties_the_radar():
    settings = NOTHING.model_copy(update={"radar_dropout": 1.0})
    counts = [
        len(augment(tiny_pair(0), settings, VOLUME, np.random.default_rng(seed)).radar)
        for seed in range(200)
    ]
    assert min(counts) > 0
    assert len(set(counts)) > 5


def test_a_change_that_would_leave_nothing_to_see_is_not_made():
    pair = tiny_pair(0)
    settings = NOTHING.model_copy(update={"shift_std_m": 15.0})
    for seed in range(30):
        moved = augment(pair, settings, VOLUME, np.random.default_rng(seed))
        assert VOLUME.contains(moved.radar).any()
        assert VOLUME.contains(moved.lidar_in_radar_frame).any()
    far = NOTHING.model_copy(update={"shift_std_m": 1e4})
    assert augment(pair, far, VOLUME, np.random.default_rng(0)) is pair


def test_nothing_asked_nothing_changed_and_equal_seeds_agree():
    pair = tiny_pair(0)
    same = augment(pair, NOTHING, VOLUME, np.random.default_rng(0))
    np.testing.assert_array_equal(same.radar, pair.radar)
    np.testing.assert_array_equal(same.T_radar_lidar, pair.T_radar_lidar)
    twice = [augment(pair, AugmentSettings(), VOLUME, np.random.default_rng(3)) for _ in range(2)]
    np.testing.assert_array_equal(twice[0].radar, twice[1].radar)
    np.testing.assert_array_equal(twice[0].T_radar_lidar, twice[1].T_radar_lidar)
