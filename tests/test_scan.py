import logging
from pathlib import Path

import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.geometry import transform_points
from radarsparse.scan import (
    BOUNDS,
    LIDAR_COLUMNS,
    RADAR_COLUMNS,
    ImplausibleError,
    are_plausible,
    merge_sweeps,
    usable_points,
)

ASTYX = Path(__file__).resolve().parents[2] / "shared/data/astyx"
POINT = np.array([10.0, -5.0, 1.0, -3.0, 50.0])


def cloud(count: int, **changed: float) -> np.ndarray:
    """Radar points of which the first has other values."""
    points = np.tile(POINT, (count, 1))
    for name, value in changed.items():
        points[0, RADAR_COLUMNS.index(name)] = value
    return points


def test_a_post_seen_while_driving_by_stays_where_it_is():
    random = np.random.default_rng(0)
    post = np.array([[12.0, 3.0, 0.5, -2.0, 60.0]], dtype=np.float32)
    angle = 0.1
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turned[:3, 3] = random.normal(size=3)
    earlier = transform_points(np.linalg.inv(turned), post)
    merged = merge_sweeps([post, earlier], [np.eye(4), turned])
    assert merged.dtype == np.float32
    np.testing.assert_allclose(merged, np.repeat(post, 2, axis=0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", RADAR_COLUMNS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_value_beyond_its_bound_is_dropped_and_said(name, dtype, caplog):
    low, high = BOUNDS[name]
    for value in (low, high):
        points = cloud(3, **{name: value}).astype(dtype)
        np.testing.assert_array_equal(usable_points(points, RADAR_COLUMNS, "a"), points)
    assert caplog.messages == []
    for value in (low - 0.1, high + 0.1, -3.4e38, 3.4e38):
        caplog.clear()
        points = cloud(3, **{name: value}).astype(dtype)
        np.testing.assert_array_equal(usable_points(points, RADAR_COLUMNS, "a"), points[1:])
        column = RADAR_COLUMNS.index(name)
        assert caplog.messages == [
            f"a: dropped 1 of 3 points: {name} {points[0, column]:g} beyond {low:g} .. {high:g}"
        ]


def test_a_cloud_that_is_mostly_beyond_a_bound_is_refused():
    points = cloud(4)
    points[:3, 3] = 1e4, 2e4, 3e4
    message = r"^a: doppler_mps 10000 beyond -200 \.\. 200 in 3 of 4 points$"
    for take in (are_plausible, usable_points):
        with pytest.raises(InputError, match=message):
            take(points, RADAR_COLUMNS, "a")


def test_half_of_the_points_may_lie_beyond(caplog):
    points = cloud(4)
    points[:2, 4] = 1e6
    np.testing.assert_array_equal(usable_points(points, RADAR_COLUMNS, "a"), points[2:])
    assert len(caplog.messages) == 1


def test_points_that_are_not_finite_stay_until_they_are_to_be_used(caplog):
    points = cloud(5)
    points[1, 0], points[2, 3], points[3, 4] = np.nan, np.inf, -np.inf
    assert are_plausible(points, RADAR_COLUMNS, "a").all()
    assert caplog.messages == []
    np.testing.assert_array_equal(usable_points(points, RADAR_COLUMNS, "a"), points[[0, 4]])
    assert caplog.messages == ["a: dropped 3 of 5 points: NaN or infinity"]


def test_a_value_beyond_its_bound_is_found_beside_one_that_is_not_finite(caplog):
    points = cloud(5)
    points[2, 3:] = np.inf, 1e6
    np.testing.assert_array_equal(usable_points(points, RADAR_COLUMNS, "a"), points[[0, 1, 3, 4]])
    assert caplog.messages == ["a: dropped 1 of 5 points: power_db 1e+06 beyond -200 .. 200"]


@pytest.mark.parametrize("nothing", [np.nan, np.inf, 0.0])
def test_places_without_a_measurement_do_not_make_a_cloud_of_wrong_units_pass(nothing):
    points = cloud(100)
    points[10:] = nothing
    points[:7, 4] = 1e6
    with pytest.raises(ImplausibleError, match=r"power_db 1e\+06 beyond .* in 7 of 10 points$"):
        usable_points(points, RADAR_COLUMNS, "a")
    points[:3, 4] = 1.0
    assert len(usable_points(points, RADAR_COLUMNS, "a")) == 6


def test_pulses_without_a_return_are_dropped_and_said(caplog):
    points = np.tile([3.0, 4.0, 0.0, 9.0], (5, 1)).astype(np.float32)
    points[1, :3], points[2, :3], points[3, :3] = 0, (0, 0.06, -0.06), (0, 0, 0.11)
    kept = are_plausible(points, LIDAR_COLUMNS, "a")
    np.testing.assert_array_equal(kept, [True, False, False, True, True])
    assert caplog.messages == ["a: dropped 2 of 5 points: no return, at the origin"]
    np.testing.assert_array_equal(are_plausible(points[:, :3], LIDAR_COLUMNS[:3], "a"), kept)
    assert usable_points(points, LIDAR_COLUMNS, "a").dtype == np.float32


@pytest.mark.parametrize("points", [np.zeros((0, 5)), np.zeros((3, 5)), np.full((2, 5), np.nan)])
def test_a_cloud_without_a_usable_point_is_refused(points):
    with pytest.raises(InputError, match=rf"^a: no usable point of {len(points)}; at least 1"):
        usable_points(points, RADAR_COLUMNS, "a")


def test_any_real_type_is_taken():
    points = cloud(3).astype(np.int16)
    np.testing.assert_array_equal(usable_points(points, RADAR_COLUMNS, "a"), points)
    huge = np.full((3, 4), np.iinfo(np.int64).max)
    with pytest.raises(InputError, match=r"^a: x 9\.22337e\+18 beyond -1000 \.\. 1000 in 3 of 3"):
        usable_points(huge, LIDAR_COLUMNS, "a")
    half = np.full((2, 4), 5, np.float16)
    np.testing.assert_array_equal(usable_points(half, LIDAR_COLUMNS, "a"), half)


def test_bounds_of_intensity_serve_16_bits():
    points = np.array([[1.0, 0, 0, 65535], [1, 0, 0, -1], [1, 0, 0, 65536], [1, 0, 0, -2]])
    np.testing.assert_array_equal(usable_points(points, LIDAR_COLUMNS, "a"), points[:2])


@pytest.mark.data
@pytest.mark.skipif(not ASTYX.is_dir(), reason=f"the Astyx frames are not at {ASTYX}")
def test_nothing_that_real_sensors_measured_is_dropped(caplog):
    caplog.set_level(logging.INFO)
    for path in sorted(ASTYX.glob("frames/*.npz"))[::20]:
        with np.load(path) as arrays:
            for name, columns in (("radar", RADAR_COLUMNS), ("lidar", LIDAR_COLUMNS)):
                assert are_plausible(arrays[name], columns, name).all()
    assert caplog.messages == []


def test_points_of_which_most_are_wrong_each_in_another_way_are_refused() -> None:
    points = np.ones((5, 5))
    points[0, 3] = points[1, 3] = 1e4
    points[2, 4] = 1e5
    with pytest.raises(
        InputError, match=r"a: doppler_mps 10000 beyond -200 .. 200 in 2 of 5 points"
    ):
        usable_points(points, RADAR_COLUMNS, "a")
