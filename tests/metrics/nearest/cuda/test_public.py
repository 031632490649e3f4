"""The public functions for CUDA on the emulator, in place of those for the CPU."""

from contextlib import nullcontext
from unittest.mock import MagicMock

import pytest
import torch
from torch import Tensor

from radarsparse.benchmark.streets import lidar_pair
from radarsparse.metrics import cloud, evaluate, match
from radarsparse.metrics.nearest import cuda, operator
from radarsparse.metrics.statistics import summarize_both, summarize_distances
from tests.kernels.emulator import EmulatedKernels

ASKED = ((0.1, 0.5, 2.0), (0.5, 0.95))
dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


@pytest.fixture(autouse=True)
def emulated(kernels: EmulatedKernels, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "load_kernels", lambda _: kernels)
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "Event", MagicMock)


def clouds(dtype: torch.dtype) -> list[Tensor]:
    """Rows of x, y, z and intensity."""
    generator = torch.Generator().manual_seed(0)
    points = [torch.from_numpy(cloud).to(dtype) for cloud in lidar_pair(1500, 0)]
    return [torch.cat([p, torch.rand(len(p), 1, generator=generator)], dim=1) for p in points]


@dtypes
def test_every_metric_is_that_of_the_cpu(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    pred, target = clouds(dtype)
    expected = evaluate(pred, target)
    search = operator._nearest_both_cuda
    monkeypatch.setattr(match, "nearest_both", lambda a, b: search(a, b, None, None))
    monkeypatch.setattr(cloud, "summarize_both", cuda.summarize_both_cuda)
    assert evaluate(pred, target) == pytest.approx(expected, rel=1e-5, nan_ok=True)


@dtypes
def test_distances_of_either_dtype_are_summed_up(dtype: torch.dtype) -> None:
    there2, back2 = (torch.rand(n).to(dtype) for n in (3000, 50))
    offsets = torch.tensor([0, 3000, 3050])
    both2 = torch.cat([there2, back2])
    for expected, found in (
        (
            summarize_distances(both2.float(), offsets, *ASKED),
            cuda.summarize_distances_cuda(both2, offsets, *ASKED),
        ),
        (
            summarize_both(there2.float(), back2.float(), *ASKED),
            cuda.summarize_both_cuda(there2, back2, *ASKED),
        ),
    ):
        for name, value in vars(expected).items():
            torch.testing.assert_close(vars(found)[name], value, rtol=1e-12, atol=0.0)


def test_rows_with_more_than_coordinates_and_of_two_dtypes() -> None:
    pred, target = (cloud[:, :3] for cloud in clouds(torch.float32))
    expected = cuda.nearest_both_cuda(pred.contiguous(), target.contiguous())
    for found in (
        cuda.nearest_both_cuda(pred, target),
        cuda.nearest_both_cuda(pred.T.contiguous().T, target.double()),
    ):
        assert all(map(torch.equal, found, expected))


def is_finite(*points: Tensor) -> bool:
    with cuda.FiniteCheck(points[0].device) as check:
        cuda.nearest_both_cuda(*points, check=check)
    return check.passed


@dtypes
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, None])
def test_whether_coordinates_are_finite(dtype: torch.dtype, value: float | None) -> None:
    for number in (0, 1):
        points = [cloud[:, :3] for cloud in clouds(dtype)]
        if value is not None:
            points[number][-1, 2] = value
        assert is_finite(*points) == (value is None)
    assert is_finite(points[0][:0], points[1][:0])
