"""Random numbers that belong to a sample, whatever batch or process it is trained in."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from radarsparse.sparse import Support
from radarsparse.sparse.tensor import move

# To draw fewer takes less time than to start a thread.
_NUMBERS_PER_THREAD = 1 << 16

Fill = Callable[..., Tensor]
"""Fills a tensor in place by a generator."""


class SampleRandom:
    """Draws for the samples of one batch, each from a generator of its own.

    Drawn on the CPU, so that every device sees the same numbers.

    Args:
        seed: of the run.
        samples: the run's number of each sample in the batch.
        device: where numbers per voxel go; those per sample stay on the CPU, which is faster at a
            few numbers.
    """

    def __init__(self, seed: int, samples: Sequence[int], device: torch.device) -> None:
        self.samples = samples
        self._generators = [_generator(seed, sample) for sample in samples]
        self._device = device

    def uniform(self) -> Tensor:
        """One number in 0 .. 1 per sample, [b], on the CPU."""
        return self._fill(Tensor.uniform_, torch.empty(len(self.samples)), [1] * len(self.samples))

    def normal(self) -> Tensor:
        """One standard normal number per sample, [b], on the CPU."""
        return self._fill(Tensor.normal_, torch.empty(len(self.samples)), [1] * len(self.samples))

    def uniform_rows(self, support: Support) -> Tensor:
        """One number in 0 .. 1 per voxel of a support, [n]."""
        return self._fill_rows(Tensor.uniform_, support, (len(support),))

    def normal_rows(self, support: Support, channels: int) -> Tensor:
        """Standard normal numbers per voxel of a support, [n, channels]."""
        return self._fill_rows(Tensor.normal_, support, (len(support), channels))

    def _fill_rows(self, fill: Fill, support: Support, shape: tuple[int, ...]) -> Tensor:
        # A GPU copies from pinned memory by itself.
        empty = torch.empty(shape, pin_memory=self._device.type == "cuda")
        return move(self._fill(fill, empty, support.sample_counts), self._device)

    def _fill(self, fill: Fill, empty: Tensor, counts: list[int]) -> Tensor:
        """Fill each sample's rows by its generator, the samples side by side."""
        pairs = zip(empty.split(counts), self._generators, strict=True)
        threads = min(torch.get_num_threads(), 1 + empty.numel() // _NUMBERS_PER_THREAD)
        with ThreadPoolExecutor(threads) as pool:
            run = map if threads == 1 else pool.map
            list(run(lambda pair: fill(pair[0], generator=pair[1]), pairs))
        return empty


def derive_seed(*numbers: int) -> int:
    """One seed from several numbers, such as the run's seed and a sample's number."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _generator(seed: int, sample: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, 3, sample))
