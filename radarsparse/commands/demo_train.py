"""The whole way on simulated data: simulate, train both stages, evaluate, enhance, draw."""

import argparse
from collections.abc import Mapping
from functools import partial
from typing import Any

from radarsparse.cli import Command
from radarsparse.commands._calls import add_out, call, show_frame

FRAMES = 200
EXAMPLES = """
radarsparse demo_train
radarsparse demo_train --out out/demo_train
"""


def act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Run the commands one after another.

    Returns:
        The files that were written.
    """
    names = ("data", "vae", "edm", "metrics.json")
    data, vae, edm, metrics = (arguments.out / name for name in names)
    root = ("--set", f"data.root={data}")
    call("simulate", "--out", data, "--frames", FRAMES, "--seed", 0)
    call("train", "--config", "demo_vae", "--out", vae, *root)
    call("train", "--config", "demo_edm", "--out", edm, *root, "--set", f"model.vae={vae}")
    call("eval", "--checkpoint", edm, "--split", "test", "--out", metrics)
    return show_frame(edm, data, metrics)


COMMAND = Command("demo_train", str(__doc__), EXAMPLES, partial(add_out, "out/demo_train"), act)
