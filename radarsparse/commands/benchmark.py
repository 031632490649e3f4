"""Measure radarsparse: speed beside its peers, memory of steps, quality of what it draws."""

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, get_args

from radarsparse.benchmark.birds_eye import (
    BirdsEye,
    lidar_grid,
    shares_of_time,
    train_birds_eye,
    voxel_centers,
)
from radarsparse.benchmark.convolution_time import CASES, CHANNELS, time_case
from radarsparse.benchmark.frame_time import FRAMES as ENHANCED_FRAMES
from radarsparse.benchmark.frame_time import time_enhance
from radarsparse.benchmark.lines import nearest_line, number_lines, row_line, sparse_line
from radarsparse.benchmark.loading_time import time_loading
from radarsparse.benchmark.measure import find_device, name_device, seconds
from radarsparse.benchmark.search_time import POINTS, time_nearest
from radarsparse.benchmark.step_memory import time_memory
from radarsparse.benchmark.vae_time import time_vae
from radarsparse.cli import Command, config_path
from radarsparse.config import (
    Config,
    EdmConfig,
    PrecisionName,
    VaeConfig,
    check_whole,
    load_config,
)
from radarsparse.enhancer import SEED_MOST
from radarsparse.errors import InputError
from radarsparse.evaluation.frames import PREDICTION, RAW, MakeRow, crop, frames_of_rows
from radarsparse.evaluation.ladder import TIMED_FRAMES, run_quality
from radarsparse.evaluation.report import WORST, make_report, title_of
from radarsparse.evaluation.score import score_frames
from radarsparse.evaluation.workers import start_workers
from radarsparse.files import check_file, count_of
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.metrics import format_table, write_json
from radarsparse.metrics.summary import COLUMNS, RESAMPLES
from radarsparse.simulator.pairs import simulate_pair
from radarsparse.training.validate import choose_frames

BATCH_SIZES, FRAMES, WORKERS = (1, 2, 4), 16, 2
MINUTES_MOST = 10_000.0
# Rows of `birds-eye` as its table calls them; the last is what no choice of voxels can beat.
OWN_VOXELS, BEAMS = "LiDAR's own voxels", "bird's-eye U-Net, along beams"
TITLES = {
    RAW: title_of(RAW),
    PREDICTION: "bird's-eye U-Net",
    BEAMS: BEAMS,
    OWN_VOXELS: OWN_VOXELS,
}
EXAMPLES = """
radarsparse benchmark vae --repeats 9 --dense-repeats 3
radarsparse benchmark nearest --out nearest.json
radarsparse benchmark enhance
radarsparse benchmark memory --batch-size 32 --precision bf16-mixed
radarsparse benchmark loading --root DIR
radarsparse benchmark birds-eye --root DIR --minutes 60 --out birds_eye.json
radarsparse benchmark quality --root DIR --runs runs/edm,runs/ect --doc results.md
"""


