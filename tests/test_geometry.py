import itertools
from dataclasses import replace

import numpy as np
import pytest

from radarsparse.geometry import (
    Volume,
    cartesian,
    observed_mask,
    pose,
    take_pose_apart,
    transform_points,
)

VOLUME = Volume((0.0, -3.2, -1.6), (6.4, 3.2, 1.6), 0.2, np.radians(50.0))


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_transform_and_back_keeps_points_and_further_columns(random):
    angle = 0.3
    T_to_from = np.eye(4)
    T_to_from[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    T_to_from[:3, 3] = [1.0, -2.0, 0.5]
    points = random.normal(size=(20, 5))
    moved = transform_points(T_to_from, points)
    expected = (T_to_from @ np.c_[points[:, :3], np.ones(20)].T).T[:, :3]
    np.testing.assert_allclose(moved[:, :3], expected, atol=1e-12)
    np.testing.assert_array_equal(moved[:, 3:], points[:, 3:])
    np.testing.assert_allclose(transform_points(np.linalg.inv(T_to_from), moved), points)


@pytest.mark.parametrize("pitch", [-0.5 * np.pi, -0.4, 0.0, 1.2, 0.5 * np.pi])
def test_a_pose_taken_apart_gives_the_pose_again(random, pitch):
    for yaw, roll in random.uniform(-np.pi, np.pi, (20, 2)):
        position_m = random.normal(size=3)
        angles_rad, found_m = take_pose_apart(pose((yaw, pitch, roll), position_m))
        np.testing.assert_allclose(
            pose(angles_rad, found_m), pose((yaw, pitch, roll), position_m), atol=1e-12
        )
        if abs(pitch) < 1.5:
            np.testing.assert_allclose(angles_rad, (yaw, pitch, roll), atol=1e-12)


def test_range_and_angles_lead_back_to_the_points(random):
    points = random.normal(size=(20, 3))
    range_m, azimuth = np.linalg.norm(points, axis=1), np.arctan2(points[:, 1], points[:, 0])
    elevation = np.arcsin(points[:, 2] / range_m)
    np.testing.assert_allclose(cartesian(range_m, azimuth, elevation), points, atol=1e-14)
    grid = cartesian(1.0, azimuth, elevation[:, None])
    assert grid.shape == (20, 20, 3)
    np.testing.assert_allclose(np.diagonal(grid).T, points / range_m[:, None], atol=1e-14)


def test_a_voxel_holds_its_centre():
    index = np.stack(np.meshgrid(*map(np.arange, VOLUME.shape), indexing="ij"), -1).reshape(-1, 3)
    assert np.array_equal(VOLUME.voxel_index(VOLUME.voxel_center(index)), index)
    assert VOLUME.shape == (32, 32, 16)


def test_contains_is_box_and_azimuth(random):
    points = random.uniform(-8, 8, size=(2000, 3))
    expected = [
        all(
            low <= c < high
            for low, c, high in zip(VOLUME.minimum_m, p, VOLUME.maximum_m, strict=True)
        )
        and abs(np.degrees(np.arctan2(p[1], p[0]))) <= 50
        for p in points
    ]
    assert VOLUME.contains(points).tolist() == expected
    assert 0 < sum(expected) < 2000


def test_lattice_holds_every_cell_with_a_visible_point(random):
    volume = replace(VOLUME, azimuth_max_rad=np.radians(20.0))
    cells = volume.lattice(8)
    points = random.uniform(volume.minimum_m, volume.maximum_m, size=(5000, 3))
    reached = volume.voxel_index(points[volume.contains(points)]) // 8
    assert {tuple(c) for c in reached} <= {tuple(c) for c in cells}
    assert cells.tolist() == sorted(cells.tolist())
    assert len(cells) < np.prod([side // 8 for side in VOLUME.shape])


def _sides(low, high):
    """Points all along the four sides of a rectangle, its corners among them."""
    share = np.linspace(0.0, 1.0, 4001)
    for axis, end in itertools.product((0, 1), (low, high)):
        points = low + share[:, None] * (high - low)
        points[:, axis] = end[axis]
        yield points


@pytest.mark.parametrize("right_m", [-3.2, -4.0, 0.9])  # straight ahead: a side, a middle, outside
@pytest.mark.parametrize("azimuth_deg", [3.0, 20.0, 50.0, 90.0, 100.0, 180.0])
def test_lattice_is_the_cells_with_a_visible_point_on_their_sides_or_the_sensor_within(
    azimuth_deg, right_m
):
    low, high = np.array([-1.7, right_m, -1.6]), np.array([6.3, right_m + 6.4, 1.6])
    volume = Volume(tuple(low), tuple(high), 0.2, np.radians(azimuth_deg))
    expected = []
    for x, y in itertools.product(range(5), range(4)):
        near = low[:2] + np.array([x, y]) * 1.6
        angles_deg = [np.degrees(np.arctan2(p[:, 1], p[:, 0])) for p in _sides(near, near + 1.6)]
        sensor_within = (near <= 0).all() and (near + 1.6 >= 0).all()
        if sensor_within or np.abs(angles_deg).min() <= azimuth_deg:
            expected += [[x, y, 0], [x, y, 1]]
    assert volume.lattice(8).tolist() == expected


def _crosses(origin, end, low, high) -> bool:
    """Slab test: the segment shares more than a point with the box."""
    enter, leave = 0.0, 1.0
    for start, step, a, b in zip(origin, end - origin, low, high, strict=True):
        if step == 0:
            if not a <= start < b:
                return False
            continue
        near, far = sorted(((a - start) / step, (b - start) / step))
        enter, leave = max(enter, near), min(leave, far)
    return enter + 1e-12 < leave


@pytest.mark.parametrize("origin", [(-0.3, 0.1, 0.25), (2.1, 0.3, 0.1), (-3.0, -4.0, 2.0)])
def test_observed_cells_are_those_that_a_ray_crosses(origin, random):
    origin = np.array(origin)
    points = random.uniform((-1, -5, -3), (9, 5, 3), size=(25, 3))
    points[:3] = origin + np.diag([5.0, -5.0, -4.0])  # parallel to an axis each
    mask = observed_mask(VOLUME, 8, origin, points)
    assert mask.shape == (4, 4, 2)
    for cell in itertools.product(range(4), range(4), range(2)):
        low = np.array(cell) * 1.6 + VOLUME.minimum_m
        crossed = any(_crosses(origin, end, low, low + 1.6) for end in points)
        assert mask[cell] == crossed, cell
    steps = np.linspace(0.0, 1.0, 2000)[:, None, None]
    walked = VOLUME.voxel_index((origin + steps * (points - origin)).reshape(-1, 3)) // 8
    walked = walked[np.logical_and(walked >= 0, walked < mask.shape).all(axis=1)]
    assert len(walked)
    assert mask[tuple(walked.T)].all()


def test_nothing_is_observed_beyond_a_return():
    mask = observed_mask(VOLUME, 8, np.array([0.0, 0.1, 0.1]), np.array([[2.0, 0.1, 0.1]]))
    assert np.argwhere(mask).tolist() == [[0, 2, 1], [1, 2, 1]]


def test_a_return_on_a_face_marks_the_cell_that_holds_it():
    volume = Volume((0.0, 0.0, 0.0), (4.0, 2.0, 2.0), 0.25, np.pi)
    mask = observed_mask(volume, 8, np.array([0.5, 0.5, 0.5]), np.array([[2.0, 0.5, 0.5]]))
    assert np.argwhere(mask).tolist() == [[0, 0, 0], [1, 0, 0]]


def test_a_ray_that_ends_on_the_roof_of_the_box_enters_nothing():
    # In cells from (-2, 2, 3) to (3, 2, 2), the roof; rounding puts the return just below it.
    mask = observed_mask(VOLUME, 8, np.array([-3.2, 0.0, 3.2]), np.array([[3 * 1.6, 0.0, 1.6]]))
    assert np.argwhere(mask).tolist() == []


def test_rays_are_marked_alike_alone_and_among_many(random):
    origin, points = np.array([-0.3, 0.1, 0.25]), random.uniform(-9, 9, size=(5000, 3))
    points[::2] = origin + 0.1 * (points[::2] - origin)
    alone = [observed_mask(VOLUME, 8, origin, points[[row]]) for row in range(0, 5000, 25)]
    among = observed_mask(VOLUME, 8, origin, points[::25])
    assert np.array_equal(np.any(alone, axis=0), among)
    parts = [observed_mask(VOLUME, 1, origin, points[row::50]) for row in range(50)]
    whole = observed_mask(VOLUME, 1, origin, points)
    assert np.array_equal(np.any(parts, axis=0), whole)
    assert 0.1 < whole.mean() < 0.9


def test_a_lattice_is_shared_and_can_not_be_written_to():
    cells = VOLUME.lattice(8)
    assert replace(VOLUME).lattice(8) is cells
    with pytest.raises(ValueError, match="read-only"):
        cells[0] = 0
