"""Leaving in good order when the system asks for it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_TERMINATED = 128 + signal.SIGTERM


class Terminated(SystemExit):
    """SIGTERM was received and a checkpoint was written."""

    def __init__(self) -> None:
        super().__init__(EXIT_TERMINATED)


class Termination:
    """Whether SIGTERM was received."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, _number: int, _frame: FrameType | None) -> None:
        """The handler: take notice, so that the step at hand ends first."""
        self.asked = True


@contextmanager
def noticing_termination() -> Iterator[Termination]:
    """Take notice of SIGTERM within the block in place of ending at once."""
    termination = Termination()
    before = signal.signal(signal.SIGTERM, termination.ask)
    try:
        yield termination
    finally:
        signal.signal(signal.SIGTERM, before)
