import numpy as np
import pytest

from radarsparse.enhancer import Enhancer
from radarsparse.errors import InputError
from tests.conftest import tiny_pair


@pytest.fixture(scope="module")
def enhancer(edm_run):
    return Enhancer.load(edm_run)


def test_the_same_seed_gives_the_same_bits_and_another_one_others(enhancer):
    radar = tiny_pair(6).radar
    first, second, other = enhancer(radar, 1), enhancer(radar, 1), enhancer(radar, 2)
    assert np.array_equal(first.table, second.table)
    assert not np.array_equal(first.table, other.table)


def test_points_lie_in_the_box_and_intensities_in_their_range(enhancer):
    table = enhancer(tiny_pair(6).radar).table
    assert len(table) > 0
    assert (table[:, :3] >= np.array(enhancer.volume.minimum_m) - 1e-4).all()
    assert (table[:, :3] <= np.array(enhancer.volume.maximum_m) + 1e-4).all()
    assert ((table[:, 3] >= 0) & (table[:, 3] <= 255)).all()


def test_steps_and_order_of_points_are_handled(enhancer):
    radar = tiny_pair(6).radar
    assert not np.array_equal(enhancer(radar, steps=1).table, enhancer(radar, steps=3).table)
    shuffled = np.random.default_rng(0).permutation(radar)
    # Sums over the points of one voxel run in another order: float64 keeps them equal in float32.
    np.testing.assert_allclose(enhancer(radar).table, enhancer(shuffled).table, atol=1e-3)


def test_regression_takes_no_seed_and_is_repeatable(enhancer):
    radar = tiny_pair(6).radar
    assert np.array_equal(enhancer.regress(radar).table, enhancer.regress(radar).table)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((3, 4)), r"scan: has shape \[3, 4\], needed is \[n, 5\]"),
        (np.full((3, 5), np.nan), "scan: holds values that are not finite"),
        (np.full((3, 5), -50.0), "scan: none of 3 points lies in the box"),
        (np.zeros((0, 5)), "scan: none of 0 points lies in the box"),
    ],
)
def test_unusable_clouds_are_named(enhancer, points, message):
    with pytest.raises(InputError, match=message):
        enhancer(points, name="scan")
