"""What a test hands to the processes that it starts, and what it asks of the system."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]


def environment(**more: str) -> dict[str, str]:
    """That of this process, and this checkout before whatever else Python imports from.

    Args:
        more: variables to set besides.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **more}


@contextmanager
def small_disk(most: int) -> Iterator[None]:
    """The system refuses to write more bytes to a file, as it does when a disk is full.

    Args:
        most: bytes of a file.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
