"""Pairing by stamps, on numbers that can be checked by eye."""

import numpy as np
import pytest

from radarsparse.datasets.pairing import find_nearest, ranges_around, slide_over, union_of_ranges

STAMPS_S = np.array([1.0, 1.5, 1.5, 4.0])


@pytest.mark.parametrize(
    ("moment_s", "stamp_s", "gap_s"),
    [
        (0.25, 1.0, 0.75),
        (1.0, 1.0, 0.0),
        (1.2, 1.0, 0.2),
        (1.25, 1.5, 0.25),
        (1.3, 1.5, 0.2),
        (1.5, 1.5, 0.0),
        (2.0, 1.5, 0.5),
        (5.0, 4.0, 1.0),
    ],
)
def test_the_nearest_stamp_and_how_near_it_is(
    moment_s: float, stamp_s: float, gap_s: float
) -> None:
    numbers, gaps_s = find_nearest(STAMPS_S, np.array([moment_s]))
    assert STAMPS_S[numbers[0]] == stamp_s
    assert gaps_s[0] == pytest.approx(gap_s)


def test_one_stamp_is_nearest_to_all() -> None:
    numbers, gaps_s = find_nearest(np.array([2.0]), np.array([0.5, 2.0, 3.0]))
    np.testing.assert_array_equal(numbers, [0, 0, 0])
    np.testing.assert_array_equal(gaps_s, [1.5, 0.0, 1.0])


def test_nearest_stamps_ascend_with_the_moments() -> None:
    random = np.random.default_rng(0)
    stamps_s, moments_s = (np.sort(random.integers(0, 90, 200) / 8.0) for _ in range(2))
    numbers, gaps_s = find_nearest(stamps_s, moments_s)
    assert (np.diff(numbers) >= 0).all()
    np.testing.assert_array_equal(gaps_s, np.abs(stamps_s[:, None] - moments_s).min(axis=0))


@pytest.mark.parametrize(
    ("moment_s", "expected"),
    [(0.0, [0, 0]), (0.5, [0, 1]), (1.5, [0, 3]), (2.0, [1, 3]), (3.0, [3, 3]), (9.0, [4, 4])],
)
def test_a_window_includes_its_ends(moment_s: float, expected: list[int]) -> None:
    assert ranges_around(STAMPS_S, np.array([moment_s]), 0.5, 0.5).tolist() == [expected]


def test_a_window_may_reach_further_back_than_ahead() -> None:
    assert ranges_around(STAMPS_S, np.array([3.0]), 2.0, 0.0).tolist() == [[0, 3]]


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([[0, 3], [1, 4]], [0, 1, 2, 3]),
        ([[0, 2], [2, 2], [5, 6]], [0, 1, 5]),
        ([[3, 3]], []),
    ],
)
def test_ranges_are_joined(ranges: list[list[int]], expected: list[int]) -> None:
    assert union_of_ranges(np.array(ranges)).tolist() == expected


def test_windows_take_what_they_need_and_no_more() -> None:
    ranges = np.array([[0, 3], [0, 3], [2, 4], [4, 4], [7, 9], [8, 10]])
    items = iter(union_of_ranges(ranges).tolist())
    windows = slide_over(items, ranges)
    assert next(windows) == (0, 1, 2)
    assert next(items) == 3
    items = iter(union_of_ranges(ranges).tolist())
    expected = [tuple(range(first, end)) for first, end in ranges]
    assert list(slide_over(items, ranges)) == expected
    assert list(items) == []
