import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from radarsparse.metrics.point import OneWay, one_way, point_scores
from radarsparse.metrics.statistics import summarize_distances

frames = st.lists(
    st.lists(st.floats(0, 50, width=32) | st.just(math.inf), max_size=7), min_size=1, max_size=4
)


@settings(max_examples=100, deadline=None)
@given(frames=frames)
def test_every_frame_agrees_with_numpy(frames: list[list[float]]) -> None:
    distance = torch.tensor([value for frame in frames for value in frame], dtype=torch.float64)
    offsets = torch.tensor([0, *map(len, frames)]).cumsum(0)
    found = summarize_distances(distance.square(), offsets, (0.5, 2.0), (0.0, 0.5, 0.95, 1.0))
    for row, frame in enumerate(frames):
        assert found.count[row] == len(frame)
        assert found.sum_m[row] == pytest.approx(math.fsum(frame))
        assert found.sum_sq_m2[row] == pytest.approx(math.fsum(value**2 for value in frame))
        near = [sum(value < limit for value in frame) for limit in (0.5, 2.0)]
        assert found.hits[row].tolist() == near
        expected = [math.nan] * 4
        if frame:
            with np.errstate(invalid="ignore"):
                expected = [order_statistic(sorted(frame), q) for q in (0.0, 0.5, 0.95, 1.0)]
        assert found.quantiles_m[row].tolist() == pytest.approx(expected, nan_ok=True)
        assert found.max_m[row].item() == pytest.approx(expected[-1], nan_ok=True)


def order_statistic(ascending: list[float], share: float) -> float:
    position = share * (len(ascending) - 1)
    below = math.floor(position)
    if position == below or math.isinf(ascending[below]):
        return ascending[below]
    return ascending[below] + (position - below) * (ascending[below + 1] - ascending[below])


def test_a_missing_or_infinite_distance_counts_as_the_diagonal() -> None:
    distance2 = torch.tensor([1.0, 9.0, math.inf])
    statistics = summarize_distances(distance2, torch.tensor([0, 2, 3, 3]), (2.0,), (0.5, 0.95))
    found = one_way(statistics, 20.0)
    assert found[0] == OneWay(2, 2.0, 3.0, 2.0, pytest.approx(2.9), 5.0, (0.5,))
    assert found[1] == OneWay(1, *[20.0] * 4, 400.0, (0.0,))
    assert found[2] == OneWay(0, *[20.0] * 4, 400.0, (0.0,))
    scores = point_scores(found[0], found[2], (2.0,))
    assert scores["chamfer_sum_m"] == 22
    assert scores["fscore@2.0m"] == 0
    assert all(map(math.isnan, point_scores(found[2], found[2], (2.0,)).values()))
