"""The whole way on simulated data: simulate, train both stages, evaluate, enhance, draw."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radarsparse.cli import Command
from radarsparse.commands._calls import call
from radarsparse.commands._show import show_frame

FRAMES = 200
EXAMPLES = """
radarsparse demo_train
radarsparse demo_train --out out/demo_train
"""


def act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Run the commands one after another; a second call goes on where the first one stopped.

    Returns:
        The files that were written.
    """
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    data, vae, edm, metrics = out / "data", out / "vae", out / "edm", out / "metrics.json"
    root = f"data.root={data}"
    call("simulate", "--out", data, "--frames", FRAMES, "--seed", 0)
    call("train", "--config", "demo_vae", "--out", vae, "--set", root)
    settings = ("--set", root, "--set", f"model.vae={vae}")
    call("train", "--config", "demo_edm", "--out", edm, *settings)
    call("eval", "--checkpoint", edm, "--split", "test", "--out", metrics)
    cloud, picture = show_frame(edm, data, out)
    print(f"wrote {cloud}, {metrics} and {picture}")
    return {"cloud": str(cloud), "metrics": str(metrics), "picture": str(picture)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where to write."""
    text = "default: out/demo_train"
    parser.add_argument("--out", type=Path, default=Path("out/demo_train"), help=text)


COMMAND = Command("demo_train", str(__doc__), EXAMPLES, add_arguments, act)
