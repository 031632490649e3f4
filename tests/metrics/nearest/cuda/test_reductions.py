"""The kernels of the statistics on the CPU, against NumPy."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from radarsparse.errors import InputError
from radarsparse.metrics.nearest.cuda.reductions import reduce_both, reduce_direction
from radarsparse.metrics.statistics import Statistics
from tests.kernels.emulator import EmulatedKernels

THRESHOLDS_M = (0.5, 0.1, 2.0, 1e9)
QUANTILES = (0.5, 0.0, 0.95, 1.0, 1 / 3)


def assert_agrees_with_numpy(result: Statistics, distance2: Tensor, offsets: Tensor) -> None:
    d2 = distance2.double().numpy()
    for frame, (start, end) in enumerate(pairwise(offsets)):
        distance = np.sqrt(d2[start:end])
        assert result.count[frame] == len(distance)
        assert result.sum_m[frame].item() == pytest.approx(math.fsum(distance), rel=1e-12)
        expected = math.fsum(d2[start:end])
        assert result.sum_sq_m2[frame].item() == pytest.approx(expected, rel=1e-12)
        hits = [(distance < threshold).sum() for threshold in THRESHOLDS_M]
        assert result.hits[frame].tolist() == hits
        quantiles_m = result.quantiles_m[frame].numpy()
        if len(distance) == 0:
            assert math.isnan(result.max_m[frame])
            assert np.isnan(quantiles_m).all()
        else:
            assert result.max_m[frame] == distance.max()
            expected = np.quantile(distance, QUANTILES)
            np.testing.assert_allclose(quantiles_m, expected, rtol=1e-14)


def run(kernels: EmulatedKernels, distance2: Tensor, offsets: Tensor) -> Statistics:
    return reduce_direction(kernels, distance2, offsets, THRESHOLDS_M, QUANTILES)


@settings(max_examples=20, deadline=None)
@given(
    counts=st.lists(st.integers(0, 60), max_size=5),
    distinct=st.sampled_from([1, 3, 1000]),
    seed=st.integers(0, 2**31),
)
def test_ragged_batches_with_and_without_ties(
    kernels: EmulatedKernels, counts: list[int], distinct: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = np.append(rng.exponential(1.0, distinct - 1), 0.0).astype(np.float32)
    distance2 = torch.from_numpy(rng.choice(values, sum(counts)))
    offsets = torch.tensor([0, *counts]).cumsum(0)
    assert_agrees_with_numpy(run(kernels, distance2, offsets), distance2, offsets)


@pytest.mark.parametrize("count", [2047, 2048, 2049, 30_000])
def test_several_blocks_per_frame(kernels: EmulatedKernels, count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    distance2 = torch.randn(2 * count, generator=generator).square()
    # Values of all magnitudes, some alike in the bits that a histogram tells apart.
    distance2[::3] = torch.exp2(torch.randint(-140, 60, (len(distance2[::3]),)).float())
    offsets = torch.tensor([0, count, count, 2 * count])
    assert_agrees_with_numpy(run(kernels, distance2, offsets), distance2, offsets)


def test_equal_to_a_threshold_is_no_hit(kernels: EmulatedKernels) -> None:
    distance2 = torch.tensor([0.25, 0.25, 0.2499999])
    assert run(kernels, distance2, torch.tensor([0, 3])).hits[0, 0] == 1


def test_infinite_distances(kernels: EmulatedKernels) -> None:
    distance2 = torch.tensor([1.0, torch.inf, 4.0, torch.inf, torch.inf])
    result = run(kernels, distance2, torch.tensor([0, 3, 5]))
    assert result.sum_m.tolist() == [torch.inf] * 2
    assert result.max_m.tolist() == [torch.inf] * 2
    assert result.hits.tolist() == [[0, 0, 1, 2], [0, 0, 0, 0]]
    # Ascending, the first frame holds 1, 2 and infinity.
    assert result.quantiles_m[0, :2].tolist() == [2.0, 1.0]
    assert result.quantiles_m[0, 2:4].tolist() == [torch.inf] * 2
    assert result.quantiles_m[1].tolist() == [torch.inf] * 5


def test_two_arrays_are_two_frames(kernels: EmulatedKernels) -> None:
    values = torch.rand(9000, generator=torch.Generator().manual_seed(0))
    for first in (0, 1, 2048, 5000, 9000):
        found = reduce_both(kernels, values[:first], values[first:], THRESHOLDS_M, QUANTILES)
        expected = run(kernels, values, torch.tensor([0, first, 9000]))
        for name, value in vars(found).items():
            torch.testing.assert_close(
                value, vars(expected)[name], rtol=0.0, atol=0.0, equal_nan=True
            )


def test_nothing_asked_and_nothing_there(kernels: EmulatedKernels) -> None:
    result = reduce_direction(kernels, torch.tensor([4.0]), torch.tensor([0, 1]), (), ())
    assert result.hits.shape == result.quantiles_m.shape == (1, 0)
    assert result.max_m.tolist() == [2.0]
    result = run(kernels, torch.empty(0), torch.tensor([0]))
    assert result.count.shape == result.sum_m.shape == (0,)


def test_equal_at_every_run_whatever_block_comes_first(
    kernels: EmulatedKernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    distance2 = torch.rand(50_000, generator=torch.Generator().manual_seed(0))
    offsets = torch.tensor([0, 30_000, 50_000])
    once = vars(run(kernels, distance2, offsets))
    monkeypatch.setattr(kernels, "backwards", True)
    for name, value in vars(run(kernels, distance2, offsets)).items():
        assert torch.equal(value, once[name])


def test_too_many_distances_are_refused(kernels: EmulatedKernels) -> None:
    with pytest.raises(InputError, match="in 1 clouds"):
        run(kernels, torch.zeros(1).expand(2**30), torch.tensor([0, 2**30]))
