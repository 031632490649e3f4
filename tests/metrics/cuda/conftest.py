"""The kernels, compiled once for the CPU."""

from importlib.util import find_spec

import pytest

from tests.kernels.emulator import EmulatedKernels, compile_emulator

# So that the tests that need a GPU can be collected on a machine without the extra dev.
collect_ignore = [] if find_spec("hypothesis") else ["test_search.py", "test_statistics.py"]


@pytest.fixture(scope="session")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> EmulatedKernels:
    return EmulatedKernels(compile_emulator(tmp_path_factory.mktemp("emulator")))
