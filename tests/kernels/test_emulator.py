"""The emulator notices what a GPU would suffer."""

from pathlib import Path

import pytest

from tests.kernels.emulator import EmulatedKernels, compile_emulator


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> EmulatedKernels:
    folder: Path = tmp_path_factory.mktemp("emulator")
    return EmulatedKernels(compile_emulator(folder))


def test_a_barrier_that_a_thread_misses(kernels: EmulatedKernels) -> None:
    with pytest.raises(RuntimeError, match="miss_barrier: barrier not met"):
        kernels.launch("miss_barrier", (1, 1), 2)


def test_an_unknown_kernel(kernels: EmulatedKernels) -> None:
    with pytest.raises(ValueError, match="absent: no such kernel"):
        kernels.launch("absent", (1, 1), 1)


def test_an_empty_grid_runs_nothing(kernels: EmulatedKernels) -> None:
    kernels.launch("miss_barrier", (0, 1), 2)
