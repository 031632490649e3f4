import numpy as np
import pytest

from radarsparse.config import VolumeSettings
from radarsparse.geometry import Volume
from radarsparse.voxels.power import comparable_power
from radarsparse.voxels.voxelize import radar_footprint

VOLUME = Volume.from_settings(VolumeSettings())
CELLS = VOLUME.lattice(8)


def _point(*xyz_m: float, power_db: float = 60.0) -> np.ndarray:
    return np.array([[*xyz_m, 0.0, power_db]], dtype=np.float32)


def _expected_points(points: np.ndarray) -> np.ndarray:
    return np.expm1(radar_footprint(points, VOLUME)[:, 0].astype(np.float64))


def test_no_point_is_lost_or_won_inside_the_volume():
    random = np.random.default_rng(0)
    xyz = random.uniform([8, -4, -0.5], [40, 4, 0.5], (50, 3))
    points = np.c_[xyz, np.zeros(50), random.uniform(50, 80, 50)].astype(np.float32)
    assert _expected_points(points).sum() == pytest.approx(50.0, rel=1e-5)
    power = radar_footprint(points, VOLUME)[:, 1].sum()
    expected = (comparable_power(points[:, 4]) - 60.0).sum() / 10.0
    assert power == pytest.approx(expected, rel=1e-4)


def test_a_near_point_stays_in_its_cell_and_a_far_one_is_blurred():
    near, far = _point(8.8, 0.8, 0.8), _point(48.8, 0.8, 0.8)
    assert (_expected_points(near) > 0).sum() == 1
    assert (_expected_points(far) > 0).sum() > 1


@pytest.mark.parametrize("range_m", [10.0, 45.0])
def test_the_blur_has_the_spread_of_the_angles(range_m: float):
    """Spread across of what cells hold, against points that were turned by random angles."""
    random = np.random.default_rng(1)
    offsets = random.uniform(-0.8, 0.8, 4000)
    points = np.c_[
        np.full(4000, range_m), offsets, np.full(4000, 0.8), np.zeros(4000), np.full(4000, 60.0)
    ].astype(np.float32)
    shares = _expected_points(points)
    y_m = VOLUME.voxel_center(CELLS, 8)[:, 1]
    spread = np.average(y_m**2, weights=shares)
    azimuth = np.arctan2(offsets, range_m) + np.radians(1.1) * random.standard_normal(4000)
    turned_m = np.hypot(range_m, offsets) * np.sin(azimuth)
    expected = ((np.floor(turned_m / 1.6) * 1.6 + 0.8) ** 2).mean()
    # Three nodes 1.5 m apart on cells of 1.6 m spread by up to a fifth more than all angles do.
    assert spread == pytest.approx(expected, rel=0.25)
    assert (spread > 1.0) == (range_m > 20.0)


def test_points_outside_the_view_leave_no_trace():
    assert (radar_footprint(_point(-5.0, 0.0, 0.0), VOLUME) == 0).all()
    assert radar_footprint(np.zeros((0, 5), np.float32), VOLUME).shape == (len(CELLS), 2)
