import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from radarsparse.errors import InputError
from radarsparse.metrics import nearest, nearest_both
from radarsparse.metrics.nearest.tree import choose_search

COORDINATE_M = st.floats(-100, 100, width=32)


def cloud(points_min: int, points_max: int) -> st.SearchStrategy[np.ndarray]:
    rows = st.integers(points_min, points_max)
    return rows.flatmap(lambda n: arrays(np.float32, (n, 3), elements=COORDINATE_M))


def smallest_distance2(query: list[float], target: list[list[float]]) -> float:
    """Oracle: three plain loops in double precision."""
    smallest = math.inf
    for point in target:
        total = 0.0
        for a, b in zip(query, point, strict=True):
            total += (a - b) * (a - b)
        smallest = min(smallest, total)
    return smallest


def assert_agrees_with_loops(query: Tensor, target: Tensor) -> None:
    distance2, index = nearest(query, target)
    expected = [smallest_distance2(point, target.tolist()) for point in query.tolist()]
    tolerance = 1e-6 if query.dtype == torch.float32 else 1e-14
    assert distance2.tolist() == pytest.approx(expected, rel=tolerance, abs=1e-25)
    # The index is any of the nearest, so it is judged by the distance that it leads to.
    named = (query.double() - target.double()[index]).square().sum(dim=1)
    assert named.tolist() == pytest.approx(expected, rel=1e-14, abs=1e-25)


@settings(max_examples=40, deadline=None)
@given(query=cloud(1, 9), target=cloud(1, 9))
def test_random_clouds_agree_with_loops(query: np.ndarray, target: np.ndarray) -> None:
    assert_agrees_with_loops(torch.from_numpy(query), torch.from_numpy(target))
    assert_agrees_with_loops(torch.from_numpy(query).double(), torch.from_numpy(target).double())


def test_by_hand() -> None:
    query = torch.tensor([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]])
    target = torch.tensor([[9.0, 0.0, 0.0], [0.0, 3.0, 4.0], [0.0, -2.0, 0.0]])
    distance2, index = nearest(query, target)
    assert distance2.tolist() == [4.0, 1.0]
    assert index.tolist() == [2, 0]


def test_three_centimetres_at_a_hundred_metres() -> None:
    steps = torch.arange(20, dtype=torch.float64)[:, None] * 0.5
    target = (torch.tensor([[100.0, -100.0, 100.0]], dtype=torch.float64) + steps).float()
    query = (target.double() + torch.tensor([0.03, 0.0, 0.0])).float()
    assert_agrees_with_loops(query, target)
    distance2, index = nearest(query, target)
    # The expanded form |a|^2 - 2ab + |b|^2 is off by millimetres squared here.
    assert distance2.sqrt().tolist() == pytest.approx([0.03] * 20, abs=1e-5)
    assert index.tolist() == list(range(20))


def test_far_from_the_origin_keeps_double_precision() -> None:
    target = torch.tensor([[1e6, 5e6, 0.0], [1e6, 5e6, 0.002]], dtype=torch.float64)
    query = torch.tensor([[1e6, 5e6, 0.0015]], dtype=torch.float64)
    distance2, index = nearest(query, target)
    assert index.tolist() == [1]
    assert distance2.item() == pytest.approx(0.0005**2, rel=1e-9)


def test_the_search_itself_is_in_double_precision() -> None:
    # 1 micrometre at 100 m from the target's mean is below the resolution of single precision.
    far = torch.zeros(50, 3, dtype=torch.float64)
    far[:, 0] = 100 + 1e-6 * torch.arange(50, dtype=torch.float64)
    distance2, index = nearest(far, torch.cat([far, -far]))
    assert index.tolist() == list(range(50))
    assert distance2.tolist() == [0.0] * 50


def test_equal_points_and_copies_are_at_zero() -> None:
    points = torch.tensor([[1.1, 2.2, 3.3]]).repeat(30, 1)
    distance2, index = nearest(points, points)
    assert distance2.tolist() == [0.0] * 30
    assert 0 <= int(index.min()) <= int(index.max()) < 30


def test_many_copies_in_the_target_name_a_row_that_is_near() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 3, (60, 3), generator=generator).float()
    assert_agrees_with_loops(torch.rand(20, 3, generator=generator) * 2, target)


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=5))
def test_a_batch_is_its_clouds_one_by_one(sizes: list[tuple[int, int]]) -> None:
    a_sizes, b_sizes = (torch.tensor([0, *side]) for side in zip(*sizes, strict=True))
    a_offsets, b_offsets = a_sizes.cumsum(0), b_sizes.cumsum(0)
    generator = torch.Generator().manual_seed(len(sizes))
    a = torch.randn(int(a_offsets[-1]), 3, generator=generator)
    b = torch.randn(int(b_offsets[-1]), 3, generator=generator)
    there2, there, back2, back = nearest_both(a, b, a_offsets, b_offsets)
    one_way = nearest(a, b, a_offsets, b_offsets)
    assert torch.equal(one_way[0], there2)
    assert torch.equal(one_way[1], there)
    for sides in (
        (a, b, a_offsets, b_offsets, there2, there),
        (b, a, b_offsets, a_offsets, back2, back),
    ):
        assert_is_each_alone(*sides)


def assert_is_each_alone(
    query: Tensor, target: Tensor, starts: Tensor, firsts: Tensor, distance2: Tensor, index: Tensor
) -> None:
    for cloud in range(len(starts) - 1):
        rows = slice(int(starts[cloud]), int(starts[cloud + 1]))
        first, last = int(firsts[cloud]), int(firsts[cloud + 1])
        if first == last:
            assert distance2[rows].isinf().all()
            assert (index[rows] == -1).all()
        else:
            alone = nearest(query[rows], target[first:last])
            assert torch.equal(distance2[rows], alone[0])
            assert torch.equal(index[rows], alone[1] + first)


