"""Random numbers that belong to a sample, whatever batch or process it is trained in."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from radarsparse.sparse import Support
from radarsparse.sparse.tensor import move


class SampleRandom:
    """Draws for the samples of one batch, each from a generator of its own.

    Drawn on the CPU, so that every device sees the same numbers.

    Args:
        seed: of the run.
        samples: the run's number of each sample in the batch.
        device: where the numbers go.
    """

    def __init__(self, seed: int, samples: Sequence[int], device: torch.device) -> None:
        self.samples = samples
        self._generators = [_generator(seed, sample) for sample in samples]
        self._device = device

    def uniform(self) -> Tensor:
        """One number in 0 .. 1 per sample, [b]."""
        return self._draw(torch.rand, [()] * len(self._generators))

    def normal(self) -> Tensor:
        """One standard normal number per sample, [b]."""
        return self._draw(torch.randn, [()] * len(self._generators))

    def uniform_rows(self, support: Support) -> Tensor:
        """One number in 0 .. 1 per voxel of a support, [n]."""
        return self._draw(torch.rand, [(rows,) for rows in support.sample_counts])

    def normal_rows(self, support: Support, channels: int) -> Tensor:
        """Standard normal numbers per voxel of a support, [n, channels]."""
        return self._draw(torch.randn, [(rows, channels) for rows in support.sample_counts])

    def _draw(self, draw: Callable[..., Tensor], shapes: Sequence[tuple[int, ...]]) -> Tensor:
        pairs = zip(self._generators, shapes, strict=True)
        parts = [draw(shape, generator=generator) for generator, shape in pairs]
        joined = torch.cat(parts) if parts[0].ndim else torch.stack(parts)
        return move(joined, self._device)


def derive_seed(*numbers: int) -> int:
    """One seed from several numbers, such as the run's seed and a sample's number."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _generator(seed: int, sample: int) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(seed, 3, sample))