def act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Run the benchmark that is named.

    Returns:
        Its numbers, those of `--out`; none after a dry run.
    """
    for option in ("repeats", "dense-repeats"):
        if (value := getattr(arguments, option.replace("-", "_"))) < 1:
            raise InputError(f"--{option} {value}: must be 1 or more")
    if arguments.out:
        check_file(arguments.out)
    numbers = RUNS[arguments.name](arguments)
    if arguments.out and numbers:
        write_json(arguments.out, numbers)
    return {"name": arguments.name, "numbers": numbers}


def _vae(arguments: argparse.Namespace) -> Any:
    config, root = _config("vae"), arguments.root
    assert isinstance(config, VaeConfig)
    pair = PreparedFrames.open(root, "train")[0] if root else simulate_pair(0, 0)
    if arguments.dry_run:
        print(f"would time a training step on frame {pair.name} of {root or 'the simulator'}")
        return None
    numbers = time_vae(config, pair, arguments.repeats, arguments.dense_repeats)
    print(number_lines(numbers))
    return numbers


def _sparse(arguments: argparse.Namespace) -> Any:
    if not arguments.dry_run:
        heading = "median ms, torch / spconv: plan, forward, forward and backward"
        print(f"{name_device(find_device())}, {heading}; peak over features")
    plan = f"time {len(CASES)} sets of voxels at {CHANNELS} channels"
    rows = (time_case(*setting, arguments.repeats) for setting in product(CASES, CHANNELS))
    return _show(arguments, plan, rows, sparse_line)


def _nearest(arguments: argparse.Namespace) -> Any:
    plan = f"time both directions between clouds of {POINTS} points"
    rows = (time_nearest(points, arguments.repeats) for points in POINTS)
    return _show(arguments, plan, rows, nearest_line)


def _memory(arguments: argparse.Namespace) -> Any:
    precision = f"train.precision='{arguments.precision}'"
    vae, edm = _config("vae", precision), _config("edm", precision)
    assert isinstance(vae, VaeConfig)
    assert isinstance(edm, EdmConfig)
    simulated = [simulate_pair(0, index) for index in range(FRAMES)]
    frames = PreparedFrames.open(arguments.root, "train") if arguments.root else simulated
    sizes = arguments.batch_size or BATCH_SIZES
    plan = f"measure the memory of training steps at batch sizes {sizes}"
    return _show(arguments, plan, time_memory(vae, edm, frames, sizes, arguments.repeats))


def _enhance(arguments: argparse.Namespace) -> Any:
    plan = f"draw {ENHANCED_FRAMES} simulated frames with the weights that ship"
    return _show(arguments, plan, time_enhance(arguments.repeats))


def _loading(arguments: argparse.Namespace) -> Any:
    plan = f"time {WORKERS} processes that load frames with and without a cache"
    return _show(arguments, plan, _loading_rows(arguments))


def _loading_rows(arguments: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    if not arguments.root:
        raise InputError("benchmark loading: needs --root DIR with prepared frames")
    frames = PreparedFrames.open_all(arguments.root)
    for stage in ("vae", "edm"):
        yield from time_loading(_config(stage), frames, WORKERS, arguments.repeats)


def _birds_eye(arguments: argparse.Namespace) -> Any:
    train, unseen = _open_apart(arguments)
    if arguments.dry_run:
        minutes = f"{arguments.minutes:g} min on {count_of(len(train), 'frame')}"
        print(f"would train a bird's-eye U-Net for {minutes} and score {len(unseen)} others")
        return None
    # It begins from nothing, so it learns faster than runs that go on from weights.
    config = _config("edm", f"seed={arguments.seed}", "train.learning_rate=2e-3")
    assert isinstance(config, EdmConfig)
    trained = train_birds_eye(config, train, shares_of_time(arguments.minutes))
    report = _score_birds_eye(trained, unseen)
    columns = {**COLUMNS, "iou@0.4m": "IoU@0.4 m"}
    print(format_table({title: report[row] for row, title in TITLES.items()}, columns))
    timed = [unseen[number] for number in choose_frames(unseen, TIMED_FRAMES)]
    learnt = {
        "device": name_device(find_device()),
        "parameters": sum(p.numel() for p in trained.network.parameters()),
        "minutes": arguments.minutes,
        "train_frames": len(train),
        "samples": config.train.batch_size * len(trained.losses),
        "frame_ms": 1e3 * median(seconds(partial(trained.draw, pair)) for pair in timed),
    }
    print(row_line(learnt))
    return learnt | report


def _open_apart(arguments: argparse.Namespace) -> tuple[PreparedFrames, PreparedFrames]:
    """The frames to train on, and others to score."""
    if arguments.root is None or arguments.minutes is None:
        raise InputError("benchmark birds-eye: needs --root DIR and --minutes N")
    if not 0.0 < arguments.minutes <= MINUTES_MOST:  # nor is NaN
        bounds = f"must be above 0, at most {MINUTES_MOST:g}"
        raise InputError(f"--minutes {arguments.minutes:g}: {bounds}")
    check_whole("--seed", arguments.seed, 0, SEED_MOST)
    splits = arguments.train_split, arguments.split
    train, unseen = (PreparedFrames.open(arguments.root, split) for split in splits)
    if both := sorted({*train.names} & {*unseen.names}):
        shared = f"{count_of(len(both), 'frame')} of --split {arguments.split}, such as {both[0]}"
        raise InputError(f"--train-split {arguments.train_split}: holds {shared}; must hold none")
    return train, unseen


def _score_birds_eye(trained: BirdsEye, unseen: PreparedFrames) -> dict[str, Any]:
    volume = trained.volume
    rows: dict[str, MakeRow] = {
        RAW: lambda pair: crop(pair.radar, volume, f"frame {pair.name}: radar")[:, :3],
        PREDICTION: trained.draw,
        BEAMS: trained.scan,
        OWN_VOXELS: lambda pair: voxel_centers(
            lidar_grid(pair.lidar_in_radar_frame, volume), volume
        ),
    }
    frames = frames_of_rows(rows, unseen.names, unseen, volume)
    with start_workers(None) as workers:
        return make_report(score_frames(frames, workers), frames, RESAMPLES, WORST)


def _config(stage: str, *overrides: str) -> Config:
    return load_config(config_path(f"astyx_{stage}"), overrides)


def _show(
    arguments: argparse.Namespace,
    plan: str,
    rows: Iterable[Mapping[str, Any]],
    line_of: Callable[[Mapping[str, Any]], str] = row_line,
) -> list[Mapping[str, Any]] | None:
    """Print rows as they come, and gather them; in a dry run, only say what is planned."""
    if arguments.dry_run:
        print(f"would {plan}")
        return None
    shown = []
    for row in rows:
        shown.append(row)
        print(line_of(row), flush=True)
    return shown


RUNS = {
    "vae": _vae,
    "sparse": _sparse,
    "nearest": _nearest,
    "memory": _memory,
    "enhance": _enhance,
    "loading": _loading,
    "birds-eye": _birds_eye,
    "quality": lambda given: run_quality(given.runs, given.root, given.doc, given.dry_run),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is measured, on what and how often."""
    add = parser.add_argument
    add("name", choices=RUNS, help="what to measure")
    add("--root", type=Path, help="prepared frames (vae, memory: simulated ones by default)")
    add("--repeats", type=int, default=5, help="that count, after one to warm up (default: 5)")
    add("--batch-size", type=int, action="append", help="memory: one or more (default: 1, 2, 4)")
    add("--precision", choices=get_args(PrecisionName), default="32", help="memory (default: 32)")
    add("--dense-repeats", type=int, default=2, help="vae: at most (default: 2)")
    add("--minutes", type=float, metavar="N", help="birds-eye: how long it trains")
    add("--train-split", default="train", help="birds-eye: frames to train on (default: train)")
    add("--split", default="val", help="birds-eye: frames to score (default: val)")
    add("--seed", type=int, default=0, help="birds-eye: of weights and samples (default: 0)")
    text = "quality: folders of stage edm and of a few-step stage, once per training seed"
    add("--runs", action="append", default=[], metavar="EDM,FEW", help=text)
    add("--doc", type=Path, metavar="FILE.md", help="quality: document, with pictures beside it")
    add("--out", type=Path, help="write the numbers as JSON, too")
    add("--dry-run", action="store_true", help="say what would be timed")


COMMAND = Command("benchmark", str(__doc__), EXAMPLES, add_arguments, act)
