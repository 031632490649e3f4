"""Divergences against loops over dictionaries, tables of sets against loops over pairs."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from torch import Tensor

from radarsparse.errors import InputError
from radarsparse.metrics import evaluate
from radarsparse.metrics.distribution import (
    chamfer_table,
    coverage,
    divergences,
    jsd_3d,
    jsd_bev,
    minimum_matching_distance,
)

INF = math.inf

coordinates = st.floats(-1.5, 1.5, width=32)
rows_of_clouds = st.lists(st.tuples(coordinates, coordinates, coordinates), min_size=1, max_size=40)


def divergence(ours: Counter[tuple[int, ...]], theirs: Counter[tuple[int, ...]]) -> float:
    """By the definition: half of each side's relative entropy to the mixture, in bits."""
    total = 0.0
    for cell in ours.keys() | theirs.keys():
        p, q = ours[cell] / sum(ours.values()), theirs[cell] / sum(theirs.values())
        for share in (p, q):
            if share > 0:
                total += share / 2 * math.log2(share / ((p + q) / 2))
    return total


def cells(points: Tensor, size_m: float, axes: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(math.floor(v / size_m) for v in row[:axes]) for row in points.tolist())


@settings(max_examples=80, deadline=None)
@given(
    pred_rows=rows_of_clouds, target_rows=rows_of_clouds, size_m=st.sampled_from([0.25, 0.5, 1.0])
)
def test_divergences_agree_with_loops(
    pred_rows: list[tuple[float, ...]], target_rows: list[tuple[float, ...]], size_m: float
) -> None:
    pred, target = torch.tensor(pred_rows), torch.tensor(target_rows)
    # a sum of at most 80 terms below 1, each good to a few bits
    for score, axes in ((jsd_bev, 2), (jsd_3d, 3)):
        expected = divergence(cells(pred, size_m, axes), cells(target, size_m, axes))
        assert score(pred, target, size_m) == pytest.approx(expected, abs=1e-13)
    both = jsd_bev(pred, target, size_m), jsd_3d(pred, target, size_m)
    assert divergences(pred, target, size_m) == both


def test_the_square_root_is_scipys_distance() -> None:
    random = torch.Generator().manual_seed(0)
    pred, target = (torch.rand(300, 3, generator=random) * 2 for _ in range(2))
    edges = np.arange(5) * 0.5
    histograms = [np.histogramdd(points.numpy(), bins=[edges] * 3)[0] for points in (pred, target)]
    distance = jensenshannon(*(histogram.ravel() for histogram in histograms), base=2)
    assert jsd_3d(pred, target) == pytest.approx(distance**2, rel=1e-12)
    distance = jensenshannon(*(histogram.sum(-1).ravel() for histogram in histograms), base=2)
    assert jsd_bev(pred, target) == pytest.approx(distance**2, rel=1e-12)


def test_divergence_by_hand() -> None:
    # one shared cell with shares 1/2 and 1, mixture 3/4; one of pred alone with share 1/2:
    # 1/2 (1/2 log2(2/3) + 1/2 log2(2)) + 1/2 log2(4/3)
    pred = torch.tensor([[0.1, 0.1, 0.1], [0.1, 0.1, 5.1]])
    target = torch.tensor([[0.2, 0.2, 0.2]])
    by_hand = 0.25 * math.log2(2 / 3) + 0.25 + 0.5 * math.log2(4 / 3)
    assert jsd_3d(pred, target) == pytest.approx(by_hand, rel=1e-12)
    assert jsd_bev(pred, target) == 0  # the same column


def test_bounds() -> None:
    random = torch.Generator().manual_seed(1)
    points = torch.rand(500, 4, generator=random) * 20
    assert divergences(points, points.flip(0)) == (0, 0)
    assert divergences(points, points + 100) == pytest.approx((1, 1), rel=1e-12)
    assert 0 < jsd_bev(points[:250], points[250:]) < jsd_3d(points[:250], points[250:]) < 1
    # twice the points in the same shares
    assert jsd_3d(points, torch.cat([points, points])) == 0


def test_empty_clouds_diverge_as_far_as_can_be() -> None:
    none, some = torch.zeros(0, 3), torch.zeros(3, 3)
    assert divergences(none, some) == divergences(some, none) == (1, 1)
    assert all(math.isnan(value) for value in divergences(none, none))


def sets_of_clouds() -> tuple[list[Tensor], list[Tensor]]:
    random = torch.Generator().manual_seed(2)
    sizes = ((4, 1, 30), (7, 20))
    preds, targets = ([torch.rand(size, 4, generator=random) * 5 for size in row] for row in sizes)
    return preds, targets


def test_table_agrees_with_evaluate_on_every_pair() -> None:
    preds, targets = sets_of_clouds()
    table = chamfer_table(preds, targets)
    assert table.shape == (3, 2)
    for row, pred in enumerate(preds):
        for column, target in enumerate(targets):
            expected = evaluate(pred, target)["chamfer_sum_m"]
            assert table[row, column].item() == pytest.approx(expected, rel=1e-12)


def test_matching_by_hand() -> None:
    table = torch.tensor([[1.0, 4.0, 9.0], [2.0, 3.0, 5.0]]).double()
    # nearest predictions: 1, 3, 5 m away; both predictions are nearest to target 0
    assert minimum_matching_distance(table) == 3
    assert coverage(table) == pytest.approx(1 / 3)
    assert coverage(table.T.contiguous()) == 1


def test_a_set_against_itself_is_perfect() -> None:
    clouds = sets_of_clouds()[0]
    table = chamfer_table(clouds, clouds)
    assert minimum_matching_distance(table) == 0
    assert coverage(table) == 1


def test_empty_clouds_match_nothing() -> None:
    preds, targets = sets_of_clouds()
    empty = torch.zeros(0, 3)
    table = chamfer_table([*preds, empty], [*targets, empty])
    assert torch.equal(table[:3, :2], chamfer_table(preds, targets))
    assert table[3].tolist() == [INF] * 3
    assert table[:, 2].tolist() == [INF] * 4
    # an empty prediction changes no minimum and covers nothing
    alone = chamfer_table(preds, targets)
    assert minimum_matching_distance(table[:, :2]) == minimum_matching_distance(alone)
    assert coverage(table[:, :2]) == coverage(alone)
    # an empty target is met by nobody
    assert minimum_matching_distance(table) == INF
    assert coverage(table) == pytest.approx(coverage(alone) * 2 / 3)


def test_empty_sets() -> None:
    preds, targets = sets_of_clouds()
    no_preds, no_targets = chamfer_table([], targets), chamfer_table(preds, [])
    assert (no_preds.shape, no_targets.shape) == ((0, 2), (3, 0))
    assert minimum_matching_distance(no_preds) == INF
    assert coverage(no_preds) == 0
    assert math.isnan(minimum_matching_distance(no_targets))
    assert math.isnan(coverage(no_targets))


def test_coordinates_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="row 0 is"):
        chamfer_table([torch.full((1, 3), math.nan)], [torch.zeros(1, 3)])