def test_the_operators_keep_their_promises() -> None:
    bounds = torch.tensor([0, 3])
    clouds = torch.randn(3, 3), torch.randn(3, 3, dtype=torch.float64)
    for name in ("nearest", "nearest_both"):
        torch.library.opcheck(
            getattr(torch.ops.radarsparse, name).default, (*clouds, bounds, bounds)
        )


def test_one_thread_and_two_give_the_same_bits() -> None:
    a, b = torch.randn(500, 3), torch.randn(400, 3)
    threads = torch.get_num_threads()
    found = []
    for count in (1, 2):
        torch.set_num_threads(count)
        found.append(nearest_both(a, b))
    torch.set_num_threads(threads)
    assert all(map(torch.equal, *found))


def test_it_says_once_which_search_runs(caplog: pytest.LogCaptureFixture) -> None:
    choose_search.cache_clear()
    with caplog.at_level("INFO"):
        nearest(torch.zeros(1, 3), torch.zeros(1, 3))
        nearest(torch.zeros(1, 3), torch.zeros(1, 3))
    assert [record.message for record in caplog.records] in (
        ["nearest neighbours: SciPy on the CPU"],
        ["nearest neighbours: pykdtree on the CPU"],
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([0, 1], "query: offsets .0, 1. must ascend from 0 to 2"),
        ([1, 2], "query: offsets .1, 2. must ascend from 0 to 2"),
        ([0, 2, 1, 2], "must ascend from 0 to 2"),
        ([0, 1, 2], "target: 1 clouds found, 2 expected as in query"),
        ([[0, 2]], r"query: offsets torch.int64 \(1, 2\) found, int \(b \+ 1,\) expected"),
    ],
)
def test_offsets_that_do_not_fit_are_refused(given: list[int], message: str) -> None:
    points, whole = torch.zeros(2, 3), torch.tensor([0, 2])
    with pytest.raises(InputError, match=message):
        nearest(points, points, torch.tensor(given), whole)
    with pytest.raises(InputError, match="offsets of one cloud found, those of both or of neither"):
        nearest(points, points, whole)


def test_other_dtypes_and_devices_are_refused() -> None:
    with pytest.raises(InputError, match=r"query: dtype torch\.int64 found, float32 or float64"):
        nearest(torch.zeros(1, 3, dtype=torch.int64), torch.zeros(1, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_types_and_shapes(dtype: torch.dtype) -> None:
    for rows in (0, 1, 4):
        distance2, index = nearest(torch.zeros(rows, 3, dtype=dtype), torch.ones(2, 3))
        assert distance2.shape == index.shape == (rows,)
        assert distance2.dtype == dtype
        assert index.dtype == torch.int64
        assert distance2.tolist() == [3.0] * rows


def test_gradients_and_strides_are_no_obstacle() -> None:
    query = torch.arange(12.0).reshape(3, 4).T[:, :3].requires_grad_()
    assert nearest(query, torch.tensor([[0.0, 4.0, 8.0]]))[0].tolist() == [0.0, 3.0, 12.0, 27.0]


def test_arguments_stay_as_they_are() -> None:
    query, target = torch.ones(2, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)
    nearest(query, target)
    assert query.equal(torch.ones(2, 3, dtype=torch.float64))
    assert target.equal(torch.eye(3, dtype=torch.float64))


def test_empty_target_is_refused() -> None:
    with pytest.raises(InputError, match="target: 0 points found, at least 1 expected"):
        nearest(torch.zeros(2, 3), torch.zeros(0, 3))


@pytest.mark.parametrize(
    ("query_shape", "target_shape", "message"),
    [
        ((2, 4), (2, 3), r"query: shape \(2, 4\) found, \(n, 3\) expected"),
        ((2, 3), (3,), r"target: shape \(3,\) found, \(n, 3\) expected"),
    ],
)
def test_other_shapes_are_refused(
    query_shape: tuple[int, ...], target_shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        nearest(torch.zeros(query_shape), torch.zeros(target_shape))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    bad = torch.tensor([[value, 0.0, 0.0]])
    with pytest.raises(InputError, match=r"query: row 0 is \[(nan|inf), 0.0, 0.0\], finite values"):
        nearest(bad, torch.zeros(1, 3))
    with pytest.raises(InputError, match="target: row 0 is"):
        nearest(torch.zeros(1, 3), bad)


def test_small_unsigned_offsets_do_not_wrap() -> None:
    points, offsets = torch.zeros(60, 3), torch.tensor([0, 50, 40, 60], dtype=torch.uint8)
    with pytest.raises(InputError, match=r"query: offsets \[0, 50, 40, 60\] must ascend"):
        nearest(points, points, offsets, offsets)


@pytest.mark.parametrize("cloud", [None, [[0.0, 0, 0]], torch.zeros(1, 3).to_sparse()])
def test_what_is_no_dense_tensor_is_refused(cloud: object) -> None:
    with pytest.raises(InputError, match=r"target: .+ found, a dense tensor expected"):
        nearest(torch.zeros(1, 3), cloud)  # pyright: ignore[reportArgumentType] (the question)


def test_coordinates_whose_squares_are_no_numbers_are_refused() -> None:
    far = torch.full((1, 3), 1e300, dtype=torch.float64)
    with pytest.raises(InputError, match=r"target: row 0 is .+, finite values up to 1e\+150 m"):
        nearest(torch.zeros(1, 3, dtype=torch.float64), far)
