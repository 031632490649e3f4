"""Agreement with held-out points, beside loops over all pairs."""

import math

import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.metrics.consistency import THRESHOLDS_M, consistency_scores

EDGES_M = (0.0, 15.0, 30.0, 51.2)


def share_near(asked: np.ndarray, others: np.ndarray, limit_m: float) -> float:
    """Share of points that have one of the others nearer than a limit, by two loops."""
    near = [
        any(math.dist(a.tolist(), b.tolist()) < limit_m for b in others.astype(np.float64))
        for a in asked.astype(np.float64)
    ]
    return sum(near) / len(near) if near else math.nan


def in_band(points: np.ndarray, low_m: float, high_m: float) -> np.ndarray:
    ranges_m = np.array([math.hypot(*point) for point in points.tolist()])
    return points[(ranges_m >= low_m) & (ranges_m < high_m)]


def test_shares_are_those_of_two_loops() -> None:
    random = np.random.default_rng(0)
    held_out = random.uniform((0, -20, -2), (45, 20, 2), (120, 3))
    cloud = np.r_[held_out[:60] + random.normal(0, 0.4, (60, 3)), held_out[30:40] + 3.0]
    whole, bands = consistency_scores(cloud, held_out, EDGES_M)
    names = ["range 0-15 m", "range 15-30 m", "range 30-51.2 m"]
    assert list(bands) == names
    parts = zip([whole, *bands.values()], [(0, 999), (0, 15), (15, 30), (30, 51.2)], strict=True)
    for scores, (low_m, high_m) in parts:
        ours, theirs = in_band(cloud, low_m, high_m), in_band(held_out, low_m, high_m)
        assert len(ours) > 0
        for limit_m in THRESHOLDS_M:
            assert scores[f"recall@{limit_m}m"] == share_near(theirs, cloud, limit_m)
            assert scores[f"support@{limit_m}m"] == share_near(ours, held_out, limit_m)
        assert (scores["points"], scores["held_out_points"]) == (len(ours), len(theirs))


def test_four_points_by_hand() -> None:
    cloud = np.array([[5.0, 0, 0], [20.0, 0, 0]])
    held_out = np.array([[5.4, 0, 0], [5.0, 0.9, 0], [6.0, 0, 0]])
    whole, bands = consistency_scores(cloud, held_out, EDGES_M)
    # 0.4 m, 0.9 m and 1 m away; nearer counts, equal doesn't
    assert whole["recall@0.5m"] == pytest.approx(1 / 3)
    assert whole["recall@1.0m"] == pytest.approx(2 / 3)
    assert whole["support@0.5m"] == 0.5
    assert math.isnan(bands["range 15-30 m"]["recall@1.0m"])
    assert bands["range 15-30 m"]["support@1.0m"] == 0


def test_nothing_held_out_is_no_number_and_an_empty_cloud_recalls_nothing() -> None:
    points, none = np.ones((2, 3)), np.zeros((0, 3))
    whole, _ = consistency_scores(points, none, EDGES_M)
    assert all(math.isnan(whole[key]) for key in whole if "@" in key)
    whole, _ = consistency_scores(none, points, EDGES_M)
    assert whole["recall@1.0m"] == 0
    assert math.isnan(whole["support@1.0m"])


def test_a_broken_cloud_is_refused() -> None:
    with pytest.raises(InputError, match="pred: 1 of 1 points are not finite"):
        consistency_scores(np.full((1, 3), np.nan), np.ones((1, 3)), EDGES_M)
