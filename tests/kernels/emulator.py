"""Runs the kernels on CPU tensors: the very sources, compiled by g++."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from radarsparse.gpu.signatures import Argument, check_arguments

HERE = Path(__file__).parent
KERNELS = HERE.parents[1] / "kernels"
FLAGS = ("-std=c++17", "-O2", "-march=native", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
# Kernels of emulator.cpp alone.
NOT_IN_SOURCES = ("count_tests", "miss_barrier")
NO_COMPILER = "g++ isn't installed"


class EmulatedKernels:
    """Like `CudaKernels`, on CPU tensors."""

    def __init__(self, library: Path) -> None:
        code = ctypes.CDLL(str(library))
        self._launch = code.launch
        self._backwards = ctypes.c_bool.in_dll(code, "backwards")

    @property
    def backwards(self) -> bool:
        """Whether the last block of a grid runs first."""
        return self._backwards.value

    @backwards.setter
    def backwards(self, value: bool) -> None:
        self._backwards.value = value

    def launch(
        self, name: str, blocks: tuple[int, int], threads: int, *arguments: Argument
    ) -> None:
        if name not in NOT_IN_SOURCES:
            check_arguments(name, arguments)
        values = [_to_c(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(values))(*map(ctypes.addressof, values))
        status = self._launch(name.encode(), *blocks, threads, pointers)
        if status != 0:
            raise RuntimeError(f"{name}: {['', 'no such kernel', 'barrier not met'][status]}")


def _to_c(argument: Argument) -> ctypes.c_void_p | ctypes.c_int32:
    if isinstance(argument, int):
        return ctypes.c_int32(argument)
    assert argument is None or argument.device.type == "cpu"
    return ctypes.c_void_p(None if argument is None else argument.data_ptr())


def compile_emulator(
    folder: Path, *flags: str, kernels: Path = KERNELS, source: str = "emulator.cpp"
) -> Path:
    """The library in a folder; skips the test where there is no g++."""
    if shutil.which("g++") is None:
        pytest.skip(NO_COMPILER)
    library = folder / "emulator.so"
    command = ["g++", *FLAGS, "-Wno-unknown-pragmas", *flags, f"-I{kernels}", f"-I{HERE}"]
    subprocess.run([*command, str(HERE / source), "-o", str(library)], check=True)
    return library
