"""Standard normal draws for sampling: the same on every device, made ahead where a GPU works."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from radarsparse.sparse.tensor import move

DrawNoise = Callable[[], Tensor]
"""Gives standard normal draws on all lattice rows, [n, c]."""


def make_noise(seed: int, like: Tensor) -> DrawNoise:
    """Standard normal draws in the shape of a tensor; the same seed gives the same ones.

    Args:
        seed: of the first one.
        like: [n, c] whose shape, dtype and device they have.
    """
    generator = torch.Generator().manual_seed(seed)
    # On the CPU, so that every device draws the same; pinned, so that a GPU copies by itself.
    pinned, shape = like.is_cuda, like.shape

    def draw() -> Tensor:
        return torch.randn(shape, generator=generator, pin_memory=pinned)

    draw_next = _Ahead(draw) if like.is_cuda else draw
    return lambda: move(draw_next(), like.device).to(like.dtype)


class _Ahead:
    """Calls a function once more than it is asked to, in a thread of its own.

    Args:
        make: what is called; its results come in order.
    """

    def __init__(self, make: Callable[[], Tensor]) -> None:
        self._make, self._worker = make, ThreadPoolExecutor(1)
        self._next = self._worker.submit(make)

    def __call__(self) -> Tensor:
        """The next result."""
        made = self._next.result()
        self._next = self._worker.submit(self._make)
        return made
