"""Make the weights that ship: simulate frames, train all stages on them, halve the numbers."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radarsparse.cli import Command
from radarsparse.commands._calls import call
from radarsparse.models.weights import MODEL_FILE, save_half

FRAMES = 3000
EXAMPLES = """
radarsparse weights
radarsparse weights --out out/weights
"""


def act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Run the commands one after another; a second call goes on where the first one stopped.

    Returns:
        The file that was written.
    """
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    data, vae, edm, ect = (out / name for name in ("data", "vae", "edm", "ect"))
    root = f"data.root={data}"
    call("simulate", "--out", data, "--frames", FRAMES, "--seed", 0)
    changes = ("--set", root)
    call("train", "--config", "release_vae", "--out", vae, *changes)
    changes += ("--set", f"model.vae={vae}")
    call("train", "--config", "release_edm", "--out", edm, *changes)
    changes += ("--set", f"teacher={edm}")
    call("train", "--config", "release_ect", "--out", ect, *changes)
    save_half(ect, out / "release")
    file = out / "release" / MODEL_FILE
    print(f"wrote {file}")
    return {"weights": str(file)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where to write."""
    text = "folder for the frames and the runs (default: out/weights)"
    parser.add_argument("--out", type=Path, default=Path("out/weights"), help=text)


COMMAND = Command("weights", str(__doc__), EXAMPLES, add_arguments, act)
