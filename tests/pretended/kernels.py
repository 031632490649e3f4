"""The kernels of the project on the pretended device, run by the emulator."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from radarsparse.gpu.compiler import load_kernels
from radarsparse.gpu.signatures import Argument, check_arguments
from tests.kernels.emulator import EmulatedKernels
from tests.pretended.device import CudaError, Pretended, pretended_cuda, to_inner


class PretendedKernels:
    """Like `CudaKernels`; refuses what a real kernel would misread."""

    def __init__(self, device: Pretended, library: Path) -> None:
        self._device, self._kernels = device, EmulatedKernels(library)

    def launch(
        self, name: str, blocks: tuple[int, int], threads: int, *arguments: Argument
    ) -> None:
        """As `Kernels.launch`."""
        check_arguments(name, arguments)
        for number, argument in enumerate(arguments):
            # A GPU reaches pinned memory, too.
            on_cpu = isinstance(argument, Tensor) and not argument.is_cuda
            if on_cpu and not self._device.is_pinned(argument):
                raise CudaError(f"{name}: argument {number} is on the CPU")
        if 0 in blocks:
            return
        self._device.launch(f"kernel {name}")
        inner = name, blocks, threads, *map(to_inner, arguments)
        # The emulator takes turns among threads, of which a gather has millions.
        run = _gather if name == "gather_rows" else self._kernels.launch
        run(*inner)
        if self._device.capturing is not None:
            self._device.capturing.record(run, inner, {}, None)


def _gather(*launch: Any) -> None:
    """What `gather_rows` does, as tests/sparse/test_gather.py finds."""
    *_, rows, _, _, table, _, gathered = launch
    padded = torch.cat([rows, rows.new_zeros(1, rows.shape[1])])
    gathered.view(-1, rows.shape[1]).copy_(padded[table.flatten()])


@contextmanager
def pretended_gpu(library: Path) -> Iterator[Pretended]:
    """A pretended CUDA device with the project's kernels on it; `library` of `compile_emulator`."""
    with pretended_cuda() as device, pretended_kernels(device, library):
        yield device


@contextmanager
def pretended_kernels(device: Pretended, library: Path) -> Iterator[None]:
    """The project's kernels run by the emulator.

    Args:
        device: on which.
        library: of `compile_emulator`.
    """
    kernels = PretendedKernels(device, library)
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("radarsparse") and hasattr(module, load_kernels.__name__):
                stack.enter_context(patch.object(module, "load_kernels", lambda _device: kernels))
        yield
