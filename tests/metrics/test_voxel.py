"""Voxel sets against Python sets, calibration against loops."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from radarsparse.errors import InputError
from radarsparse.metrics.voxel import (
    INDEX_MOST,
    Overlap,
    bev_iou,
    bev_overlap,
    count_cells,
    occupancy_calibration,
    overlaps,
    sum_overlaps,
    voxel_iou,
    voxel_keys,
    voxel_overlap,
    voxels_of_points,
)

coordinates = st.floats(-2, 2, width=32)
clouds = st.lists(st.tuples(coordinates, coordinates, coordinates), max_size=40)


def cloud(rows: list[tuple[float, float, float]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 3)


def cells(rows: list[tuple[float, float, float]], size_m: float, axes: int) -> set[tuple[int, ...]]:
    return {tuple(math.floor(value / size_m) for value in row[:axes]) for row in rows}


@settings(max_examples=100, deadline=None)
@given(pred=clouds, target=clouds, size_m=st.sampled_from([0.1, 0.2, 0.5, 0.8]))
def test_overlaps_are_those_of_python_sets(
    pred: list[tuple[float, float, float]], target: list[tuple[float, float, float]], size_m: float
) -> None:
    expected = []
    for axes in (3, 2):
        ours, theirs = cells(pred, size_m, axes), cells(target, size_m, axes)
        expected.append(Overlap(len(ours & theirs), len(ours | theirs), len(ours)))
    given_clouds = cloud(pred), cloud(target)
    assert overlaps(*given_clouds, size_m) == tuple(expected)
    assert voxel_overlap(*given_clouds, size_m) == expected[0]
    assert bev_overlap(*given_clouds, size_m) == expected[1]


@settings(max_examples=50, deadline=None)
@given(rows=clouds)
def test_keys_are_sorted_and_unique(rows: list[tuple[float, float, float]]) -> None:
    keys = voxel_keys(cloud(rows), 0.5)
    assert keys.dtype == torch.int64
    assert torch.equal(keys, voxels_of_points(cloud(rows), 0.5).unique())
    # they sort by x, y, z, as tuples do
    by_tuple = sorted(rows, key=lambda row: tuple(math.floor(v / 0.5) for v in row))
    assert (voxels_of_points(cloud(by_tuple), 0.5).diff() >= 0).all()
    assert len(keys) == len(cells(rows, 0.5, 3))


@settings(max_examples=50, deadline=None)
@given(
    ours=st.lists(st.integers(0, 2**61), max_size=20),
    theirs=st.lists(st.sampled_from([0, 1, 5, 2**61]), max_size=20),
)
def test_counts_are_those_of_a_counter(ours: list[int], theirs: list[int]) -> None:
    found, table = count_cells(
        torch.tensor(ours, dtype=torch.int64), torch.tensor(theirs, dtype=torch.int64)
    )
    counters = Counter(ours), Counter(theirs)
    occupied = sorted(counters[0].keys() | counters[1].keys())
    assert found.tolist() == occupied
    assert table.tolist() == [[counter[cell] for counter in counters] for cell in occupied]


def test_iou_by_hand() -> None:
    # voxels of 1 m: pred (0,0,0), (1,0,0), (1,0,3); target (1,0,0), (1,0,4): 1 of 4
    pred = torch.tensor([[0.5, 0.5, 0.5], [1.5, 0.5, 0.5], [1.9, 0.1, 0.9], [1.5, 0.5, 3.5]])
    target = torch.tensor([[1.1, 0.9, 0.2, 77.0], [1.5, 0.5, 4.5, 77.0]])
    assert voxel_iou(pred, target, 1.0) == 0.25
    # from above: pred (0,0), (1,0); target (1,0)
    assert bev_iou(pred, target, 1.0) == 0.5


def test_the_grid_starts_at_the_origin_and_floors() -> None:
    left, right = torch.tensor([[-0.01, 0.1, 0.1]]), torch.tensor([[0.01, 0.1, 0.1]])
    assert voxel_iou(left, right, 0.2) == bev_iou(left, right, 0.2) == 0
    # 0.2 m itself begins the second voxel
    assert voxel_iou(torch.tensor([[0.2, 0, 0]]).double(), torch.tensor([[0.39, 0, 0]]), 0.2) == 1
    assert len(voxel_keys(torch.cat([left, right]), 0.2)) == 2


def test_the_bound_is_the_last_voxel_on_either_side() -> None:
    edge = torch.tensor([[1.0, -1, 1], [-1, 1, -1]]).double() * INDEX_MOST
    assert len(voxel_keys(edge, 1.0)) == 2
    assert voxel_iou(edge, edge.flip(0), 1.0) == 1
    for axis in range(3):
        for beyond in (INDEX_MOST + 1.0, -INDEX_MOST - 1.0):
            points = torch.zeros(2, 3, dtype=torch.float64)
            points[1, axis] = beyond
            with pytest.raises(InputError, match=f"row 1 is in voxel .+ at most {INDEX_MOST} vox"):
                voxel_keys(points, 1.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_points_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="points: row 0 is in voxel"):
        voxel_keys(torch.tensor([[0.0, value, 0.0]]), 0.2)


@pytest.mark.parametrize("size_m", [0.0, -0.2, math.nan, math.inf])
def test_sizes_that_are_not_positive_are_refused(size_m: float) -> None:
    with pytest.raises(InputError, match=r"voxel_size_m .+: must be positive and finite"):
        voxel_keys(torch.zeros(1, 3), size_m)


def test_empty_clouds() -> None:
    none, some = torch.zeros(0, 3), torch.ones(2, 3)
    assert voxel_iou(none, some, 0.2) == voxel_iou(some, none, 0.2) == bev_iou(none, some, 0.2) == 0
    assert math.isnan(voxel_iou(none, none, 0.2))
    assert math.isnan(bev_iou(none, none, 0.2))


def test_the_set_weighs_frames_by_their_cells() -> None:
    frames = [Overlap(1, 2, 1), Overlap(0, 0, 0), Overlap(0, 8, 3)]
    assert sum_overlaps(frames) == Overlap(1, 10, 4)
    assert sum_overlaps(frames).ratio == 4 / 7
    assert sum_overlaps(frames).iou == 0.1
    assert math.isnan(sum_overlaps([]).iou)


def loops(probability: list[float], occupied: list[bool], bins: int) -> tuple[float, float]:
    """Brier score and expected calibration error."""
    pairs = list(zip(probability, occupied, strict=True))
    brier = sum((p - o) ** 2 for p, o in pairs) / len(pairs)
    error = 0.0
    for number in range(bins):
        last = number == bins - 1
        low, high = number / bins, (number + 1) / bins
        members = [(p, o) for p, o in pairs if low <= p and (p < high or last)]
        if members:
            gap = sum(p for p, _ in members) - sum(o for _, o in members)
            error += abs(gap) / len(pairs)
    return brier, error


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50),
    bins=st.integers(1, 12),
)
def test_calibration_agrees_with_loops(rows: list[tuple[float, bool]], bins: int) -> None:
    probability, occupied = map(list, zip(*rows, strict=True))
    found = occupancy_calibration(
        torch.tensor(probability, dtype=torch.float64), torch.tensor(occupied), bins
    )
    expected = loops(probability, occupied, bins)
    assert (found.brier, found.expected_error) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert found.count.sum() == len(rows)


def test_calibration_by_hand() -> None:
    # bins of 0.5: (0, 0.25) hold no occupied cell, (0.5, 1) hold one
    found = occupancy_calibration(
        torch.tensor([0.0, 0.25, 0.5, 1.0]), torch.tensor([False, False, False, True]), bins=2
    )
    assert found.count.tolist() == [2, 2]
    assert found.mean_probability.tolist() == [0.125, 0.75]
    assert found.share_occupied.tolist() == [0, 0.5]
    assert found.brier == (0.0625 + 0.25) / 4
    assert found.expected_error == (2 * 0.125 + 2 * 0.25) / 4


def test_bins_without_cells_have_no_curve_and_no_weight() -> None:
    found = occupancy_calibration(torch.tensor([1.0]), torch.tensor([True]), bins=3)
    assert found.count.tolist() == [0, 0, 1]
    assert found.mean_probability[:2].isnan().all()
    assert found.share_occupied[:2].isnan().all()
    assert found.expected_error == found.brier == 0


def test_no_cells_have_no_calibration() -> None:
    found = occupancy_calibration(torch.zeros(0), torch.zeros(0, dtype=torch.bool))
    assert math.isnan(found.brier)
    assert math.isnan(found.expected_error)
    assert found.count.tolist() == [0] * 10


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan])
def test_what_is_no_probability_is_refused(value: float) -> None:
    with pytest.raises(InputError, match=r"probability: row 1 is .+, 0 to 1 expected"):
        occupancy_calibration(torch.tensor([0.5, value]), torch.tensor([True, True]))


def test_occupancy_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match=r"occupied: shape \(2,\) found, \(n,\) expected like"):
        occupancy_calibration(torch.zeros(3), torch.zeros(2, dtype=torch.bool))
    with pytest.raises(InputError, match="bins 0: at least 1 expected"):
        occupancy_calibration(torch.zeros(1), torch.zeros(1, dtype=torch.bool), bins=0)
