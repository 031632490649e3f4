"""A small batch through every kernel, for sanitizers: its argument is a library, or `cuda`."""

import sys
from pathlib import Path

import torch

from radarsparse.gpu.compiler import Kernels, load_kernels
from radarsparse.metrics.nearest.cuda import search as search_module
from radarsparse.metrics.nearest.cuda.packed import PackedClouds
from radarsparse.metrics.nearest.cuda.reductions import reduce_direction
from radarsparse.metrics.nearest.cuda.search import search_all, search_tree
from tests.kernels.emulator import EmulatedKernels

FIRST_COUNTS = (513, 0, 1, 33, 7, 2100)
SECOND_COUNTS = (1025, 40, 0, 9, 257, 31)


def main(kernels: Kernels, device: str) -> None:
    # So few that one block meets several tiles.
    search_module.BRUTE_BLOCKS = 40
    print("kernels start", flush=True)
    generator = torch.Generator().manual_seed(0)
    clouds = [
        50 * torch.randn(sum(counts), 3, generator=generator).to(device)
        for counts in (FIRST_COUNTS, SECOND_COUNTS)
    ]
    first, second = (
        torch.tensor([0, *counts]).cumsum(0).to(device) for counts in (FIRST_COUNTS, SECOND_COUNTS)
    )
    frames = PackedClouds.join(*clouds, first, second)
    distance2, _ = search_tree(kernels, frames, frames.both)
    if not torch.equal(distance2, search_all(kernels, frames, frames.both)[0]):
        sys.exit("the tree's distances aren't those of all pairs")
    reduce_direction(kernels, distance2[: len(clouds[0])], first, (1.0, 10.0), (0.5,))


if __name__ == "__main__":
    name = sys.argv[1]
    if name == "cuda":
        main(load_kernels(torch.device("cuda")), "cuda")
    else:
        main(EmulatedKernels(Path(name)), "cpu")
