"""Power by its place among the others, beside a count by hand of who is smaller."""

import numpy as np
import pytest
from numpy.typing import NDArray

from radarsparse.simulator.pairs import simulate_pair
from radarsparse.voxels.power import LEVELS, REFERENCE_DB, comparable_power


def by_counting(power: list[float]) -> list[float]:
    """Each value's level by counting, and between which levels of the reference it lies."""
    found = []
    for value in power:
        below = sum(other < value for other in power)
        equal = sum(other == value for other in power)
        level = (below + 0.5 * equal) / len(power)
        for number in range(len(LEVELS) - 1):
            low, high = LEVELS[number], LEVELS[number + 1]
            if low <= level <= high:
                part = (level - low) / (high - low)
                step = REFERENCE_DB[number + 1] - REFERENCE_DB[number]
                found.append(REFERENCE_DB[number] + part * step)
                break
    return found


def clouds() -> dict[str, NDArray[np.float64]]:
    random = np.random.default_rng(0)
    snr = random.normal(12.0, 3.0, 400)
    return {
        "fine": snr,
        "steps of 1 dB": np.round(snr),
        "twenty": np.round(snr[:20] * 2) / 2,
        "two": snr[:2],
        "one": snr[:1],
        "cross-sections": random.normal(0.0, 10.0, 300) - 20.0,
        "far outlier": np.append(snr, 1e4),
    }


@pytest.mark.parametrize("name", clouds())
def test_values_get_the_level_that_counting_gives(name: str) -> None:
    power = clouds()[name]
    np.testing.assert_allclose(comparable_power(power), by_counting(power.tolist()), atol=1e-9)


@pytest.mark.parametrize("name", clouds())
def test_order_stays_and_the_scale_and_the_unit_do_not_matter(name: str) -> None:
    power = clouds()[name]
    found = comparable_power(power)
    order = np.argsort(power, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert len(np.unique(found)) == len(np.unique(power))
    assert REFERENCE_DB[0] <= found.min() <= found.max() <= REFERENCE_DB[-1]
    for other in (0.3 * (power - 50.0), np.sinh(power / 30.0)):
        np.testing.assert_array_equal(comparable_power(other), found)


def test_a_table_by_hand() -> None:
    # Levels: two at 1/4, one at 5/8, one at 7/8.
    expected = [47.0, 47.0, 51.0, 53.0 + 5.5 * 0.125 / 0.15]
    np.testing.assert_allclose(comparable_power(np.array([3.0, 3.0, 5.0, 40.0])), expected)
    np.testing.assert_array_equal(comparable_power(np.full(7, -3.0)), np.full(7, 49.0))
    assert comparable_power(np.zeros(0)).shape == (0,)


def test_the_reference_is_that_of_the_simulated_radar() -> None:
    frames = [simulate_pair(11, index).radar[:, 4] for index in range(20)]
    found = np.mean([np.quantile(power, LEVELS) for power in frames], axis=0)
    # The largest values differ most from cloud to cloud.
    np.testing.assert_allclose(found[:-2], REFERENCE_DB[:-2], atol=1.5)
    for power in frames:
        assert np.abs(comparable_power(power) - power).mean() < 1.0
