"""The kernels, compiled once for the CPU."""

import pytest

from tests.kernels.emulator import EmulatedKernels, compile_emulator


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> EmulatedKernels:
    return EmulatedKernels(compile_emulator(tmp_path_factory.mktemp("emulator")))
