"""Train the stage that a config names; called again, it goes on where it stopped."""

import argparse
from pathlib import Path

from radarsparse.cli import run
from radarsparse.config import config_to_yaml, load_config
from radarsparse.errors import InputError
from radarsparse.training.dry_run import check, suggest_batch_size, suggest_voxel_size
from radarsparse.training.loop import train
from radarsparse.training.profile import profile_steps
from radarsparse.view import render_clouds


def main() -> None:
    """Parse the arguments and train, or say what would be trained."""
    arguments = _parse()
    config = load_config(arguments.config, arguments.set)
    if arguments.memory_gib is not None and not arguments.find_batch_size:
        raise InputError(f"--memory-gib {arguments.memory_gib:g}: goes with --find-batch-size")
    folder = arguments.out or Path("runs") / arguments.config.stem
    if arguments.dry_run:
        print(config_to_yaml(config), check(config, folder), sep="\n")
    elif arguments.find_batch_size:
        print(suggest_batch_size(config, arguments.memory_gib))
    elif arguments.voxel_budget is not None:
        print(suggest_voxel_size(config, arguments.voxel_budget))
    elif arguments.profile:
        times_ms = profile_steps(config, arguments.profile)
        print("milliseconds per step:", *(f"{k} {v:.1f}" for k, v in times_ms.items()))
    else:
        train(config, folder, render_clouds)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="YAML file of settings")
    parser.add_argument("--out", type=Path, help="run folder (default: runs/<name of the config>)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="A.B=VALUE",
        help="change one setting of the config; may be repeated",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check everything and print the config, train nothing",
    )
    parser.add_argument(
        "--find-batch-size",
        action="store_true",
        help="print the largest batch that fits, by real steps that are thrown away",
    )
    parser.add_argument(
        "--memory-gib",
        type=float,
        metavar="GIB",
        help="memory for --find-batch-size (default: all that a CUDA device has)",
    )
    parser.add_argument(
        "--voxel-budget",
        type=int,
        metavar="VOXELS",
        help="print the finest voxel size at which 95 %% of frames have no more LiDAR voxels",
    )
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="TRACE.json",
        help="train a few steps that are thrown away, print where time goes, write a trace",
    )
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
