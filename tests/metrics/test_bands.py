"""Scores of parts of clouds against the full table of distances."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.metrics import evaluate, match_clouds
from radarsparse.metrics.bands import (
    OUTSIDE,
    band_names,
    band_scores,
    height_bands,
    observed_scores,
    range_bands,
)

Floats = NDArray[np.float64]
THRESHOLDS_M = (0.5, 1.0)
NAMES = ("a", "b", "c")


def table_of_distances(pred: Floats, target: Floats) -> Floats:
    return np.sqrt(((pred[:, None] - target[None]) ** 2).sum(-1))


def oracle(there: Floats, back: Floats) -> dict[str, float]:
    """Scores of a band from its distances; neither side is empty."""
    scores = {
        "pred_to_target_m": there.mean(),
        "target_to_pred_m": back.mean(),
        "chamfer_sum_m": there.mean() + back.mean(),
        "chamfer_mean_m": (there.mean() + back.mean()) / 2,
        "chamfer_sq_m2": (there**2).mean() + (back**2).mean(),
        "hausdorff_m": max(there.max(), back.max()),
        "hausdorff95_m": max(np.quantile(there, 0.95), np.quantile(back, 0.95)),
        "hausdorff_modified_m": max(there.mean(), back.mean()),
        "hausdorff_median_m": max(np.median(there), np.median(back)),
        "pred_points": len(there),
        "target_points": len(back),
    }
    for threshold_m in THRESHOLDS_M:
        precision, recall = (there < threshold_m).mean(), (back < threshold_m).mean()
        scores[f"precision@{threshold_m}m"] = precision
        scores[f"recall@{threshold_m}m"] = recall
        both = precision + recall
        scores[f"fscore@{threshold_m}m"] = 2 * precision * recall / both if both else 0.0
    return scores


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 40), m=st.integers(1, 40))
def test_every_band_agrees_with_the_full_table(seed: int, n: int, m: int) -> None:
    random = np.random.default_rng(seed)
    pred, target = random.uniform(-1, 1, (n, 3)), random.uniform(-1, 1, (m, 3))
    pred_band, target_band = random.integers(-1, 3, n), random.integers(-1, 3, m)
    match = match_clouds(pred, target)
    scores = band_scores(
        match, torch.from_numpy(pred_band), torch.from_numpy(target_band), NAMES, THRESHOLDS_M
    )
    assert tuple(scores) == NAMES
    table = table_of_distances(pred, target)
    for number, name in enumerate(NAMES):
        there = table.min(axis=1)[pred_band == number]
        back = table.min(axis=0)[target_band == number]
        if len(there) and len(back):
            assert scores[name] == pytest.approx(oracle(there, back), rel=1e-9)
        assert scores[name]["pred_points"] == len(there)
        assert scores[name]["target_points"] == len(back)


def test_one_band_of_all_points_is_the_whole_cloud() -> None:
    random = np.random.default_rng(5)
    pred, target = random.normal(size=(50, 4)), random.normal(size=(60, 4))
    match = match_clouds(pred, target)
    bands = torch.zeros(50, dtype=torch.int64), torch.zeros(60, dtype=torch.int64)
    scores = band_scores(match, *bands, ("all",), THRESHOLDS_M)["all"]
    whole = evaluate(pred, target, thresholds_m=THRESHOLDS_M)
    assert scores == {key: whole[key] for key in scores}


def test_neighbours_are_sought_beyond_the_band() -> None:
    # the target of band 0 has its neighbour, 0.2 m away, in band 1
    match = match_clouds(np.array([[10.1, 0, 0]]), np.array([[9.9, 0, 0]]))
    edges_m = (0, 10, 20)
    bands = range_bands(match.pred, edges_m), range_bands(match.target, edges_m)
    assert (bands[0].tolist(), bands[1].tolist()) == ([1], [0])
    near, far = band_scores(match, *bands, ("near", "far"), (0.5,)).values()
    assert (near["recall@0.5m"], near["precision@0.5m"]) == (1, 0)
    assert (far["recall@0.5m"], far["precision@0.5m"]) == (0, 1)
    assert near["target_to_pred_m"] == pytest.approx(0.2)
    assert near["pred_to_target_m"] == match.diagonal_m


def test_empty_bands_and_empty_clouds() -> None:
    match = match_clouds(np.zeros((0, 3)), np.array([[3.0, 4.0, 0.0]]))
    none, first = torch.zeros(0, dtype=torch.int64), torch.zeros(1, dtype=torch.int64)
    a, b = band_scores(match, none, first, ("a", "b"), (0.5,)).values()
    assert a["recall@0.5m"] == a["precision@0.5m"] == a["fscore@0.5m"] == 0
    assert a["chamfer_mean_m"] == a["hausdorff_m"] == match.diagonal_m == 5
    assert (a["pred_points"], a["target_points"]) == (0, 1)
    assert (b.pop("pred_points"), b.pop("target_points")) == (0, 0)
    assert all(math.isnan(value) for value in b.values())


def test_range_bands_are_half_open() -> None:
    points = torch.tensor(
        [
            [0.0, 0, 0],
            [4, 0, 3],
            [0, -10, 0],
            [
                0,
                9.9,
                0,
            ],
            [0, 20, 0],
            [3, 4, 0],
        ]
    )
    assert range_bands(points, (5, 10, 20)).tolist() == [OUTSIDE, 0, 1, 0, OUTSIDE, 0]


def test_height_bands_are_half_open() -> None:
    points = torch.tensor([[9.0, 9, z, 9] for z in (-2.5, -2, -0.1, 0, 1.9, 2)])
    assert height_bands(points, (-2, 0, 2)).tolist() == [OUTSIDE, 0, 0, 1, 1, OUTSIDE]


def test_bands_of_no_points() -> None:
    assert range_bands(torch.zeros(0, 3), (0, 1)).shape == (0,)
    assert range_bands(torch.zeros(0, 3), (0, 1)).dtype == torch.int64


def test_names() -> None:
    assert band_names("range", (0, 15, 30.5)) == ["range 0-15 m", "range 15-30.5 m"]
    assert band_names("height", (-2, 0, 2)) == ["height -2 to 0 m", "height 0 to 2 m"]


@pytest.mark.parametrize("edges_m", [(), (1,), (0, 0), (0, 2, 1), (0, math.nan)])
def test_edges_that_do_not_ascend_are_refused(edges_m: tuple[float, ...]) -> None:
    for bands in (range_bands, height_bands):
        with pytest.raises(InputError, match=r"edges_m \[.*\]: at least two expected, ascending"):
            bands(torch.zeros(1, 3), edges_m)


def test_bands_that_do_not_fit_are_refused() -> None:
    match = match_clouds(np.zeros((2, 3)), np.zeros((1, 3)))
    fits = torch.tensor([0])
    with pytest.raises(InputError, match=r"bands of shape \(1,\) found, \(2,\) expected"):
        band_scores(match, fits, fits, ("a",), (0.5,))
    for wrong in ([0, 1], [-2, 0]):
        with pytest.raises(InputError, match="found, -1 to 0 expected"):
            band_scores(match, torch.tensor(wrong), fits, ("a",), (0.5,))


def test_points_that_nobody_observed_do_not_count() -> None:
    pred = np.array([[0.0, 0, 0], [0.4, 0, 0], [50.0, 0, 0]])
    target = np.array([[0.1, 0, 0], [49.9, 0, 0]])
    match = match_clouds(pred, target)
    scores = observed_scores(match, torch.tensor([True, True, False]), (0.2,))
    whole = observed_scores(match, torch.tensor([True, True, True]), (0.2,))
    assert (scores["precision@0.2m"], whole["precision@0.2m"]) == (0.5, pytest.approx(2 / 3))
    assert scores["pred_to_target_m"] == pytest.approx((0.1 + 0.3) / 2)
    # recall asks all of the target, which finds even the point that doesn't count
    assert scores["recall@0.2m"] == whole["recall@0.2m"] == 1
    assert (scores["pred_points"], scores["target_points"]) == (2, 2)


def test_a_prediction_in_the_unknown_alone_is_no_good_score() -> None:
    match = match_clouds(np.array([[30.0, 0, 0]]), np.array([[1.0, 0, 0]]))
    scores = observed_scores(match, torch.tensor([False]), (0.5,))
    assert scores["precision@0.5m"] == scores["recall@0.5m"] == scores["fscore@0.5m"] == 0
    assert scores["pred_to_target_m"] == match.diagonal_m
    with pytest.raises(InputError, match=r"bands of shape \(2,\) found, \(1,\) expected"):
        observed_scores(match, torch.tensor([True, False]), (0.5,))
