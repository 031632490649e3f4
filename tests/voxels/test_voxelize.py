import math

import numpy as np
import pytest

from radarsparse.geometry import Volume
from radarsparse.voxels.power import LEVELS, REFERENCE_DB
from radarsparse.voxels.voxelize import voxelize_lidar, voxelize_radar

VOLUME = Volume((0.0, -3.2, -1.6), (6.4, 3.2, 1.6), 0.2, np.radians(60.0))


def test_lidar_features_of_three_points_by_hand():
    points = np.array(
        [[1.05, 0.15, 0.1, 51.0], [1.15, 0.15, 0.1, 153.0], [3.1, 0.1, 0.1, 255.0]], np.float32
    )
    voxels = voxelize_lidar(points, VOLUME)
    assert voxels.index.tolist() == [[5, 16, 8], [15, 16, 8]]
    expected = [[0.0, 0.5, 0.0, 0.4, math.log(2)], [0.0, 0.0, 0.0, 1.0, 0.0]]
    # Half a voxel is 0.1 m; the points are float32, so offsets err by 1e-7 / 0.1.
    np.testing.assert_allclose(voxels.feats, expected, atol=1e-5)


def test_radar_features_of_one_voxel_by_hand():
    points = np.array([[3.1, 0.1, 0.1, -5.0, 60.0], [3.1, 0.1, 0.1, 15.0, 80.0]], np.float32)
    # Of two points one has a quarter of the ranks below it, the other three quarters.
    powers = [(REFERENCE_DB[LEVELS.index(level)] - 60.0) / 10.0 for level in (0.25, 0.75)]
    voxels = voxelize_radar(points, VOLUME)
    range_m = math.sqrt(3.1**2 + 2 * 0.1**2)
    polar = [range_m / math.sqrt(6.4**2 + 3.2**2 + 1.6**2)]
    polar += [math.atan2(0.1, 3.1) / math.radians(60), math.asin(0.1 / range_m)]
    expected = [math.log(2), 0, 0, 0, 1, 2, np.mean(powers), powers[1], *polar]
    np.testing.assert_allclose(voxels.feats, [expected], atol=1e-5)


def test_a_small_doppler_spread_about_a_large_mean_is_kept():
    points = np.array([[3.1, 0.1, 0.1, 64.0, 60.0], [3.1, 0.1, 0.1, 64.03125, 60.0]], np.float32)
    spread = voxelize_radar(points, VOLUME).feats[0, 5]
    # Half the difference of 1/32 m/s, in units of 5 m/s; float64 squares of 13 err by 4e-14.
    np.testing.assert_allclose(spread, 1 / 64 / 5, rtol=1e-5)


@pytest.mark.parametrize(("voxelize", "columns"), [(voxelize_lidar, 4), (voxelize_radar, 5)])
def test_voxels_are_those_of_a_loop_and_outside_points_are_left_out(voxelize, columns):
    random = np.random.default_rng(0)
    points = random.uniform((-2, -4, -2), (8, 4, 2), size=(3000, 3))
    points = np.c_[points, random.uniform(0, 50, (3000, columns - 3))].astype(np.float32)
    groups: dict[tuple[int, ...], list[np.ndarray]] = {}
    for point in points[VOLUME.contains(points)].astype(np.float64):
        cell = tuple(np.floor((point[:3] - VOLUME.minimum_m) / 0.2).astype(int).tolist())
        groups.setdefault(cell, []).append(point)
    voxels = voxelize(points, VOLUME)
    assert [tuple(index) for index in voxels.index.tolist()] == sorted(groups)
    first = 0 if columns == 4 else 1
    for index, feats in zip(voxels.index, voxels.feats, strict=True):
        mean = np.mean(groups[tuple(index.tolist())], axis=0)[:3]
        offset = (mean - VOLUME.voxel_center(index[None])[0]) / 0.1
        np.testing.assert_allclose(feats[first : first + 3], offset, atol=1e-4)


def test_a_cloud_outside_gives_no_voxels():
    assert voxelize_lidar(np.full((4, 4), 99.0, np.float32), VOLUME).feats.shape == (0, 5)
    assert voxelize_radar(np.full((4, 5), 99.0, np.float32), VOLUME).feats.shape == (0, 11)
