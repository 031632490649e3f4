"""A pretended CUDA device for each test, with the project's kernels on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pretended.device import Pretended
from tests.pretended.kernels import pretended_gpu


@pytest.fixture
def device(library: Path) -> Iterator[Pretended]:
    """The device, for as long as the test lasts."""
    with pretended_gpu(library) as pretended:
        yield pretended
