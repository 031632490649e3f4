"""Random numbers that belong to a sample, whatever batch or process it is trained in."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from radarsparse.sparse import Support
from radarsparse.sparse.tensor import move
from radarsparse.voxels.batch import Batch

# To draw fewer takes less time than to start a thread.
_NUMBERS_PER_THREAD = 1 << 16


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
        self._generators = [torch.Generator().manual_seed(derive_seed(seed, 3, n)) for n in samples]
        self._device = device

    def uniform(self) -> Tensor:
        """One number in 0 .. 1 per sample, [b], on the CPU."""
        return torch.cat([torch.rand(1, generator=each) for each in self._generators])

    def normal(self) -> Tensor:
        """One standard normal number per sample, [b], on the CPU."""
        return torch.cat([torch.randn(1, generator=each) for each in self._generators])

    def uniform_rows(self, support: Support) -> Tensor:
        """One number in 0 .. 1 per voxel of a support, [n]."""
        return self._fill_rows(Tensor.uniform_, support, len(support))

    def normal_rows(self, support: Support, channels: int) -> Tensor:
        """Standard normal numbers per voxel of a support, [n, channels]."""
        return self._fill_rows(Tensor.normal_, support, len(support), channels)

    def _fill_rows(self, fill: Callable[..., Tensor], support: Support, *shape: int) -> Tensor:
        """Fill each sample's rows in place by its generator, the samples side by side."""
        # A GPU copies from pinned memory by itself.
        rows = torch.empty(shape, pin_memory=self._device.type == "cuda")
        pairs = zip(rows.split(support.sample_counts), self._generators, strict=True)
        threads = min(torch.get_num_threads(), 1 + rows.numel() // _NUMBERS_PER_THREAD)
        with ThreadPoolExecutor(threads) as pool:
            run = map if threads == 1 else pool.map
            list(run(lambda pair: fill(pair[0], generator=pair[1]), pairs))
        return move(rows, self._device)


def derive_seed(*numbers: int) -> int:
    """One seed from several numbers, such as the run's seed and a sample's number."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class TrainingBatch:
    """Frames and their random numbers; no dataclass, since Fabric would take one apart."""

    def __init__(self, frames: Batch, random: SampleRandom) -> None:
        self.frames, self.random = frames, random
