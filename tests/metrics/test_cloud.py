import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from radarsparse.errors import InputError
from radarsparse.metrics import evaluate

THRESHOLDS_M = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
VOXEL_SIZES_M = (0.1, 0.2, 0.4, 0.8)
DISTANCES = {
    *("pred_to_target_m", "target_to_pred_m", "chamfer_sum_m", "chamfer_mean_m", "chamfer_sq_m2"),
    *("hausdorff_m", "hausdorff95_m", "hausdorff_modified_m", "hausdorff_median_m"),
}
RATES = {f"{kind}@{t}m" for kind in ("precision", "recall", "fscore") for t in THRESHOLDS_M}
COUNTS = {f"{cloud}_{kind}" for cloud in ("pred", "target") for kind in ("points", "nonfinite")} | {
    "empty_pred",
    "empty_target",
}
OVERLAPS = {f"{kind}@{size}m" for kind in ("iou", "bev_iou") for size in VOXEL_SIZES_M}
RATIOS = {f"voxel_ratio@{size}m" for size in VOXEL_SIZES_M}
DIVERGENCES = {"jsd_bev", "jsd_3d"}
FEATURES = {"feature_mae", "feature_coverage", "density_ratio"}
KEYS = DISTANCES | RATES | COUNTS | OVERLAPS | RATIOS | DIVERGENCES | FEATURES


def clouds(points_max: int = 12) -> st.SearchStrategy[np.ndarray]:
    values = st.floats(-3, 3, width=32)
    return st.integers(1, points_max).flatmap(lambda n: arrays(np.float32, (n, 4), elements=values))


def voxel_set(points: np.ndarray, size_m: float) -> set[tuple[int, ...]]:
    return {tuple(math.floor(c / size_m) for c in point[:3]) for point in points.tolist()}


def percentile(values: np.ndarray, share: float) -> float:
    ordered, position = np.sort(values), share * (len(values) - 1)
    low = math.floor(position)
    high = min(low + 1, len(values) - 1)
    return float(ordered[low] + (position - low) * (ordered[high] - ordered[low]))


