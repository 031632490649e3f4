import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from radarsparse.errors import InputError
from radarsparse.metrics import evaluate

THRESHOLDS_M = (0.1, 0.2, 0.5, 1.0, 2.0)
KEYS = {
    *("chamfer_sum_m", "chamfer_mean_m", "chamfer_sq_m2", "hausdorff_m", "hausdorff95_m"),
    *(f"{kind}@{t}m" for kind in ("precision", "recall", "fscore") for t in THRESHOLDS_M),
    *("iou@0.2m", "iou@0.5m", "feature_mae", "density_ratio"),
}


def clouds(points_max: int = 12) -> st.SearchStrategy[np.ndarray]:
    values = st.floats(-3, 3, width=32)
    return st.integers(1, points_max).flatmap(lambda n: arrays(np.float32, (n, 4), elements=values))


def voxel_set(points: np.ndarray, size_m: float) -> set[tuple[int, ...]]:
    return {tuple(math.floor(c / size_m) for c in point[:3]) for point in points.tolist()}


def percentile95(values: np.ndarray) -> float:
    ordered, position = np.sort(values), 0.95 * (len(values) - 1)
    low = math.floor(position)
    high = min(low + 1, len(values) - 1)
    return float(ordered[low] + (position - low) * (ordered[high] - ordered[low]))


