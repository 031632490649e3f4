"""How many boxes and points a search of the tree meets; as a script, the table of BENCHMARK.md."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from radarsparse.benchmark.streets import OUTLIER_BOX_M, lidar_pair
from radarsparse.metrics.nearest.cuda.packed import PackedClouds
from radarsparse.metrics.nearest.cuda.search import build_tree
from tests.kernels.emulator import EmulatedKernels, compile_emulator

WARP = 32


def count_tests(kernels: EmulatedKernels, frames: PackedClouds) -> tuple[Tensor, list[Tensor]]:
    """Squared distances of one frame, and tests [n, 2] of boxes and points, along the curve.

    Args:
        kernels: with the counting kernel.
        frames: one frame.

    Returns:
        float32 [n + m] in the order of the rows; the tests of each cloud's queries.
    """
    tree = build_tree(kernels, frames)
    distance2 = torch.empty(frames.both.points)
    index = torch.empty(frames.both.points, dtype=torch.int64)
    tests = torch.full((len(tree.slots), 2), -1, dtype=torch.int32)
    blocks = (frames.both.blocks(7), 1)
    kernels.launch("count_tests", blocks, 128, *tree.arguments, distance2, index, tests)
    done = tests[tests[:, 0] >= 0]
    first, both = frames.first.points, frames.both.points
    assert len(done) == both
    return distance2, list(done.split([first, both - first]))


def _pairs(points: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    pred, target = lidar_pair(points, 0)
    yield "LiDAR", pred, target
    yield "Gauss, 30 m, to LiDAR", rng.normal(0, 30, (points, 3)), target
    yield "LiDAR, shifted 100 m", target + np.array([100.0, 0.0, 0.0]), target
    uniform = rng.uniform(-1, 1, (2, points, 3)) * OUTLIER_BOX_M
    yield "uniform", *uniform


def _row(name: str, tests: Tensor) -> str:
    boxes, points = tests.double().mean(dim=0).tolist()
    work = tests.sum(dim=1)
    warps = work[: len(work) // WARP * WARP].view(-1, WARP).max(dim=1).values.double()
    numbers = f"{boxes:.0f} + {points:.0f} | {boxes + points:.0f} | {work.max()}"
    return (
        f"| {name} | {numbers} | {warps.mean():.0f} | {work.double().mean() / warps.mean():.2f} |"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        kernels = EmulatedKernels(compile_emulator(Path(folder)))
    print("| clouds | boxes + points per query | sum | worst | mean of warps' worst | ratio |")
    print("|---|---|---|---|---|---|")
    for points in (10_000, 100_000, 300_000):
        for name, *clouds in _pairs(points):
            offsets = torch.tensor([0, points])
            first, second = (torch.from_numpy(np.asarray(cloud, np.float32)) for cloud in clouds)
            _, both = count_tests(kernels, PackedClouds.join(first, second, offsets, offsets))
            for way, tests in zip(("there", "back"), both, strict=True):
                print(_row(f"{name}, {points // 1000}k, {way}", tests), flush=True)


if __name__ == "__main__":
    main()