def oracle(pred: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """All metrics from the full table of distances, in double precision."""
    p, t = pred.astype(np.float64), target.astype(np.float64)
    table = np.sqrt(((p[:, None, :3] - t[None, :, :3]) ** 2).sum(-1))
    there, back = table.min(axis=1), table.min(axis=0)
    expected = {
        "pred_to_target_m": there.mean(),
        "target_to_pred_m": back.mean(),
        "chamfer_sum_m": there.mean() + back.mean(),
        "chamfer_mean_m": (there.mean() + back.mean()) / 2,
        "chamfer_sq_m2": (there**2).mean() + (back**2).mean(),
        "hausdorff_m": max(there.max(), back.max()),
        "hausdorff95_m": max(percentile(there, 0.95), percentile(back, 0.95)),
        "hausdorff_modified_m": max(there.mean(), back.mean()),
        "hausdorff_median_m": max(percentile(there, 0.5), percentile(back, 0.5)),
        "density_ratio": len(p) / len(t),
    }
    for threshold_m in THRESHOLDS_M:
        precision, recall = (there < threshold_m).mean(), (back < threshold_m).mean()
        expected[f"precision@{threshold_m}m"] = precision
        expected[f"recall@{threshold_m}m"] = recall
        harmonic = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        expected[f"fscore@{threshold_m}m"] = harmonic
    for size_m in VOXEL_SIZES_M:
        ours, theirs = voxel_set(p, size_m), voxel_set(t, size_m)
        expected[f"iou@{size_m}m"] = len(ours & theirs) / len(ours | theirs)
        expected[f"voxel_ratio@{size_m}m"] = len(ours) / len(theirs)
        ours, theirs = ({voxel[:2] for voxel in voxels} for voxels in (ours, theirs))
        expected[f"bev_iou@{size_m}m"] = len(ours & theirs) / len(ours | theirs)
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

    def one_way(points: np.ndarray, others: np.ndarray) -> tuple[float, float]:
        errors = []
        for point in points:
            distances = np.linalg.norm(others[:, :3] - point[:3], axis=1)
            if distances.min() < 0.5:
                errors.append(abs(point[3] - others[distances.argmin(), 3]))
        return sum(errors) / len(errors), len(errors) / len(points)

    there, back = one_way(pred, target), one_way(target, pred)
    scores = evaluate(pred, target)
    assert scores["feature_mae"] == pytest.approx((there[0] + back[0]) / 2, rel=1e-12)
    assert scores["feature_coverage"] == pytest.approx((there[1] + back[1]) / 2, rel=1e-12)


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
    assert scores["pred_to_target_m"] == scores["hausdorff_modified_m"] == 2
    assert scores["target_to_pred_m"] == 0.25
    assert scores["hausdorff_median_m"] == 2
    assert [scores[f"precision@{t}m"] for t in THRESHOLDS_M] == [0, 0, 0.5, 0.5, 0.5, 0.5]
    assert [scores[f"recall@{t}m"] for t in THRESHOLDS_M] == [0, 0, 1, 1, 1, 1]
    assert scores["fscore@0.2m"] == 0
    assert scores["fscore@0.5m"] == pytest.approx(2 / 3)
    assert scores["iou@0.2m"] == 0
    assert scores["iou@0.4m"] == 0.5
    assert scores["feature_mae"] == 4  # the point 3.75 m away has no match
    assert scores["feature_coverage"] == 0.75
    assert (scores["pred_points"], scores["target_points"]) == (2, 1)
    assert scores["density_ratio"] == 2


def test_a_distance_equal_to_the_threshold_is_a_miss() -> None:
    scores = evaluate(np.array([[0.5, 0, 0]]), np.zeros((1, 3)))
    assert scores["precision@0.5m"] == scores["recall@0.5m"] == scores["fscore@0.5m"] == 0
    assert scores["fscore@1.0m"] == 1


def test_voxels_are_on_the_origin_and_floor_toward_minus_infinity() -> None:
    across_zero = evaluate(np.array([[-0.01, 0.1, 0.1]]), np.array([[0.01, 0.1, 0.1]]))
    assert across_zero["iou@0.2m"] == across_zero["iou@0.8m"] == 0
    together = evaluate(np.array([[-0.01, 0.1, 0.1]]), np.array([[-0.19, 0.1, 0.1]]))
    assert together["iou@0.2m"] == 1


def test_points_in_one_voxel_count_once() -> None:
    pred = np.array([[0.01, 0.01, 0.01], [0.02, 0.02, 0.02], [5.0, 5.0, 5.0]])
    assert evaluate(pred, pred[:1])["iou@0.2m"] == 0.5


def test_a_cloud_against_itself_is_perfect() -> None:
    points = np.random.default_rng(0).uniform(-40, 40, (50, 4)).astype(np.float32)
    scores = evaluate(points, points[::-1].copy())
    assert {scores[key] for key in (*DISTANCES, *DIVERGENCES, "feature_mae")} == {0.0}
    best = (*RATES, *OVERLAPS, "feature_coverage", "density_ratio")
    assert {scores[key] for key in best} == {1.0}


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
@pytest.mark.parametrize("swapped", [False, True], ids=["pred", "target"])
@pytest.mark.parametrize(("given_m", "distance_m"), [(None, 13.0), (0.05, 0.05), (60.0, 60.0)])
def test_one_empty_cloud(
    columns: int, swapped: bool, given_m: float | None, distance_m: float
) -> None:
    full, empty = np.array([[3.0, 4.0, 12.0, 500.0], [1.0, 0.0, 0.0, 0.0]]), np.zeros((0, columns))
    pair = (full, empty) if swapped else (empty, full)
    scores = evaluate(*pair, diagonal_m=given_m)
    assert scores["chamfer_sum_m"] == 2 * distance_m
    assert scores["chamfer_mean_m"] == scores["hausdorff_median_m"] == distance_m
    assert scores["chamfer_sq_m2"] == 2 * distance_m**2
    assert scores["hausdorff_m"] == scores["hausdorff95_m"] == distance_m
    # even where 0.05 m lies below the threshold
    assert {scores[key] for key in RATES | OVERLAPS} == {0.0}
    assert {scores[key] for key in DIVERGENCES} == {1.0}
    ratios = [scores[key] for key in RATIOS]
    assert all(math.isnan(ratio) if swapped else ratio == 0 for ratio in ratios)
    assert math.isnan(scores["feature_mae"])
    assert (scores["empty_pred"], scores["empty_target"]) == ((0, 1) if swapped else (1, 0))


def test_two_empty_clouds_have_no_score() -> None:
    scores = evaluate(np.zeros((0, 4)), np.zeros((0, 4)))
    numbers = {key: scores[key] for key in scores if key not in COUNTS}
    assert all(math.isnan(value) for value in numbers.values())
    assert scores["empty_pred"] == scores["empty_target"] == 1
    assert scores["pred_points"] == scores["target_points"] == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", [0, 2, 3])
def test_rows_that_are_not_finite_are_left_out_and_counted(value: float, column: int) -> None:
    random = np.random.default_rng(2)
    pred, target = random.uniform(size=(99, 4)), random.uniform(size=(120, 4))
    bad = np.zeros((1, 4))
    bad[0, column] = value
    spoiled = evaluate(np.concatenate([bad, pred]), np.concatenate([target, bad]))
    assert spoiled.pop("pred_nonfinite") == spoiled.pop("target_nonfinite") == 1
    whole = evaluate(pred, target)
    assert whole.pop("pred_nonfinite") == whole.pop("target_nonfinite") == 0
    assert spoiled == whole


def test_more_than_one_per_cent_of_broken_rows_is_refused() -> None:
    points = np.zeros((199, 3))
    points[:2, 1] = math.nan
    with pytest.raises(InputError, match="pred: 2 of 199 points are not finite, at most 1% may be"):
        evaluate(points, np.zeros((1, 3)))
    with pytest.raises(InputError, match="target: 2 of 199 points are not finite"):
        evaluate(np.zeros((1, 3)), points)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_bounds_that_are_not_positive_are_refused(value: float) -> None:
    point = np.zeros((1, 3))
    with pytest.raises(InputError, match=r"threshold .+ m: must be positive and finite"):
        evaluate(point, point, thresholds_m=(0.5, value))
    with pytest.raises(InputError, match=r"voxel size .+ m: must be positive and finite"):
        evaluate(point, point, voxel_sizes_m=(0.5, value))
    with pytest.raises(InputError, match=r"diagonal_m .+: must be positive and finite"):
        evaluate(point, point, diagonal_m=value)


@pytest.mark.parametrize("value", [0.5, None, "0.5", ["a"], [None], [1e308]])
def test_bounds_that_are_no_lengths_are_refused(value: Any) -> None:
    point = np.zeros((1, 3))
    for names in ({"thresholds_m": value}, {"voxel_sizes_m": value}):
        with pytest.raises(InputError, match=r"threshold|voxel size"):
            evaluate(point, point, **names)


@pytest.mark.parametrize("cloud", [None, [[0.0, 0, 0]], 5])
def test_what_is_no_cloud_is_refused(cloud: Any) -> None:
    with pytest.raises(InputError, match=r"pred: .+ found, a tensor or an array expected"):
        evaluate(cloud, np.zeros((1, 3)))


def test_thresholds_and_sizes_are_those_asked_for() -> None:
    scores = evaluate(np.zeros((1, 3)), np.ones((1, 3)), thresholds_m=(3.0,), voxel_sizes_m=(5.0,))
    assert {key for key in scores if "@" in key} >= {"fscore@3.0m", "iou@5.0m"}
    assert "fscore@0.5m" not in scores
    assert scores["fscore@3.0m"] == scores["iou@5.0m"] == 1


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
