import numpy as np
import pytest

from radarsparse.benchmark import search_time
from radarsparse.benchmark.lines import nearest_line
from radarsparse.benchmark.search_time import time_nearest
from radarsparse.benchmark.streets import lidar_pair


def test_clouds_are_as_dense_as_those_of_a_lidar():
    pred, target = lidar_pair(20_000, 0)
    assert pred.shape == target.shape == (20_000, 3)
    range_m = np.linalg.norm(target, axis=1)
    assert 7.0 < np.median(range_m) < 12.0
    assert np.quantile(range_m, 0.95) < 70.0
    assert range_m.max() < 100.0
    # Noise of 0.1 m per axis, over a surface that is sampled by centimetres.
    moved = np.linalg.norm(pred[:, None] - target[None, ::40], axis=2).min(axis=1)
    assert np.median(moved) < 1.0


def test_clouds_are_the_same_at_every_call():
    for ours, again in zip(lidar_pair(500, 1), lidar_pair(500, 1), strict=True):
        assert np.array_equal(ours, again)


def test_both_are_timed_and_compared():
    row = time_nearest(1000, repeats=1)
    assert row["points"] == 1000
    assert row["left_out"] == []
    assert "left out" not in nearest_line(row)
    seconds = row["seconds"]
    assert min(seconds.values()) > 0.0
    for other, ratio in row["ratio"].items():
        assert ratio == pytest.approx(seconds["radarsparse"] / seconds[other])
    assert len(row["ratio"]) == len(seconds) - 1 > 0


def test_what_would_take_minutes_is_left_out_and_named(monkeypatch):
    on_cpu = search_time._on_cpu

    def with_all_pairs(pred, target):
        both = search_time._cdist(pred, target), search_time._cdist(target, pred)
        return {**on_cpu(pred, target), "torch.cdist": lambda: both}

    monkeypatch.setattr(search_time, "_on_cpu", with_all_pairs)
    monkeypatch.setattr(search_time, "CDIST_POINTS_MOST", 500)
    few, many = (time_nearest(points, repeats=1) for points in (500, 501))
    assert "torch.cdist" in few["seconds"]
    assert "torch.cdist" not in many["seconds"]
    assert nearest_line(many).endswith("would take too long: torch.cdist")
