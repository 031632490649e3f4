"""Compiles the kernels at their first use, keeps them on disk and launches them."""

import ctypes
import hashlib
import logging
import os
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from radarsparse.errors import InputError
from radarsparse.files import replacing

SOURCES = Path(__file__).parents[2] / "kernels"
UNITS = ("nearest.cu", "statistics.cu")
_STANDARD = "c++17"


class Kernels(Protocol):
    """Whatever runs the kernels: a GPU, or the CPU in tests."""

    def launch(
        self, name: str, blocks: tuple[int, int], threads: int, *arguments: Tensor | int
    ) -> None:
        """Run one kernel on a grid of blocks; no blocks, no run.

        Args:
            name: the kernel.
            blocks: grid size, x and y.
            threads: per block.
            arguments: tensors as pointers, numbers as 32-bit integers.
        """
        ...


class CudaKernels:
    """The kernels on one GPU, run on torch's current stream."""

    def __init__(self, device: torch.device) -> None:
        self._core: Any = _import("cuda.core")
        major, minor = torch.cuda.get_device_capability(device)
        cubin = compile_kernels(f"sm_{major}{minor}")
        self._device = device
        self._code = self._core.ObjectCode.from_cubin(cubin)
        self._kernels: dict[str, Any] = {}
        self._streams: dict[int, Any] = {}

    def launch(
        self, name: str, blocks: tuple[int, int], threads: int, *arguments: Tensor | int
    ) -> None:
        """As `Kernels.launch`."""
        if 0 in blocks:
            return
        if name not in self._kernels:
            self._kernels[name] = self._code.get_kernel(name)
        config = self._core.LaunchConfig(grid=blocks, block=threads)
        self._core.launch(self._stream(), config, self._kernels[name], *map(_to_driver, arguments))

    def _stream(self) -> Any:
        """Torch's current stream, as cuda-core knows it."""
        handle = torch.cuda.current_stream(self._device).cuda_stream
        if handle not in self._streams:
            self._streams[handle] = self._core.Stream.from_handle(handle)
        return self._streams[handle]


def _to_driver(argument: Tensor | int) -> Any:
    # cuda-core takes a plain int for a pointer.
    return argument.data_ptr() if isinstance(argument, Tensor) else ctypes.c_int32(argument)


def load_kernels(device: torch.device) -> CudaKernels:
    """The kernels of a GPU, compiled and loaded at the first call.

    Raises:
        InputError: cuda-core isn't installed.
    """
    index = torch.cuda.current_device() if device.index is None else device.index
    return _load_kernels(index)


@cache
def _load_kernels(index: int) -> CudaKernels:
    return CudaKernels(torch.device("cuda", index))


def compile_kernels(architecture: str) -> bytes:
    """The cubin of all kernels, from the disk if this NVRTC compiled the same sources before.

    It needs no GPU.

    Args:
        architecture: such as `sm_90`.

    Raises:
        InputError: cuda-core isn't installed.
    """
    core = _import("cuda.core")
    path = _cache_folder() / f"{_fingerprint(architecture)}.cubin"
    if path.is_file():
        return path.read_bytes()
    text = "\n".join(f'#include "{unit}"' for unit in UNITS)
    options = core.ProgramOptions(arch=architecture, std=_STANDARD, include_path=str(SOURCES))
    cubin = core.Program(text, "c++", options).compile("cubin").code
    _keep(path, cubin)
    return cubin


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "radarsparse" / "kernels"


def _fingerprint(architecture: str) -> str:
    """Names everything that the cubin depends on."""
    _, *version = _import("cuda.bindings.nvrtc").nvrtcVersion()
    parts = [f"{architecture} {version} {_STANDARD} {UNITS}".encode()]
    parts += [path.read_bytes() for path in sorted(SOURCES.glob("*.cu*"))]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def _keep(path: Path, cubin: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(cubin)
    except OSError as error:
        log = logging.getLogger(__name__)
        log.warning("%s: kernels not kept, every process compiles them: %s", path.parent, error)


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"metrics on CUDA need the package cuda-core ({error}); install the extra cuda12 or"
            " cuda13, that of torch.version.cuda: pip install 'radarsparse[cuda13]'"
        ) from error
