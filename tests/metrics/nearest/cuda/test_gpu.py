"""The kernels on a GPU: the bits of the CPU, on any stream, watched by compute-sanitizer."""

import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from radarsparse.benchmark.streets import lidar_pair
from radarsparse.errors import InputError
from radarsparse.gpu.compiler import load_kernels
from radarsparse.metrics import nearest_both
from radarsparse.metrics.nearest.cuda import (
    FiniteCheck,
    nearest_both_cuda,
    nearest_cuda,
    summarize_both_cuda,
    summarize_distances_cuda,
)
from radarsparse.metrics.nearest.cuda.packed import PackedClouds
from radarsparse.metrics.nearest.cuda.reductions import reduce_direction
from radarsparse.metrics.nearest.cuda.search import find_nearest, search_all, search_tree
from tests.kernels import small_case
from tests.kernels.emulator import EmulatedKernels
from tests.metrics.nearest.cuda.clouds import batch, hard_pairs
from tests.processes import environment

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU"),
]
NAMES = ("query", "target")
PAIRS = hard_pairs()


def frames_of(*clouds: Tensor, device: str) -> PackedClouds:
    offsets = (torch.tensor([0, len(cloud)]).to(device) for cloud in clouds)
    return PackedClouds.join(*(cloud.to(device) for cloud in clouds), *offsets)


@pytest.mark.parametrize("way", [search_all, search_tree])
@pytest.mark.parametrize("name", PAIRS)
def test_distances_have_the_bits_of_the_cpu(kernels: EmulatedKernels, name: str, way) -> None:
    ours, theirs = (frames_of(*PAIRS[name], device=device) for device in ("cuda", "cpu"))
    found = way(load_kernels(torch.device("cuda")), ours, ours.both)
    expected = way(kernels, theirs, theirs.both)
    assert torch.equal(found[0].cpu(), expected[0])
    assert torch.equal(found[1].cpu(), expected[1])


@pytest.mark.parametrize("points", [10_000, 100_000])
def test_the_tree_gives_the_bits_of_all_pairs(points: int) -> None:
    packed = frames_of(*map(torch.from_numpy, lidar_pair(points, 0)), device="cuda")
    kernels = load_kernels(torch.device("cuda"))
    tree, once_more = (search_tree(kernels, packed, packed.both) for _ in range(2))
    assert torch.equal(tree[0], search_all(kernels, packed, packed.both)[0])
    assert torch.equal(tree[1], once_more[1])


def test_ragged_batches_by_the_public_names(kernels: EmulatedKernels) -> None:
    generator = torch.Generator().manual_seed(0)
    counts = ((700, 90), (0, 5), (3000, 2500), (8, 0))
    (a, a_offsets), (b, b_offsets) = (
        batch([torch.randn(pair[side], 3, generator=generator) for pair in counts])
        for side in (0, 1)
    )
    packed = PackedClouds.join(a, b, a_offsets, b_offsets)
    expected = find_nearest(kernels, packed, packed.both)
    clouds = a.cuda(), b.cuda(), a_offsets.cuda(), b_offsets.cuda()
    there2, there, back2, back = nearest_both_cuda(*clouds)
    assert torch.equal(torch.cat([there2, back2]).cpu(), expected[0])
    assert torch.equal(torch.cat([there, back]).cpu(), expected[1])
    assert torch.equal(nearest_cuda(*clouds)[0], there2)
    asked = ((0.1, 0.5), (0.5, 0.95))
    result = vars(summarize_distances_cuda(there2, clouds[2], *asked))
    for name, value in vars(reduce_direction(kernels, there2.cpu(), a_offsets, *asked)).items():
        torch.testing.assert_close(result[name].cpu(), value, rtol=1e-14, atol=0.0, equal_nan=True)


@contextmanager
def waits_are_errors() -> Iterator[None]:
    """Within, a wait for the GPU raises."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype")
        try:
            torch.cuda.set_sync_debug_mode("error")
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_the_current_stream_is_used_and_not_waited_for() -> None:
    pred, target = (torch.from_numpy(cloud).cuda() for cloud in lidar_pair(20_000, 0))
    offsets = torch.tensor([0, 20_000]).cuda()
    expected = nearest_both_cuda(pred, target)
    statistics = summarize_both_cuda(expected[0], expected[2], (0.1,), (0.5,))
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with waits_are_errors(), torch.cuda.stream(stream):
        check = FiniteCheck(pred.device)
        found = nearest_both_cuda(pred, target, offsets, offsets, check)
        summarize_distances_cuda(found[0], offsets, (0.1,), (0.5,))
        again = summarize_both_cuda(found[0], found[2], (0.1,), (0.5,))
    stream.synchronize()
    assert check.passed
    for once, later in zip(expected, found, strict=True):
        assert torch.equal(once, later)
    assert all(map(torch.equal, vars(statistics).values(), vars(again).values()))


@pytest.mark.parametrize("cloud", [0, 1])
@pytest.mark.parametrize("value", [torch.nan, -torch.nan, torch.inf, -torch.inf])
def test_points_that_are_not_finite_are_named(cloud: int, value: float) -> None:
    clouds = [torch.rand(n, 3).cuda() for n in (30_000, 40_000)]
    nearest_both(*clouds)
    clouds[cloud][-1, 2] = value
    with pytest.raises(InputError, match=f"{NAMES[cloud]}: row {len(clouds[cloud]) - 1} is"):
        nearest_both(*clouds)


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["memcheck", "racecheck", "initcheck", "synccheck"])
def test_compute_sanitizer(tool: str) -> None:
    if shutil.which("compute-sanitizer") is None:
        pytest.skip("compute-sanitizer isn't installed")
    command = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9"]
    if tool == "memcheck":
        # cuda-bindings asks the driver for functions that only newer ones have.
        command += ["--report-api-errors", "no"]
    command += [sys.executable, small_case.__file__, "cuda"]
    # Torch's own allocator would lay arrays side by side in blocks that the tool takes for one.
    variables = environment(PYTORCH_NO_CUDA_MEMORY_CACHING="1")
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
