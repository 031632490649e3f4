"""The weights that ship on simulated frames: simulate, evaluate, enhance, draw."""

import argparse
from collections.abc import Mapping
from functools import partial
from typing import Any

from radarsparse.cli import Command
from radarsparse.commands._calls import add_out, call, show_frame
from radarsparse.models.weights import SHIPPED

FRAMES = 100
# Not the seed of the frames that the weights were trained on.
SEED = 1000
EXAMPLES = """
radarsparse demo
radarsparse demo --out out/demo
"""


def act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Run the commands one after another.

    Returns:
        The files that were written.
    """
    data, metrics = (arguments.out / name for name in ("data", "metrics.json"))
    call("simulate", "--out", data, "--frames", FRAMES, "--seed", SEED)
    which = ("--checkpoint", SHIPPED, "--split", "test", "--set", f"data.root={data}")
    call("eval", *which, "--out", metrics)
    return show_frame(SHIPPED, data, metrics)


COMMAND = Command("demo", str(__doc__), EXAMPLES, partial(add_out, "out/demo"), act)
