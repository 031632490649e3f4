"""Train the stage that a config names; called again, it goes on where it stopped."""

import argparse
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radarsparse.cli import CONFIG_HELP, Command, config_path
from radarsparse.config import config_to_yaml, load_config
from radarsparse.errors import InputError
from radarsparse.training.loop import train
from radarsparse.training.planning.dry_run import check, suggest_batch_size, suggest_voxel_size
from radarsparse.training.planning.profile import profile_steps
from radarsparse.training.source_radar import tell_radar
from radarsparse.training.target_lidar import tell_lidar
from radarsparse.viewer.plots import render_clouds

_log = logging.getLogger("radarsparse")

EXAMPLES = """
radarsparse train --config demo_vae --out runs/vae --set data.root=DIR
radarsparse train --config demo_edm --out runs/edm --set data.root=DIR --set model.vae=runs/vae
radarsparse train --config my.yaml --dry-run
radarsparse train --config my.yaml --find-batch-size --memory-gib 8
torchrun --nproc-per-node=2 -m radarsparse train --config my.yaml
"""


def act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Train, or say what would be trained.

    Returns:
        The run folder, the samples seen and the last value of every number of `stats.jsonl`; or
        what was asked for instead.
    """
    if arguments.memory_gib is not None and not arguments.find_batch_size:
        raise InputError(f"--memory-gib {arguments.memory_gib:g}: goes with --find-batch-size")
    config, lidar_line = tell_lidar(load_config(arguments.config, arguments.set))
    config, radar_line = tell_radar(config)
    for line in filter(None, (lidar_line, radar_line)):
        if os.environ.get("RANK", "0") == "0":
            _log.info("%s", line)
    folder = arguments.out or Path("runs") / arguments.config.stem
    if arguments.dry_run:
        found = check(config, folder)
        print(config_to_yaml(config), found, sep="\n")
        return {"config": config.model_dump(mode="json"), "found": found}
    if arguments.find_batch_size or arguments.voxel_budget is not None:
        if arguments.find_batch_size:
            found = suggest_batch_size(config, arguments.memory_gib)
        else:
            found = suggest_voxel_size(config, arguments.voxel_budget)
        print(found)
        return {"found": found}
    if arguments.profile:
        times_ms = profile_steps(config, arguments.profile)
        print("milliseconds per step:", *(f"{k} {v:.1f}" for k, v in times_ms.items()))
        return {"times_ms": times_ms, "trace": str(arguments.profile)}
    samples = train(config, folder, render_clouds)
    return {"run": str(folder), "samples": samples, "last": _read_last(folder / "stats.jsonl")}


def _read_last(stats: Path) -> Mapping[str, Any]:
    """The last value of every number, as far as this machine has them."""
    last: dict[str, Any] = {}
    for line in stats.read_text().splitlines() if stats.is_file() else ():
        last |= json.loads(line)
    last.pop("samples", None)
    return last


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is trained, where to, and what to do instead of training."""
    add = parser.add_argument
    add("--config", type=config_path, required=True, metavar="YAML", help=CONFIG_HELP)
    add("--out", type=Path, help="run folder (default: runs/<name of the config>)")
    text = "change one setting of the config; may be repeated"
    add("--set", action="append", default=[], metavar="A.B=VALUE", help=text)
    text = "check everything and print the config, train nothing"
    add("--dry-run", action="store_true", help=text)
    text = "print the largest batch that fits, by real steps that are thrown away"
    add("--find-batch-size", action="store_true", help=text)
    text = "memory for --find-batch-size (default: all that a CUDA device has)"
    add("--memory-gib", type=float, metavar="GIB", help=text)
    text = "print the finest voxel size at which 95 %% of frames have no more LiDAR voxels"
    add("--voxel-budget", type=int, metavar="VOXELS", help=text)
    text = "train a few steps that are thrown away, print where time goes, write a trace"
    add("--profile", type=Path, metavar="TRACE.json", help=text)


COMMAND = Command("train", str(__doc__), EXAMPLES, add_arguments, act)
