"""Make the weights that ship: simulate frames, train all stages on them, halve the numbers."""

import argparse
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from radarsparse.cli import Command
from radarsparse.commands._calls import add_out, call
from radarsparse.models.weights import MODEL_FILE, save_half

FRAMES = 9600
EXAMPLES = """
radarsparse weights
radarsparse weights --out out/weights
"""


def act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Run the commands one after another.

    Returns:
        The file that was written.
    """
    data, vae, edm, release = (arguments.out / name for name in ("data", "vae", "edm", "release"))
    changes = ["--set", f"data.root={data}"]
    varied = "--radar", "varied", "--lidar", "varied"
    cores = len(os.sched_getaffinity(0))
    call("simulate", "--out", data, "--frames", FRAMES, "--seed", 0, *varied, "--workers", cores)
    call("train", "--config", "release_vae", "--out", vae, *changes)
    changes += ["--set", f"model.vae={vae}"]
    call("train", "--config", "release_edm", "--out", edm, *changes)
    save_half(edm, release)
    file = release / MODEL_FILE
    print(f"wrote {file}")
    return {"weights": str(file)}


COMMAND = Command("weights", str(__doc__), EXAMPLES, partial(add_out, "out/weights"), act)
