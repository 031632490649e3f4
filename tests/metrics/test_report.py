import json
import math
from pathlib import Path

import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.metrics import evaluate, format_table, summarize, write_json

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
