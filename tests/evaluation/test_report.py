import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radarsparse.evaluation.definitions import define
from radarsparse.evaluation.report import (
    csv_lines,
    describe_gaps,
    describe_report,
    make_report,
    order_rows,
    rank_worst,
)
from radarsparse.evaluation.score import FrameScores, score_frames
from radarsparse.evaluation.workers import Workers
from radarsparse.metrics import evaluate
from tests.evaluation.clouds import PRED, TARGET, cloud, find, save


@pytest.fixture
def report(tmp_path: Path) -> dict[str, Any]:
    """Of two frames by hand and a row `same` that repeats the target."""
    pred, target = save(tmp_path / "pred", **PRED), save(tmp_path / "target", **TARGET)
    frames = find(pred, target, None, {"same": target}).check(Workers())
    return make_report(score_frames(frames, Workers()), frames, resamples=200, worst=1)


def test_two_frames_by_hand(report: dict[str, Any]) -> None:
    assert report["frames"] == 2
    expected = {
        "pred_to_target_m": (1 + 1.5) / 2,
        "target_to_pred_m": (1 + 2) / 2,
        "chamfer_sum_m": (2 + 3.5) / 2,
        "chamfer_mean_m": (2 + 3.5) / 4,
        "chamfer_sq_m2": ((1 + 1) + (4.5 + 8)) / 2,
        "hausdorff_m": (1 + 4) / 2,
        "precision@0.5m": (0 + 0.5) / 2,
        "recall@1.0m": (0 + 0.5) / 2,
        "fscore@2.0m": (1 + 0.5) / 2,
        "density_ratio": (2 + 1) / 2,
        "feature_mae": 2,  # no pair in frame a, intensities 7 and 5 in frame b
        "feature_coverage": (0 + 0.5) / 2,
        "pred_points": 4,
        "target_points": 3,
    }
    assert {key: report["pred"][key] for key in expected} == pytest.approx(expected)
    assert report["same"]["fscore@0.1m"] == 1
    assert [frame["pred"]["chamfer_sum_m"] for frame in report["per_frame"]] == [2.0, 3.5]
    assert [frame["same"]["chamfer_sum_m"] for frame in report["per_frame"]] == [0.0, 0.0]
    assert report["worst"] == ["b"]
    # Draws of two frames have the means 2, 2.75 and 3.5.
    assert report["intervals"]["pred"]["chamfer_sum_m"] == pytest.approx((2.0, 3.5))
    assert report["diagonal_m"] == pytest.approx(math.hypot(3, 5))


def test_frames_without_a_number_are_counted_and_said(report: dict[str, Any]) -> None:
    gaps = {key: count for key, count in report["left_out"]["pred"].items() if count}
    assert gaps == {"feature_mae": 1}
    assert not any(report["left_out"]["same"].values())
    assert describe_gaps(report) == "frames without a number: enhanced 1 (feature_mae)"


def test_empty_clouds_are_counted_and_said(tmp_path: Path) -> None:
    nothing, something = cloud(), cloud((5, 0, 0), (6, 1, 1))
    pred = save(tmp_path / "pred", a=nothing, b=nothing, c=something, d=something)
    target = save(tmp_path / "target", a=something, b=nothing, c=nothing, d=something, e=nothing)
    frames = find(pred, target).check(Workers())
    report = make_report(score_frames(frames, Workers()), frames, 10, 5)
    assert report["pred"]["empty_pred"] == 2
    assert report["pred"]["empty_target"] == 2
    assert report["left_out"]["pred"]["chamfer_sum_m"] == 1
    assert frames.diagonal_m is not None
    # Frames a, c and d have a number: the diagonal twice, and no distance at all.
    assert report["pred"]["chamfer_sum_m"] == pytest.approx(2 * 2 * frames.diagonal_m / 3)
    assert report["pred"]["recall@0.5m"] == pytest.approx(1 / 3)
    text = describe_gaps(report)
    assert "empty predictions: enhanced 2; empty targets: 2" in text
    assert "targets without a prediction, not scored: 1" in text
    assert "frames without a number: enhanced 1 (" in text
    assert report["worst"] == ["a", "c", "d"]


def test_no_gap_is_not_spoken_of(tmp_path: Path) -> None:
    target = save(tmp_path / "target", **TARGET)
    frames = find(target, target).check(Workers())
    assert describe_gaps(make_report(score_frames(frames, Workers()), frames, 10, 5)) == ""


def test_bands_are_means_over_the_frames_that_have_them(report: dict[str, Any]) -> None:
    near = report["bands"]["pred"]["range 0-15 m"]
    assert near["frames"] == 2
    assert near["chamfer_sum_m"] == pytest.approx(2.75)
    assert near["pred_points"] == 4
    far = report["bands"]["pred"]["range 30-51.2 m"]
    assert far["frames"] == 0
    assert math.isnan(far["chamfer_sum_m"])
    assert report["bands"]["same"]["height -1 to 1 m"]["fscore@0.1m"] == 1


def test_every_metric_is_defined(report: dict[str, Any]) -> None:
    points = np.ones((1, 4))
    assert define(evaluate(points, points)) == report["definitions"]
    assert report["definitions"].keys() == report["pred"].keys()
    assert "nearer than 0.5 m" in report["definitions"]["recall@0.5m"]
    assert all(text and "{" not in text for text in report["definitions"].values())


def test_rows_go_from_the_worst_to_the_ceiling(report: dict[str, Any]) -> None:
    rows = ["reconstruction", "x", "pred", "a", "raw", "regression"]
    assert order_rows(rows) == ["raw", "regression", "pred", "x", "a", "reconstruction"]
    lines = describe_report(report).splitlines()
    assert lines[0] == "2 frames"
    assert [line.split()[0] for line in lines[2:4]] == ["enhanced", "same"]
    assert lines[4:] == [describe_gaps(report), "worst by Chamfer sum: b"]


def test_one_csv_line_per_frame_and_row(tmp_path: Path) -> None:
    pred, target = save(tmp_path / "pred", **PRED), save(tmp_path / "target", **TARGET)
    frames = find(pred, target, None, {"same": target}).check(Workers())
    lines = csv_lines(score_frames(frames, Workers()))
    heads = [(line["name"], line["row"], line["chamfer_sum_m"]) for line in lines]
    assert heads == [("a", "pred", 2), ("a", "same", 0), ("b", "pred", 3.5), ("b", "same", 0)]


def frame(name: str, distance_m: float) -> FrameScores:
    return FrameScores(name, {"pred": {"chamfer_sum_m": distance_m}}, {}, {})


def test_the_worst_frames_are_ranked_and_ties_keep_their_order() -> None:
    frames = [frame("a", 1), frame("b", 3), frame("c", math.nan), frame("d", 1), frame("e", 0)]
    assert rank_worst(frames, 3) == ["b", "a", "d"]
    assert rank_worst(frames, 9) == ["b", "a", "d", "e"]
    assert rank_worst(frames, 0) == []
