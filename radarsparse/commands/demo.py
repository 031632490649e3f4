"""The weights that ship on simulated frames: simulate, evaluate, enhance, draw."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radarsparse.cli import Command
from radarsparse.commands._calls import call
from radarsparse.commands._show import show_frame
from radarsparse.models.weights import SHIPPED

FRAMES = 100
# Not the seed of the frames that the weights were trained on.
SEED = 1000
EXAMPLES = """
radarsparse demo
radarsparse demo --out out/demo
"""


def act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Run the commands one after another; a second call goes on where the first one stopped.

    Returns:
        The files that were written.
    """
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    data, metrics = out / "data", out / "metrics.json"
    call("simulate", "--out", data, "--frames", FRAMES, "--seed", SEED)
    which = ("--checkpoint", SHIPPED, "--split", "test", "--set", f"data.root={data}")
    call("eval", *which, "--out", metrics)
    cloud, picture = show_frame(SHIPPED, data, out)
    print(f"wrote {cloud}, {metrics} and {picture}")
    return {"cloud": str(cloud), "metrics": str(metrics), "picture": str(picture)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where to write."""
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="default: out/demo")


COMMAND = Command("demo", str(__doc__), EXAMPLES, add_arguments, act)
