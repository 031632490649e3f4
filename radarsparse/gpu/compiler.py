"""Compiles the kernels at their first use, keeps them on disk and launches them."""

import ctypes
import hashlib
import logging
import os
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from radarsparse.errors import InputError
from radarsparse.files import replacing
from radarsparse.gpu.signatures import SOURCES, UNITS, Argument, check_arguments, signature

_STANDARD = "c++17"
# Of the SHA-256 that stands before a cubin on disk.
_DIGEST_BYTES = 32


@runtime_checkable
class Kernels(Protocol):
    """Whatever runs the kernels: a GPU, or the CPU in tests."""

    def launch(
        self, name: str, blocks: tuple[int, int], threads: int, *arguments: Argument
    ) -> None:
        """Run one kernel on a grid of blocks; no blocks, no run.

        Args:
            name: the kernel.
            blocks: grid size, x and y.
            threads: per block.
            arguments: tensors as pointers, numbers as 32-bit integers.

        Raises:
            TypeError: arguments aren't what the kernel takes.
        """
        ...


class CudaKernels:
    """The kernels on one GPU, run on one stream."""

    def __init__(self, code: "_Code", stream: int) -> None:
        self._code = code
        self._stream = stream

    def launch(
        self, name: str, blocks: tuple[int, int], threads: int, *arguments: Argument
    ) -> None:
        """As `Kernels.launch`."""
        if 0 in blocks:
            return
        check_arguments(name, arguments)
        kernel, types = self._code.find(name)
        values = tuple([a.data_ptr() if isinstance(a, Tensor) else a or 0 for a in arguments])
        # The driver's own function: cuda-core's launch takes the host four times as long.
        (status,) = self._code.driver.cuLaunchKernel(
            *(kernel, *blocks, 1, threads, 1, 1, 0, self._stream, (values, types), 0)
        )
        if status != 0:
            raise RuntimeError(f"{name}: {status!r} from cuLaunchKernel")


class _Code:
    """The machine code of the kernels, loaded on one GPU."""

    def __init__(self, index: int) -> None:
        core = _import("cuda.core")
        self.driver: Any = _import("cuda.bindings.driver")
        major, minor = torch.cuda.get_device_capability(index)
        self._object = core.ObjectCode.from_cubin(compile_kernels(f"sm_{major}{minor}"))
        self._kernels: dict[str, tuple[int, tuple[type, ...]]] = {}

    def find(self, name: str) -> tuple[int, tuple[type, ...]]:
        """The handle of a kernel, and how its arguments are passed."""
        if name not in self._kernels:
            handle = int(self._object.get_kernel(name).handle)
            # Not `c_void_p`, which takes the host longer than the rest of a launch.
            types = (ctypes.c_int32 if p.is_integer else ctypes.c_int64 for p in signature(name))
            self._kernels[name] = handle, tuple(types)
        return self._kernels[name]


_load_code = cache(_Code)


def load_kernels(device: torch.device) -> CudaKernels:
    """The kernels of a GPU, for launches on its current stream; compiled at the first call.

    Raises:
        InputError: cuda-core isn't installed.
    """
    index = torch.cuda.current_device() if device.index is None else device.index
    return CudaKernels(_load_code(index), torch.cuda.current_stream(index).cuda_stream)


def compile_kernels(architecture: str) -> bytes:
    """The cubin of all kernels, from the disk if this NVRTC compiled the same sources before.

    It needs no GPU. A file that is damaged is made anew.

    Args:
        architecture: such as `sm_90`.

    Raises:
        InputError: cuda-core isn't installed.
    """
    core = _import("cuda.core")
    path = _kept_path(architecture)
    if path.is_file():
        kept = path.read_bytes()
        if _digest(kept[_DIGEST_BYTES:]) == kept[:_DIGEST_BYTES]:
            return kept[_DIGEST_BYTES:]
    text = "\n".join(f'#include "{unit}"' for unit in UNITS)
    options = core.ProgramOptions(arch=architecture, std=_STANDARD, include_path=str(SOURCES))
    cubin = core.Program(text, "c++", options).compile("cubin").code
    _keep(path, cubin)
    return cubin


def _kept_path(architecture: str) -> Path:
    """Where a cubin is kept; its name stands for everything that it depends on."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    _, *version = _import("cuda.bindings.nvrtc").nvrtcVersion()
    parts = [f"{architecture} {version} {_STANDARD} {UNITS}".encode()]
    parts += [path.read_bytes() for path in sorted(SOURCES.glob("*.cu*"))]
    name = hashlib.sha256(b"\0".join(parts)).hexdigest()
    return Path(root) / "radarsparse" / "kernels" / f"{name}.cubin"


def _digest(cubin: bytes) -> bytes:
    return hashlib.sha256(cubin).digest()


def _keep(path: Path, cubin: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_bytes(_digest(cubin) + cubin)
    except OSError as error:
        log = logging.getLogger(__name__)
        log.warning("%s: kernels not kept, every process compiles them: %s", path.parent, error)


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"kernels on CUDA need the package cuda-core ({error}); install the extra cuda12 or"
            " cuda13, that of torch.version.cuda: pip install 'radarsparse[cuda13]'"
        ) from error
