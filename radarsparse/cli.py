"""What every tool shares: log lines on stderr, and user errors as exit status 2."""

import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from radarsparse.errors import InputError

# Read when torch is loaded, after this module: its profiler, which measures memory on the CPU,
# would write lines of its own to stderr.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

EXIT_INPUT_ERROR = 2
EXIT_INTERRUPTED = 130


def run(main: Callable[[], None]) -> NoReturn:
    """Run a tool and leave the process with its exit status.

    Args:
        main: parses the arguments and does the work.
    """
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    logging.getLogger("radarsparse").setLevel(logging.INFO)
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_INPUT_ERROR)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0)
