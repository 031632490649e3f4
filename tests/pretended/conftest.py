"""A pretended CUDA device for each test, and the kernels on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernels.emulator import compile_emulator
from tests.pretended.device import Pretended, pretended_cuda
from tests.pretended.kernels import pretended_kernels


@pytest.fixture
def device() -> Iterator[Pretended]:
    """The device, for as long as the test lasts."""
    with pretended_cuda() as pretended:
        yield pretended


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernels compiled for the CPU."""
    return compile_emulator(tmp_path_factory.mktemp("emulator"))


@pytest.fixture
def kernels(device: Pretended, emulator: Path) -> Iterator[Pretended]:
    """The device with the project's kernels on it."""
    with pretended_kernels(device, emulator):
        yield device
