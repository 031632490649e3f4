"""Score enhanced clouds against LiDAR: a trained run on a split, or folders against each other."""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from radarsparse.cli import CONFIG_HELP, Command, add_fields, config_path, read_fields
from radarsparse.config import (
    DenoiserConfig,
    VolumeSettings,
    check_whole,
    load_config,
    override_config,
)
from radarsparse.enhancer import SEED_MOST, Enhancer
from radarsparse.errors import InputError
from radarsparse.evaluation.crop import CropBox
from radarsparse.evaluation.folders import FolderFrames, parse_compared
from radarsparse.evaluation.frames import PREDICTION, RAW, FrameSource, frames_of_rows, rows_of_run
from radarsparse.evaluation.pictures import save_pictures
from radarsparse.evaluation.realism import check_frames, describe_realism, score_realism
from radarsparse.evaluation.report import WORST, csv_lines, describe_report, make_report
from radarsparse.evaluation.score import FrameScores, score_frames
from radarsparse.evaluation.workers import Workers, start_workers
from radarsparse.files import Unfinished, check_file, count_of
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.geometry import Volume
from radarsparse.metrics.summary import RESAMPLES, write_csv, write_json
from radarsparse.models.weights import load_diffusion, run_folder

FOLDERS_ONLY = ("target", "raw", "fields", "bin_type", "compare", "crop", "config")
RUN_ONLY = ("split", "seed")
SPLIT, SEED = "val", 0
# What pictures are made from, beside the frames.
CLAIMED = ("checkpoint", *RUN_ONLY, "pred", *FOLDERS_ONLY, "set", "worst")
EXAMPLES = """
radarsparse eval --checkpoint runs/edm --split val --out metrics.json
radarsparse eval --pred clouds --target DIR --raw DIR --out metrics.json --pictures pictures
radarsparse eval --pred A --compare other=B --target C --crop 0,-25,-3,50,25,3 --out metrics.json
torchrun --nproc-per-node=4 -m radarsparse eval --pred clouds --target DIR --out metrics.json
"""


