"""Score enhanced clouds against LiDAR: a trained run on a split, or a folder against another."""

import argparse
from pathlib import Path
from typing import Any

from radarsparse.cli import run
from radarsparse.config import EdmConfig, VolumeSettings, load_config, override_config
from radarsparse.data.prepared import PreparedFrames
from radarsparse.enhancer import Enhancer
from radarsparse.errors import InputError
from radarsparse.evaluation import evaluate_folders, evaluate_run, table_rows
from radarsparse.geometry import Volume
from radarsparse.metrics import format_table, write_json
from radarsparse.training.checkpoint import load_diffusion


def main() -> None:
    """Parse the arguments, score, print the table and write `metrics.json`."""
    arguments = _parse()
    if (arguments.checkpoint is None) == (arguments.pred is None):
        raise InputError("give either --checkpoint RUN, or --pred DIR and --target DIR")
    if arguments.seed < 0:
        raise InputError(f"--seed {arguments.seed}: must be 0 or more")
    if not arguments.out.parent.is_dir():
        raise InputError(f"--out {arguments.out}: no such folder: {arguments.out.parent}")
    report = _score_folders(arguments) if arguments.pred else _score_run(arguments)
    if report is None:
        return
    write_json(arguments.out, report)
    print(f"{report['frames']} frames")
    print(format_table(table_rows(report)))


def _score_run(arguments: argparse.Namespace) -> dict[str, Any] | None:
    network, config = load_diffusion(arguments.checkpoint)
    changed = override_config(config, arguments.set)
    assert isinstance(changed, EdmConfig)
    frames = PreparedFrames.open(Path(changed.data.root), arguments.split)
    if arguments.dry_run:
        print(f"would score {len(frames)} frames of {changed.data.root}, split {arguments.split}")
        return None
    return evaluate_run(Enhancer(network, changed), frames, arguments.seed)


def _score_folders(arguments: argparse.Namespace) -> dict[str, Any] | None:
    if arguments.target is None:
        raise InputError("--pred needs --target DIR")
    settings = VolumeSettings()
    if arguments.config:
        settings = load_config(arguments.config, arguments.set).volume
    if arguments.dry_run:
        print(f"would score {arguments.pred} against {arguments.target}")
        return None
    volume = Volume.from_settings(settings)
    return evaluate_folders(arguments.pred, arguments.target, arguments.raw, volume)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--checkpoint", type=Path, metavar="RUN", help="run folder of stage edm")
    add("--split", default="val", help="frames of the run's data set (default: val)")
    add("--seed", type=int, default=0, help="of the noise (default: 0)")
    add("--pred", type=Path, metavar="DIR", help="predicted clouds, radar frame")
    add("--target", type=Path, metavar="DIR", help="LiDAR clouds, radar frame, or prepared frames")
    add("--raw", type=Path, metavar="DIR", help="radar clouds or prepared frames, scored too")
    add("--config", type=Path, help="with --pred: whose volume crops prepared frames")
    add(
        "--set",
        action="append",
        default=[],
        metavar="A.B=VALUE",
        help="change engine, data.* or sampling.* of the run's config; may be repeated",
    )
    add("--out", type=Path, required=True, metavar="FILE", help="metrics.json")
    add("--dry-run", action="store_true", help="say what would be scored")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
