"""Fixtures of the commands' tests."""

from collections.abc import Callable

import pytest

from radarsparse.cli import parse


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the tool in this process, which saves the seconds of a start; gives what it prints."""

    # Here, since tests are collected where packages are missing that commands need.
    from radarsparse.commands.eval import COMMAND  # noqa: PLC0415

    def act(*words: object) -> str:
        COMMAND.act(parse(COMMAND, [str(word) for word in words]))
        return capsys.readouterr().out

    return act