def act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Score, print the table and write the files.

    Returns:
        The file and what it holds, without the scores of each frame.
    """
    with start_workers(arguments.workers) as workers:
        _check(arguments)
        _check_places(arguments)
        frames = _open_folders(arguments) if arguments.pred else _open_run(arguments)
        if arguments.realism:
            check_frames(frames.names)
        if arguments.dry_run:
            if workers.leads:
                print(f"would score {count_of(len(frames.names), 'frame')}")
            return {"frames": len(frames.names), "dry_run": True}
        return _score(arguments, frames, workers)


def _score(
    arguments: argparse.Namespace, frames: FolderFrames | FrameSource, workers: Workers
) -> Mapping[str, Any]:
    with ExitStack() as stack:

        def begin_pictures() -> Path | None:
            asked = arguments.pictures and workers.leads
            return stack.enter_context(_unfinished(arguments).working()) if asked else None

        pictures = workers.together(begin_pictures)[0]
        if isinstance(frames, FolderFrames):
            frames = frames.check(workers)
        if arguments.realism:  # clouds are asked for once more, and may take seconds to make
            frames = replace(frames, read=cache(frames.read))
        scores = score_frames(frames, workers)
        return _report(arguments, frames, scores, pictures) if workers.leads else {}


def _report(
    arguments: argparse.Namespace,
    frames: FrameSource,
    scores: Sequence[FrameScores],
    pictures: Path | None,
) -> Mapping[str, Any]:
    report = make_report(scores, frames, arguments.resamples, arguments.worst)
    if arguments.realism:
        report["realism"] = score_realism(frames, arguments.resamples)
    if arguments.csv:
        write_csv(arguments.csv, csv_lines(scores))
    if pictures:
        save_pictures(pictures, frames, report["worst"], scores)
    write_json(arguments.out, report)
    print(describe_report(report))
    if arguments.realism:
        print(describe_realism(report["realism"]))
    del report["per_frame"]
    return {"file": str(arguments.out), **report}


def _check(arguments: argparse.Namespace) -> None:
    if (arguments.checkpoint is None) == (arguments.pred is None):
        raise InputError("give either --checkpoint RUN, or --pred DIR and --target DIR")
    names, way = (
        (FOLDERS_ONLY, "--pred DIR") if arguments.checkpoint else (RUN_ONLY, "--checkpoint RUN")
    )
    for name in names:
        if vars(arguments)[name] not in (None, []):
            raise InputError(f"--{name.replace('_', '-')}: goes with {way}, which isn't given")
    if arguments.pred and arguments.set and not arguments.config:
        raise InputError("--set: goes with --checkpoint RUN or --config YAML; neither is given")
    for option, least in {"resamples": 1, "worst": 0}.items():
        check_whole(f"--{option}", getattr(arguments, option), least, 10**6)


def _check_places(arguments: argparse.Namespace) -> None:
    check_file(arguments.out)
    if arguments.csv:
        check_file(arguments.csv)
        if arguments.csv.resolve() == arguments.out.resolve():
            raise InputError(f"--csv {arguments.csv}: is the file of --out")
    if arguments.pictures:
        _unfinished(arguments).check()


def _unfinished(arguments: argparse.Namespace) -> Unfinished:
    return Unfinished(arguments.pictures, {name: str(vars(arguments)[name]) for name in CLAIMED})


def _open_run(arguments: argparse.Namespace) -> FrameSource:
    seed = SEED if arguments.seed is None else arguments.seed
    check_whole("--seed", seed, 0, SEED_MOST)
    network, config = load_diffusion(run_folder(arguments.checkpoint))
    changed = override_config(config, arguments.set)
    assert isinstance(changed, DenoiserConfig)
    data, split = changed.data, arguments.split or SPLIT
    pairs = PreparedFrames.open(Path(data.root), split, data.split)
    enhancer = Enhancer(network, changed)
    rows = rows_of_run(enhancer, seed)
    return frames_of_rows(rows, pairs.names, pairs, enhancer.volume)


def _open_folders(arguments: argparse.Namespace) -> FolderFrames:
    if arguments.target is None:
        raise InputError("--pred needs --target DIR")
    settings = VolumeSettings()
    if arguments.config:
        settings = load_config(arguments.config, arguments.set).volume
    folders = {PREDICTION: arguments.pred, **parse_compared(arguments.compare)}
    if arguments.raw:
        folders[RAW] = arguments.raw
    box = CropBox.parse(arguments.crop) if arguments.crop is not None else None
    found = FolderFrames.find(folders, arguments.target, box, Volume.from_settings(settings))
    return replace(found, fields=read_fields(arguments))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is scored against what, how, and where to."""
    add = parser.add_argument
    text = "run folder of stage edm, ect or distill, or `weights`, those that ship"
    add("--checkpoint", metavar="RUN", help=text)
    add("--split", help=f"frames of the run's data set (default: {SPLIT})")
    add("--seed", type=int, help=f"of the noise, each frame's own (default: {SEED})")
    add("--pred", type=Path, metavar="DIR", help="predicted clouds, radar frame")
    add("--target", type=Path, metavar="DIR", help="LiDAR clouds, radar frame, or prepared frames")
    add("--raw", type=Path, metavar="DIR", help="radar clouds or prepared frames, scored too")
    add_fields(parser)
    text = "further predictions of the same frames, as row NAME; may be repeated"
    add("--compare", action="append", default=[], metavar="NAME=DIR", help=text)
    text = "crop all clouds to this box, metres (default: prepared frames to the config's volume)"
    add("--crop", metavar="X0,Y0,Z0,X1,Y1,Z1", help=text)
    text = f"with --pred: whose volume crops prepared frames; {CONFIG_HELP}"
    add("--config", type=config_path, metavar="YAML", help=text)
    text = "change engine, data.* or sampling.* of the run's config; may be repeated"
    add("--set", action="append", default=[], metavar="A.B=VALUE", help=text)
    add("--out", type=Path, required=True, metavar="FILE", help="metrics.json")
    add("--csv", type=Path, metavar="FILE", help="the scores of every frame, too")
    text = "measure how real the clouds look as a set, too; takes minutes"
    add("--realism", action="store_true", help=text)
    text = "new folder: curves of all distances, the worst frames in the colours of their errors"
    add("--pictures", type=Path, metavar="DIR", help=text)
    text = f"how many of the worst frames are named and drawn (default: {WORST})"
    add("--worst", type=int, default=WORST, metavar="N", help=text)
    text = f"draws of the bootstrap behind the 95 %% intervals (default: {RESAMPLES})"
    add("--resamples", type=int, default=RESAMPLES, metavar="N", help=text)
    add("--workers", type=int, metavar="N", help="frames side by side (default: number of cores)")
    add("--dry-run", action="store_true", help="say what would be scored")


COMMAND = Command("eval", str(__doc__), EXAMPLES, add_arguments, act)
