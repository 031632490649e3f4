"""What the data sets share, on values that can be checked by eye."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from radarsparse.datasets.native import (
    check_bounds,
    clipped_lidar,
    fingerprint,
    nearest_stamps,
    need_folder,
    parse_numbers,
    split_by_group,
    unique_rows,
    usable_lidar,
)
from radarsparse.errors import InputError

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
    numbers, gaps_s = nearest_stamps(STAMPS_S, np.array([moment_s]))
    assert STAMPS_S[numbers[0]] == stamp_s
    assert gaps_s[0] == pytest.approx(gap_s)


def test_one_stamp_is_nearest_to_all() -> None:
    numbers, gaps_s = nearest_stamps(np.array([2.0]), np.array([0.5, 2.0, 3.0]))
    np.testing.assert_array_equal(numbers, [0, 0, 0])
    np.testing.assert_array_equal(gaps_s, [1.5, 0.0, 1.0])


def test_nearest_stamps_ascend_with_the_moments() -> None:
    random = np.random.default_rng(0)
    stamps_s, moments_s = (np.sort(random.integers(0, 90, 200) / 8.0) for _ in range(2))
    numbers, gaps_s = nearest_stamps(stamps_s, moments_s)
    assert (np.diff(numbers) >= 0).all()
    np.testing.assert_array_equal(gaps_s, np.abs(stamps_s[:, None] - moments_s).min(axis=0))


def test_a_line_of_numbers_is_read() -> None:
    assert parse_numbers(" 1 -2.5\t3e2\n", 3, "a") == [1.0, -2.5, 300.0]


@pytest.mark.parametrize("text", ["", "1 2", "1 2 3 4", "1 2 x", "1 2 nan", "1 2 1e400"])
def test_other_lines_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"^a: '{text}'; must be 3 finite numbers$"):
        parse_numbers(text, 3, "a")


def test_doubled_rows_are_kept_once_in_their_order() -> None:
    one, two, three = [5.0, 1.0], [2.0, 1.0], [2.0, 3.0]
    rows = np.array([one, one, three, two, three, one], dtype=np.float32)
    np.testing.assert_array_equal(unique_rows(rows), [one, three, two])
    np.testing.assert_array_equal(unique_rows(rows[:, ::-1]), [one[::-1], three[::-1], two[::-1]])


def test_bounds_are_inclusive_and_for_finite_values() -> None:
    for values in ([0.0, 255.0], [np.nan, 1.0, np.inf], []):
        check_bounds(np.array(values), "a", 0.0, 255.0)
    for values in ([0.0, 256.0], [-1.0, 2.0, np.nan]):
        with pytest.raises(InputError, match=r"^a: lies in .* must lie in 0 \.\. 255"):
            check_bounds(np.array(values), "a", 0.0, 255.0)


def test_bounds_may_be_beyond_the_values_type() -> None:
    check_bounds(np.array([1.0], dtype=np.float32), "a", -1e300, 1e300)


@pytest.mark.parametrize(("usable", "most"), [(usable_lidar, 255.0), (clipped_lidar, 60000.0)])
def test_points_that_no_lidar_measured_are_dropped_with_a_count(
    caplog: pytest.LogCaptureFixture, usable: Callable[..., np.ndarray], most: float
) -> None:
    caplog.set_level(logging.INFO, "radarsparse")
    rows = np.array([[5, 0, 0, 0.0], [6, 0, 0, most], [0, 0, 0, 9], [3.4e38, 0, 0, 9]])
    rows = np.vstack([rows, [[np.nan, 0, 0, 9], [7, 0, 0, np.inf]]])
    np.testing.assert_array_equal(usable(rows, "a"), [[5, 0, 0, 0], [6, 0, 0, 255]])
    assert "a: dropped 1 of 6 points: x 3.4e+38 beyond -1000 .. 1000" in caplog.text
    assert "a: dropped 1 of 6 points: no return, at the origin" in caplog.text
    assert "a: dropped 2 of 6 points: NaN or infinity" in caplog.text


def test_an_intensity_of_another_data_set_is_refused() -> None:
    with pytest.raises(InputError, match=r"^a: intensity: lies in 0 \.\. 256; must lie in 0"):
        usable_lidar(np.array([[5, 0, 0, 0.0], [6, 0, 0, 256]]), "a")


def test_groups_are_split_whole() -> None:
    frames = {"a": (0, 3), "b": (4, 4), "c": (9, 12), "d": (20, 30)}
    assert split_by_group(frames, val=("c",), test=("b", "z")) == {
        "train": [(0, 3), (20, 30)],
        "val": [(9, 12)],
        "test": [(4, 4)],
    }


def test_the_fingerprint_tells_names_sizes_and_the_salt(tmp_path: Path) -> None:
    paths = [tmp_path / "a", tmp_path / "b"]
    seen = {fingerprint(tmp_path, paths), fingerprint(tmp_path, paths, b"salt")}
    for name, content in (("a", b"1"), ("a", b"12"), ("b", b"1")):
        (tmp_path / name).write_bytes(content)
        seen.add(fingerprint(tmp_path, paths))
    assert len(seen) == 5
    moved = tmp_path.rename(tmp_path.with_name("elsewhere"))
    assert fingerprint(moved, [moved / "a", moved / "b"]) in seen


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    need_folder(tmp_path, "Set")
    with pytest.raises(InputError, match="nowhere: no such folder; the layout of Set has it"):
        need_folder(tmp_path / "nowhere", "Set")