def oracle(pred: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """All metrics from the full table of distances, in double precision."""
    p, t = pred.astype(np.float64), target.astype(np.float64)
    table = np.sqrt(((p[:, None, :3] - t[None, :, :3]) ** 2).sum(-1))
    there, back = table.min(axis=1), table.min(axis=0)
    expected = {
        "chamfer_sum_m": there.mean() + back.mean(),
        "chamfer_mean_m": (there.mean() + back.mean()) / 2,
        "chamfer_sq_m2": (there**2).mean() + (back**2).mean(),
        "hausdorff_m": max(there.max(), back.max()),
        "hausdorff95_m": max(percentile95(there), percentile95(back)),
        "density_ratio": len(p) / len(t),
    }
    for threshold_m in THRESHOLDS_M:
        precision, recall = (there < threshold_m).mean(), (back < threshold_m).mean()
        expected[f"precision@{threshold_m}m"] = precision
        expected[f"recall@{threshold_m}m"] = recall
        harmonic = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        expected[f"fscore@{threshold_m}m"] = harmonic
    for size_m in (0.2, 0.5):
        ours, theirs = voxel_set(p, size_m), voxel_set(t, size_m)
        expected[f"iou@{size_m}m"] = len(ours & theirs) / len(ours | theirs)
    return expected


@settings(max_examples=40, deadline=None)
@given(pred=clouds(), target=clouds())
def test_random_clouds_agree_with_the_full_table(pred: np.ndarray, target: np.ndarray) -> None:
    scores = evaluate(pred, target)
    assert set(scores) == KEYS
    expected = oracle(pred, target)
    assert {key: scores[key] for key in expected} == pytest.approx(expected, rel=1e-12)


def test_feature_mae_agrees_with_loops() -> None:
    random = np.random.default_rng(3)
    pred, target = random.uniform(0, 2, (30, 4)), random.uniform(0, 2, (40, 4))

    def one_way(points: np.ndarray, others: np.ndarray) -> float:
        errors = []
        for point in points:
            distances = np.linalg.norm(others[:, :3] - point[:3], axis=1)
            if distances.min() < 0.5:
                errors.append(abs(point[3] - others[distances.argmin(), 3]))
        return sum(errors) / len(errors)

    expected = (one_way(pred, target) + one_way(target, pred)) / 2
    assert evaluate(pred, target)["feature_mae"] == pytest.approx(expected, rel=1e-12)


def test_two_points_by_hand() -> None:
    pred = np.array([[0.0, 0, 0, 10], [4.0, 0, 0, 90]])
    target = np.array([[0.25, 0, 0, 14]])
    scores = evaluate(pred, target)
    # pred -> target: 0.25 and 3.75; target -> pred: 0.25
    assert scores["chamfer_sum_m"] == 2.25
    assert scores["chamfer_mean_m"] == 1.125
    assert scores["chamfer_sq_m2"] == (0.0625 + 14.0625) / 2 + 0.0625
    assert scores["hausdorff_m"] == 3.75
    assert scores["hausdorff95_m"] == pytest.approx(0.25 + 0.95 * 3.5)
    assert [scores[f"precision@{t}m"] for t in THRESHOLDS_M] == [0, 0, 0.5, 0.5, 0.5]
    assert [scores[f"recall@{t}m"] for t in THRESHOLDS_M] == [0, 0, 1, 1, 1]
    assert scores["fscore@0.2m"] == 0
    assert scores["fscore@0.5m"] == pytest.approx(2 / 3)
    assert scores["iou@0.2m"] == 0
    assert scores["iou@0.5m"] == 0.5
    assert scores["feature_mae"] == 4  # the point 3.75 m away has no match
    assert scores["density_ratio"] == 2


def test_a_distance_equal_to_the_threshold_is_a_miss() -> None:
    scores = evaluate(np.array([[0.5, 0, 0]]), np.zeros((1, 3)))
    assert scores["precision@0.5m"] == scores["recall@0.5m"] == scores["fscore@0.5m"] == 0
    assert scores["fscore@1.0m"] == 1


def test_voxels_are_on_the_origin_and_floor_toward_minus_infinity() -> None:
    across_zero = evaluate(np.array([[-0.01, 0.1, 0.1]]), np.array([[0.01, 0.1, 0.1]]))
    assert across_zero["iou@0.2m"] == across_zero["iou@0.5m"] == 0
    together = evaluate(np.array([[-0.01, 0.1, 0.1]]), np.array([[-0.19, 0.1, 0.1]]))
    assert together["iou@0.2m"] == 1


def test_points_in_one_voxel_count_once() -> None:
    pred = np.array([[0.01, 0.01, 0.01], [0.02, 0.02, 0.02], [5.0, 5.0, 5.0]])
    assert evaluate(pred, pred[:1])["iou@0.2m"] == 0.5


def test_a_cloud_against_itself_is_perfect() -> None:
    points = np.random.default_rng(0).uniform(-40, 40, (50, 4)).astype(np.float32)
    scores = evaluate(points, points[::-1].copy())
    errors = {key: value for key, value in scores.items() if key.endswith(("_m", "_m2", "_mae"))}
    assert len(errors) == 6
    assert set(errors.values()) == {0.0}
    assert {value for key, value in scores.items() if key not in errors} == {1.0}


def test_order_of_the_two_clouds() -> None:
    random = np.random.default_rng(1)
    a, b = random.normal(size=(20, 4)), random.normal(size=(30, 4))
    forth, back = evaluate(a, b), evaluate(b, a)
    assert forth["precision@0.5m"] == back["recall@0.5m"] != forth["recall@0.5m"]
    assert forth["chamfer_sum_m"] == pytest.approx(back["chamfer_sum_m"])
    assert forth["feature_mae"] == pytest.approx(back["feature_mae"])


def test_three_centimetres_at_a_hundred_metres() -> None:
    target = np.array([[100.0, 100, 0], [100, 101, 0], [100, 102, 0]], dtype=np.float32)
    pred = target + np.array([0, 0, 0.03], dtype=np.float32)
    scores = evaluate(pred, target)
    assert scores["chamfer_sum_m"] == pytest.approx(0.06, abs=1e-6)
    assert scores["fscore@0.1m"] == 1


@pytest.mark.parametrize(
    ("pred_columns", "target_columns"), [(3, 4), (4, 3), (3, 3)], ids=["pred", "target", "both"]
)
def test_without_intensity_there_is_no_feature_mae(pred_columns: int, target_columns: int) -> None:
    scores = evaluate(np.zeros((2, pred_columns)), np.zeros((2, target_columns)))
    assert math.isnan(scores["feature_mae"])
    assert scores["fscore@0.1m"] == 1


@pytest.mark.parametrize("distance_m", [0.5, 0.6])
def test_without_a_match_there_is_no_feature_mae(distance_m: float) -> None:
    target = np.array([[distance_m, 0, 0, 1]])
    assert math.isnan(evaluate(np.zeros((1, 4)), target)["feature_mae"])


@pytest.mark.parametrize("columns", [3, 4])
@pytest.mark.parametrize(("given_m", "distance_m"), [(None, 13.0), (0.05, 0.05), (60.0, 60.0)])
def test_an_empty_prediction(columns: int, given_m: float | None, distance_m: float) -> None:
    target = np.array([[3.0, 4.0, 12.0, 500.0], [1.0, 0.0, 0.0, 0.0]])
    scores = evaluate(np.zeros((0, columns)), target, given_m)
    assert set(scores) == KEYS
    assert math.isnan(scores.pop("feature_mae"))
    assert scores.pop("chamfer_sum_m") == 2 * distance_m
    assert scores.pop("chamfer_mean_m") == distance_m
    assert scores.pop("chamfer_sq_m2") == 2 * distance_m**2
    assert scores.pop("hausdorff_m") == distance_m
    assert scores.pop("hausdorff95_m") == distance_m
    assert set(scores.values()) == {0.0}  # even where 0.05 m lies below the threshold


def test_a_prediction_without_finite_points_is_empty() -> None:
    target = np.array([[2.0, 0.0, 0.0]])
    scores = evaluate(np.full((4, 3), math.nan), target)
    assert scores["chamfer_sum_m"] == 4
    assert scores["density_ratio"] == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", [0, 2, 3])
def test_rows_that_are_not_finite_are_left_out(value: float, column: int) -> None:
    random = np.random.default_rng(2)
    pred, target = random.uniform(size=(6, 4)), random.uniform(size=(7, 4))
    bad = np.zeros((1, 4))
    bad[0, column] = value
    spoiled = evaluate(np.concatenate([bad, pred]), np.concatenate([target, bad]))
    assert spoiled == evaluate(pred, target)


@pytest.mark.parametrize("target", [np.zeros((0, 3)), np.full((3, 4), math.nan)])
def test_a_target_without_points_is_refused(target: np.ndarray) -> None:
    with pytest.raises(InputError, match="target: 0 finite points found, at least 1 expected"):
        evaluate(np.zeros((1, 3)), target)


@pytest.mark.parametrize("shape", [(4,), (5, 2), (5, 5), (1, 5, 3)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"pred: shape \(.+\) found, \(n, 3 or 4\) expected"):
        evaluate(np.zeros(shape), np.zeros((1, 3)))
    with pytest.raises(InputError, match=r"target: shape \(.+\) found, \(n, 3 or 4\) expected"):
        evaluate(np.zeros((1, 3)), np.zeros(shape))


def test_arrays_and_tensors_score_alike() -> None:
    random = np.random.default_rng(4)
    pred = random.uniform(size=(9, 4)).astype(np.float32)
    target = random.uniform(size=(8, 4)).astype(np.float32)
    frozen = pred.copy()
    frozen.flags.writeable = False
    tensors = torch.from_numpy(pred), torch.from_numpy(target[::-1].copy()).requires_grad_()
    assert evaluate(*tensors) == evaluate(frozen, target[::-1])
