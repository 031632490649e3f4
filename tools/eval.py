"""Score enhanced clouds against LiDAR: a trained run on a split, or folders against each other."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from radarsparse.cli import run
from radarsparse.config import DenoiserConfig, VolumeSettings, load_config, override_config
from radarsparse.data.prepared import PreparedFrames
from radarsparse.enhancer import Enhancer
from radarsparse.errors import InputError
from radarsparse.evaluation import Box, FolderFrames, Folders, Output, RunFrames, parse_compared
from radarsparse.evaluation.report import WORST
from radarsparse.evaluation.score import score_frames
from radarsparse.evaluation.team import Team, assemble_team
from radarsparse.geometry import Volume
from radarsparse.metrics.report import RESAMPLES
from radarsparse.training.checkpoint import load_diffusion

FOLDERS_ONLY = ("target", "raw", "compare", "crop", "config")


def main() -> None:
    """Parse the arguments, score, print the table and write the files."""
    arguments = _parse(_join_crop(sys.argv[1:]))
    with assemble_team(arguments.workers) as team:
        _evaluate(arguments, team)


def _evaluate(arguments: argparse.Namespace, team: Team) -> None:
    _check(arguments)
    output = Output(
        arguments.out, arguments.csv, arguments.pictures, arguments.resamples, arguments.worst
    )
    output.check()
    frames = _open_folders(arguments) if arguments.pred else _open_run(arguments)
    text = f"would score {len(frames.names)} frames"
    if not arguments.dry_run:
        frames = frames.check(team)
        scores = score_frames(frames, team)
        text = output.write(scores, frames) if team.leads else ""
    if team.leads:
        print(text)


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.checkpoint is None) == (arguments.pred is None):
        raise InputError("give either --checkpoint RUN, or --pred DIR and --target DIR")
    for name in FOLDERS_ONLY if arguments.checkpoint else ():
        if getattr(arguments, name):
            raise InputError(f"--{name}: goes with --pred DIR, not with --checkpoint RUN")
    if arguments.seed < 0:
        raise InputError(f"--seed {arguments.seed}: must be 0 or more")


def _open_run(arguments: argparse.Namespace) -> RunFrames:
    network, config = load_diffusion(arguments.checkpoint)
    changed = override_config(config, arguments.set)
    assert isinstance(changed, DenoiserConfig)
    prepared = PreparedFrames.open(Path(changed.data.root), arguments.split)
    return RunFrames.of(Enhancer(network, changed), prepared, arguments.seed)


def _open_folders(arguments: argparse.Namespace) -> FolderFrames:
    if arguments.target is None:
        raise InputError("--pred needs --target DIR")
    settings = VolumeSettings()
    if arguments.config:
        settings = load_config(arguments.config, arguments.set).volume
    compared = parse_compared(arguments.compare)
    folders = Folders(arguments.pred, arguments.target, arguments.raw, compared)
    box = Box.parse(arguments.crop) if arguments.crop is not None else None
    return FolderFrames.find(folders, box, Volume.from_settings(settings))


def _join_crop(words: Sequence[str]) -> list[str]:
    """Make `--crop -1,...` one word, since argparse takes what starts with a dash for an option."""
    joined = list(words)
    if "--crop" in joined[:-1]:
        place = joined.index("--crop")
        joined[place : place + 2] = [f"--crop={joined[place + 1]}"]
    return joined


def _parse(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--checkpoint", type=Path, metavar="RUN", help="run folder of stage edm, ect or distill")
    add("--split", default="val", help="frames of the run's data set (default: val)")
    add("--seed", type=int, default=0, help="of the noise (default: 0)")
    add("--pred", type=Path, metavar="DIR", help="predicted clouds, radar frame")
    add("--target", type=Path, metavar="DIR", help="LiDAR clouds, radar frame, or prepared frames")
    add("--raw", type=Path, metavar="DIR", help="radar clouds or prepared frames, scored too")
    text = "further predictions of the same frames, as row NAME; may be repeated"
    add("--compare", action="append", default=[], metavar="NAME=DIR", help=text)
    text = "crop all clouds to this box, metres (default: prepared frames to the config's volume)"
    add("--crop", metavar="X0,Y0,Z0,X1,Y1,Z1", help=text)
    add("--config", type=Path, help="with --pred: whose volume crops prepared frames")
    text = "change engine, data.* or sampling.* of the run's config; may be repeated"
    add("--set", action="append", default=[], metavar="A.B=VALUE", help=text)
    add("--out", type=Path, required=True, metavar="FILE", help="metrics.json")
    add("--csv", type=Path, metavar="FILE", help="the scores of every frame, too")
    text = "new folder: curves of all distances, the worst frames in the colours of their errors"
    add("--pictures", type=Path, metavar="DIR", help=text)
    text = f"how many of the worst frames are named and drawn (default: {WORST})"
    add("--worst", type=int, default=WORST, metavar="N", help=text)
    text = f"draws of the bootstrap behind the 95 %% intervals (default: {RESAMPLES})"
    add("--resamples", type=int, default=RESAMPLES, metavar="N", help=text)
    add("--workers", type=int, metavar="N", help="frames side by side (default: number of cores)")
    add("--dry-run", action="store_true", help="say what would be scored")
    return parser.parse_args(words)


if __name__ == "__main__":
    run(main)
