import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radarsparse.errors import InputError
from radarsparse.metrics import evaluate, format_table, summarize, write_json
from radarsparse.metrics.summary import bootstrap_intervals, count_left_out, write_csv

NAN = math.nan


def test_means_pass_over_nan() -> None:
    summary = summarize([{"a": 1.0, "b": NAN, "c": NAN}, {"a": 4.0, "b": 3.0, "c": NAN}])
    assert summary["a"] == 2.5
    assert summary["b"] == 3.0
    assert math.isnan(summary["c"])


def test_a_key_that_a_frame_lacks_is_passed_over() -> None:
    assert summarize([{"a": 1.0}, {"b": 2.0, "a": 2.0}]) == {"a": 1.5, "b": 2.0}


def test_means_do_not_lose_small_values() -> None:
    frames = [{"a": 1e16}, {"a": 1.0}, {"a": -1e16}, {"a": 1.0}]
    assert summarize(frames) == {"a": 0.5}


def test_no_frames_are_refused() -> None:
    with pytest.raises(InputError, match="0 frames to summarize, at least 1 expected"):
        summarize([])


def test_table_by_hand() -> None:
    row = {
        "chamfer_sum_m": 3.9152,
        "hausdorff95_m": 10.0,
        "fscore@0.2m": 0.0704,
        "fscore@0.5m": 0.2396,
        "fscore@1.0m": 0.5,
        "iou@0.2m": 0.01,
        "feature_mae": NAN,
        "density_ratio": 12.5,
    }
    assert format_table({"raw radar": row, "VAE reconstruction": {}}).splitlines() == [
        "                    Chamfer sum [m]  Hausdorff95 [m]  F@0.2 m  F@0.5 m  F@1 m  IoU@0.2 m"
        "  intensity MAE  points ratio",
        "raw radar                     3.915           10.000    0.070    0.240  0.500      0.010"
        "              -        12.500",
        "VAE reconstruction                -                -        -        -      -          -"
        "              -             -",
    ]


def test_table_shows_what_evaluate_and_summarize_give() -> None:
    points = np.array([[1.0, 2.0, 3.0, 4.0]])
    summary = summarize([evaluate(points, points)])
    line = format_table({"enhanced": summary}).splitlines()[1]
    assert " ".join(line.split()) == "enhanced 0.000 0.000 1.000 1.000 1.000 1.000 0.000 1.000"


def test_json_has_null_for_nan_at_every_depth(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    frame = {"feature_mae": NAN, "iou@0.2m": 0.5}
    write_json(path, {"frames": 2, "pred": frame, "per_frame": [frame, (math.inf, "x", None)]})
    expected_frame = {"feature_mae": None, "iou@0.2m": 0.5}
    assert json.loads(path.read_text()) == {
        "frames": 2,
        "pred": expected_frame,
        "per_frame": [expected_frame, [None, "x", None]],
    }


def test_json_replaces_the_old_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"a": 1.0})
    write_json(path, {"a": 2.0})
    assert json.loads(path.read_text()) == {"a": 2.0}
    assert list(tmp_path.iterdir()) == [path]


def test_json_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    write_json(path, {"a": 1.0})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1.0}
    assert list(tmp_path.iterdir()) == [path]


def test_json_into_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"metrics\.json: no such folder: .*missing"):
        write_json(tmp_path / "missing" / "metrics.json", {})


def test_counts_are_summed() -> None:
    frames = [{"empty_pred": 1.0, "a": 1.0}, {"empty_pred": 1.0, "a": 2.0}, {"a": 3.0}]
    assert summarize(frames) == {"empty_pred": 2.0, "a": 2.0}


def test_frames_without_a_number_are_counted() -> None:
    frames = [{"a": 1.0, "b": NAN}, {"a": NAN}, {"a": 2.0, "b": 1.0}]
    assert count_left_out(frames) == {"a": 1, "b": 2}
    with pytest.raises(InputError, match="0 frames"):
        count_left_out([])


def slow_bootstrap(values: list[float], resamples: int) -> list[float]:
    """Means of the numbers in each draw, by the same random draws."""
    random, means = np.random.default_rng(0), []
    for first in range(0, resamples, 100):
        draws = min(100, resamples - first)
        for times in random.multinomial(len(values), [1 / len(values)] * len(values), draws):
            drawn = [v for v, t in zip(values, times, strict=True) for _ in range(t)]
            numbers = [v for v in drawn if not math.isnan(v)]
            if numbers:
                means.append(math.fsum(numbers) / len(numbers))
    return sorted(means)


def at_share(ascending: list[float], share: float) -> float:
    """Order statistic with linear interpolation."""
    position = share * (len(ascending) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (position - low) * (ascending[high] - ascending[low])


@given(
    st.lists(
        st.tuples(st.floats(-100, 100) | st.just(NAN), st.floats(0, 1) | st.just(NAN)),
        min_size=1,
        max_size=9,
    ),
    st.integers(1, 230),
)
@settings(max_examples=30, deadline=None)
def test_intervals_are_those_of_a_slow_loop(
    pairs: list[tuple[float, float]], resamples: int
) -> None:
    intervals = bootstrap_intervals([{"a": a, "b": b} for a, b in pairs], resamples)
    for column, key in enumerate("ab"):
        means = slow_bootstrap([pair[column] for pair in pairs], resamples)
        if means:
            expected = (at_share(means, 0.025), at_share(means, 0.975))
            # Sums of at most 9 numbers up to 100, each off by at most half a last bit.
            assert intervals[key] == pytest.approx(expected, rel=1e-12, abs=1e-12)
        else:
            assert all(map(math.isnan, intervals[key]))


def test_intervals_hold_the_mean_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        frames = [{"a": value} for value in random.normal(0, 1, 60).tolist()]
        low, high = bootstrap_intervals(frames, 300)["a"]
        held += low <= 0 <= high
    # Binomial, 200 draws of 0.95 (a little less for 60 frames): mean 188, deviation 3.4.
    assert 174 <= held <= 199


def test_intervals_repeat_and_leave_counts_out() -> None:
    frames = [{"a": float(i), "pred_points": 5.0} for i in range(7)]
    intervals = bootstrap_intervals(frames)
    assert intervals == bootstrap_intervals(frames)
    assert intervals.keys() == {"a"}
    assert bootstrap_intervals([{"a": 2.0}]) == {"a": (2.0, 2.0)}
    with pytest.raises(InputError, match="0 resamples: must be 1 or more"):
        bootstrap_intervals(frames, 0)


def test_csv_holds_names_that_are_no_text(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [{"frame": "q\udcff", "a": 1.0}])
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "frame,a\nq\\udcff,1.0\n"


def test_csv_has_one_header_and_empty_cells_for_nan(tmp_path: Path) -> None:
    path = tmp_path / "frames.csv"
    write_csv(path, [{"name": "a,b", "x": 0.1}, {"name": "c", "x": NAN, "y": 2.0}])
    assert path.read_text() == 'name,x,y\n"a,b",0.1,\nc,,2.0\n'
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match=r"frames\.csv: no such folder: .*missing"):
        write_csv(tmp_path / "missing" / "frames.csv", [])
