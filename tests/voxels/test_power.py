"""Powers on any scale, against ranks that are counted in a loop."""

import numpy as np
import pytest

from radarsparse.voxels.power import LEVELS, REFERENCE_DB, comparable_power

MEDIAN_DB = REFERENCE_DB[LEVELS.index(0.5)]


def _slowly(power: list[float]) -> list[float]:
    found = []
    for own in power:
        below = sum(other < own for other in power)
        equal = sum(other == own for other in power)
        found.append(np.interp((below + 0.5 * equal) / len(power), LEVELS, REFERENCE_DB))
    return found


@pytest.mark.parametrize("count", [1, 2, 20, 700])
def test_ranks_are_those_of_a_plain_loop(count: int) -> None:
    # Steps of half a decibel make many equal ones.
    power = np.round(np.random.default_rng(count).normal(50.0, 8.0, count) * 2) / 2
    np.testing.assert_allclose(comparable_power(power), _slowly(power.tolist()), rtol=1e-12)


def test_other_scales_of_the_same_cloud_are_alike() -> None:
    power_db = np.random.default_rng(0).exponential(7.0, 300) + 45.0
    for other in (0.3 * power_db - 20.0, 10.0 ** (power_db / 10.0), power_db + 30.0):
        np.testing.assert_allclose(comparable_power(other), comparable_power(power_db), rtol=1e-12)


def test_a_cloud_of_the_reference_keeps_its_values() -> None:
    level = (np.arange(4000) + 0.5) / 4000
    power_db = np.interp(level, LEVELS, REFERENCE_DB)
    np.testing.assert_allclose(comparable_power(power_db), power_db, atol=1e-9)


def test_power_that_says_nothing_is_the_median() -> None:
    assert comparable_power(np.full(9, -3.0)).tolist() == [MEDIAN_DB] * 9
    assert comparable_power(np.zeros(0)).shape == (0,)
