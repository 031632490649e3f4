import math
from pathlib import Path

import numpy as np
import pytest

from radarsparse.config import LATTICE_STRIDE
from radarsparse.errors import InputError
from radarsparse.evaluation.frames import FrameSource
from radarsparse.evaluation.score import FrameScores, score_frames
from radarsparse.evaluation.workers import Workers
from radarsparse.formats.prepared import write_frame
from radarsparse.geometry import observed_mask
from radarsparse.metrics import evaluate
from tests.conftest import tiny_pair
from tests.evaluation.clouds import PRED, TARGET, VOLUME, cloud, find, save


@pytest.fixture
def scores(tmp_path: Path) -> list[FrameScores]:
    pred, target = save(tmp_path / "pred", **PRED), save(tmp_path / "target", **TARGET)
    return score_frames(find(pred, target, None, {"same": target}).check(Workers()), Workers(2))


def test_every_row_has_the_metrics_of_evaluate(scores: list[FrameScores]) -> None:
    assert [frame.name for frame in scores] == ["a", "b"]
    for frame in scores:
        assert frame.rows.keys() == {"pred", "same"}
        np.testing.assert_equal(
            dict(frame.rows["pred"]), evaluate(PRED[frame.name], TARGET[frame.name])
        )
        assert frame.rows["same"]["fscore@0.1m"] == 1.0


def test_distances_are_counted_in_steps(scores: list[FrameScores]) -> None:
    there, back = scores[1].distances["pred"]
    # Of 0 and 3 m there, and of 0 and 4 m back, one lies in the first centimetre, one beyond 2 m.
    assert there[0] == there[-1] == back[0] == back[-1] == 1
    assert there.sum() == back.sum() == 2
    there, back = scores[0].distances["pred"]
    assert there[100] == 2, "1.00 to 1.01 m"
    assert back[100] == back.sum() == 1


def test_bands_hold_the_points_of_their_range_and_height(tmp_path: Path) -> None:
    points = cloud((5, 0, -2), (20, 0, 0), (0, 25, 2), (40, 0, 0), (45, 0, 0), (60, 0, 9))
    pred, target = save(tmp_path / "pred", a=points), save(tmp_path / "target", a=points[:4])
    found = find(pred, target)
    frames = FrameSource(found.names, found.read, VOLUME, None, {})  # of other crops
    bands = score_frames(frames, Workers())[0].bands["pred"]
    counts = {band: (s["pred_points"], s["target_points"]) for band, s in bands.items()}
    assert counts == {
        "range 0-15 m": (1, 1),
        "range 15-30 m": (2, 2),
        "range 30-51.2 m": (2, 1),
        "height -3.2 to -1 m": (1, 1),
        "height -1 to 1 m": (3, 2),
        "height 1 to 3.2 m": (1, 1),
    }
    assert bands["range 0-15 m"]["chamfer_sum_m"] == 0
    assert bands["range 30-51.2 m"]["chamfer_sum_m"] == 2.5


def test_the_observed_part_asks_no_point_where_the_lidar_never_looked(tmp_path: Path) -> None:
    pair = tiny_pair(0)
    write_frame(tmp_path / "data", pair)
    # Behind the wall at 6 m, and above the sensor's highest ray.
    hidden = cloud((11.9, 0.1, 2.9), (20, -20, 3))
    inside = pair.lidar[VOLUME.contains(pair.lidar)]
    pred = save(tmp_path / "pred", **{pair.name: np.concatenate([inside, hidden])})
    frames = find(pred, tmp_path / "data", tmp_path / "data").check(Workers())
    scores = score_frames(frames, Workers())[0]
    cells = observed_mask(VOLUME, LATTICE_STRIDE, np.zeros(3), pair.lidar)
    index = VOLUME.voxel_index(hidden) // LATTICE_STRIDE
    assert not cells[tuple(index.T)].any()
    observed = scores.bands["pred"]["observed"]
    assert observed["pred_points"] == len(inside)
    assert observed["chamfer_sum_m"] == 0
    assert scores.rows["pred"]["chamfer_sum_m"] > 0
    assert scores.bands["raw"].keys() == scores.bands["pred"].keys()


def test_an_empty_prediction_is_the_worst_one(tmp_path: Path) -> None:
    pred = save(tmp_path / "pred", a=cloud(), b=PRED["b"])
    target = save(tmp_path / "target", **TARGET)
    frames = find(pred, target).check(Workers())
    empty = score_frames(frames, Workers())[0].rows["pred"]
    assert frames.diagonal_m is not None
    assert empty["chamfer_sum_m"] == 2 * frames.diagonal_m
    assert empty["recall@2.0m"] == empty["fscore@2.0m"] == 0
    assert empty["empty_pred"] == 1


def test_an_empty_target_and_nothing_at_all(tmp_path: Path) -> None:
    pred = save(tmp_path / "pred", a=PRED["a"], b=cloud())
    target = save(tmp_path / "target", a=cloud(), b=cloud())
    alone, nothing = (
        f.rows["pred"] for f in score_frames(find(pred, target).check(Workers()), Workers())
    )
    assert alone["fscore@2.0m"] == 0
    assert alone["empty_target"] == 1
    assert nothing["empty_pred"] == nothing["empty_target"] == 1
    assert math.isnan(nothing["chamfer_sum_m"])
    assert math.isnan(nothing["fscore@2.0m"])


def test_points_that_are_not_finite_are_counted_and_many_refused(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(0, 9, (200, 4)).astype(np.float32)
    points[7, 2], points[9, 0] = np.nan, np.inf
    pred, target = save(tmp_path / "pred", a=points), save(tmp_path / "target", a=points[:8])
    with pytest.raises(InputError, match="frame a, row pred: target: 1 of 8 points are not finite"):
        score_frames(find(pred, target).check(Workers()), Workers())
    save(target, a=points[100:])
    scores = score_frames(find(pred, target).check(Workers()), Workers())[0].rows["pred"]
    assert (scores["pred_points"], scores["pred_nonfinite"]) == (198, 2)
    assert scores["target_nonfinite"] == 0


def test_a_cloud_without_intensity_has_no_feature_metrics(tmp_path: Path) -> None:
    pred = save(tmp_path / "pred", a=PRED["a"], b=PRED["b"][:, :3])
    frames = find(pred, save(tmp_path / "target", **TARGET)).check(Workers())
    scores = score_frames(frames, Workers())[1].rows["pred"]
    assert math.isnan(scores["feature_mae"])
    assert math.isnan(scores["feature_coverage"])


def test_an_unusable_cloud_is_named(tmp_path: Path) -> None:
    pred, target = save(tmp_path / "pred", **PRED), save(tmp_path / "target", **TARGET)
    np.save(pred / "b.npy", np.zeros((3, 5)))
    with pytest.raises(InputError, match=r"pred/b\.npy: shape \(3, 5\) found"):
        find(pred, target).check(Workers())
