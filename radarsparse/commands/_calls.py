"""Commands that run other commands."""

import subprocess
import sys


def call(name: str, *arguments: object) -> None:
    """Run a command in a process of its own, so that its memory is free again afterwards.

    Args:
        name: of the command.
        arguments: that follow it.

    Raises:
        SystemExit: the command failed; the status is its own.
    """
    words = [name, *map(str, arguments)]
    print("$ radarsparse", *words, flush=True)
    # As sys.stdout, since with --json it is stderr.
    status = subprocess.run(
        [sys.executable, "-m", "radarsparse", *words], stdout=sys.stdout, check=False
    ).returncode
    if status:
        sys.exit(status)
