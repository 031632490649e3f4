import numpy as np
import pytest

from radarsparse.config import LidarSettings
from radarsparse.geometry import Volume, transform_points
from radarsparse.voxels.returns import find_returns
from radarsparse.voxels.scene import Surroundings

VOLUME = Volume((0.0, -12.8, -3.2), (25.6, 12.8, 3.2), 0.2, np.radians(55.0))
LIDAR = LidarSettings(
    rings_deg=(-9.0, -3.0, -1.0, 0.5, 4.0),
    azimuth_step_deg=0.8,
    position_m=(0.3, -0.2, 0.1),
    yaw_pitch_roll_deg=(3.0, -2.0, 1.0),
)
AROUND = Surroundings(VOLUME, LIDAR)
STEP_RAD = np.radians(0.8)


def _voxels(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    points = random.uniform((6.0, -4.0, -1.5), (20.0, 4.0, 1.5), (count, 3))
    return points.astype(np.float32), random.uniform(0.05, 1.0, count).astype(np.float32)


def _in_lidar_frame(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Horizontal range, azimuth and elevation."""
    x, y, z = transform_points(np.linalg.inv(AROUND.T_radar_lidar), points.astype(np.float64)).T
    return np.hypot(x, y), np.arctan2(y, x), np.arctan2(z, np.hypot(x, y))


def _expected(points: np.ndarray, probability: np.ndarray, share: float) -> set[tuple]:
    """Number of voxel, ring and column of each return, one voxel and beam after the other."""
    half, hits = 0.1, []
    for voxel, (range_m, azimuth, elevation) in enumerate(
        zip(*_in_lidar_frame(points), strict=True)
    ):
        up_m = range_m * np.tan(elevation)
        for ring, ring_deg in enumerate(LIDAR.rings_deg):
            if abs(range_m * np.tan(np.radians(ring_deg)) - up_m) > half:
                continue
            nearest = round(azimuth / STEP_RAD)
            for column in range(-112, 113):
                aside_m = abs(column * STEP_RAD - azimuth) * range_m
                if aside_m <= half or column == nearest:
                    hits.append((voxel, ring, column))
    best: dict[tuple, int] = {}
    for voxel, *beam in hits:
        other = best.setdefault(tuple(beam), voxel)
        if probability[voxel] > probability[other]:
            best[tuple(beam)] = voxel
    return {
        (voxel, *beam)
        for voxel, *beam in hits
        if (found := best[tuple(beam)]) == voxel or probability[voxel] > share * probability[found]
    }


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_returns_are_those_of_every_voxel_and_beam_in_turn(share):
    points, probability = _voxels()
    found = find_returns(points, probability, AROUND, share)
    range_m, azimuth, elevation = _in_lidar_frame(found.points)
    column = np.rint(azimuth / STEP_RAD).astype(int)
    rings_rad = np.radians(LIDAR.rings_deg)
    ring = np.abs(elevation[:, None] - rings_rad).argmin(axis=1)
    # float32 metres: 1e-6 of 20 m.
    np.testing.assert_allclose(azimuth, column * STEP_RAD, atol=1e-5)
    np.testing.assert_allclose(elevation, rings_rad[ring], atol=1e-5)
    np.testing.assert_allclose(range_m, _in_lidar_frame(points)[0][found.source], atol=1e-5)
    hits = set(zip(found.source.tolist(), ring.tolist(), column.tolist(), strict=True))
    assert len(hits) == len(found.points) > 50
    assert hits == _expected(points, probability, share)


def test_a_beam_returns_once_where_only_its_likeliest_voxel_counts():
    points = np.array([[5.0, 0.0, 0.0], [10.0, 0.0, 0.0], [15.0, 0.0, 0.0]], dtype=np.float32)
    around = Surroundings(VOLUME, LidarSettings(rings_deg=(0.0,)))
    said = np.array([0.3, 0.6, 0.5])
    returns = {share: find_returns(points, said, around, share) for share in (0.4, 0.8, 1.0)}
    ahead = {share: found.source[found.points[:, 1] == 0.0] for share, found in returns.items()}
    assert {share: sorted(source.tolist()) for share, source in ahead.items()} == {
        0.4: [0, 1, 2],
        0.8: [1, 2],
        1.0: [1],
    }


def test_of_voxels_that_are_as_likely_the_nearest_returns():
    points = np.array([[15.0, 0.0, 0.0], [5.0, 0.0, 0.0], [10.0, 0.0, 0.0]], dtype=np.float32)
    around = Surroundings(VOLUME, LidarSettings(rings_deg=(0.0,)))
    found = find_returns(points, np.ones(3), around, 1.0)
    assert found.source[found.points[:, 1] == 0.0].tolist() == [1]


def test_without_rings_every_voxel_keeps_its_point():
    points, probability = _voxels()
    found = find_returns(points, probability, Surroundings(VOLUME), 1.0)
    np.testing.assert_array_equal(found.points, points)
    np.testing.assert_array_equal(found.source, np.arange(len(points)))


def test_what_no_beam_meets_does_not_return_and_nothing_leaves_the_volume():
    above = np.array([[10.0, 0.0, 3.0]], dtype=np.float32)
    assert len(find_returns(above, np.ones(1), AROUND, 0.5).points) == 0
    nothing = find_returns(above[:0], np.ones(0), AROUND, 0.5)
    assert nothing.points.shape == (0, 3)
    edge = np.array([[25.59, y, 0.3] for y in np.linspace(-12.7, 12.7, 400)], dtype=np.float32)
    found = find_returns(edge, np.ones(400), AROUND, 0.0).points
    assert len(found) > 20
    assert VOLUME.contains(found).all()
