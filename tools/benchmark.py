"""Measure radarsparse: speed beside its peers, memory of steps, quality of what it draws."""

import argparse
from itertools import product
from pathlib import Path
from typing import Any

from tqdm import tqdm

from radarsparse.benchmark.lines import memory_line, nearest_line, sparse_line
from radarsparse.benchmark.memory import time_memory
from radarsparse.benchmark.nearest import POINTS, time_nearest
from radarsparse.benchmark.sparse import CASES, CHANNELS, time_case
from radarsparse.benchmark.vae import time_vae
from radarsparse.cli import run
from radarsparse.config import Config, EdmConfig, VaeConfig, load_config
from radarsparse.data.prepared import PreparedFrames
from radarsparse.data.simulator.simulate import simulate_pair
from radarsparse.errors import InputError
from radarsparse.evaluation.ladder import run_quality
from radarsparse.metrics import write_json

BATCH_SIZES, FRAMES = (1, 2, 4), 16


def main() -> None:
    """Parse the arguments and run the benchmark that is named."""
    arguments = _parse()
    for option in ("repeats", "dense-repeats"):
        if (value := getattr(arguments, option.replace("-", "_"))) < 1:
            raise InputError(f"--{option} {value}: must be 1 or more")
    rows = RUNS[arguments.name](arguments)
    if arguments.out and rows:
        write_json(arguments.out, rows)


def _config(stage: str) -> Config:
    return load_config(Path(__file__).parents[1] / "configs" / f"astyx_{stage}.yaml")


def _vae(arguments: argparse.Namespace) -> Any:
    config = _config("vae")
    assert isinstance(config, VaeConfig)
    root = arguments.root
    pair = PreparedFrames.open(root, "train")[0] if root else simulate_pair(0, 0)
    if arguments.dry_run:
        print(f"would time a training step on frame {pair.name} of {root or 'the simulator'}")
        return None
    numbers = time_vae(config, pair, arguments.repeats, arguments.dense_repeats)
    print(*(f"{name:24s} {value:12.4g}" for name, value in numbers.items()), sep="\n")
    return numbers


def _sparse(arguments: argparse.Namespace) -> Any:
    if arguments.dry_run:
        print(f"would time {len(CASES)} sets of voxels at {CHANNELS} channels")
        return None
    rows = []
    print("median ms, torch / spconv: plan, forward, forward and backward; peak over features")
    for case, channels in tqdm(list(product(CASES, CHANNELS)), unit="case", disable=None):
        row = time_case(case, channels, arguments.repeats)
        rows.append(row)
        tqdm.write(sparse_line(row, channels))
    return rows


def _nearest(arguments: argparse.Namespace) -> Any:
    if arguments.dry_run:
        print(f"would time both directions between clouds of {POINTS} points")
        return None
    rows = []
    for points in POINTS:
        rows.append(row := time_nearest(points, arguments.repeats))
        print(nearest_line(row, points), flush=True)
    return rows


def _memory(arguments: argparse.Namespace) -> Any:
    vae, edm = _config("vae"), _config("edm")
    assert isinstance(vae, VaeConfig)
    assert isinstance(edm, EdmConfig)
    simulated, rows = [simulate_pair(0, index) for index in range(FRAMES)], []
    frames = PreparedFrames.open(arguments.root, "train") if arguments.root else simulated
    if arguments.dry_run:
        print(f"would measure the memory of training steps at batch sizes {BATCH_SIZES}")
        return None
    for row in time_memory(vae, edm, frames, BATCH_SIZES, arguments.repeats):
        rows.append(row)
        print(memory_line(row))
    return rows


def _quality(arguments: argparse.Namespace) -> Any:
    return run_quality(arguments.runs, arguments.root, arguments.doc, arguments.dry_run)


RUNS = dict(vae=_vae, sparse=_sparse, nearest=_nearest, memory=_memory, quality=_quality)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("name", choices=RUNS, help="what to measure")
    add("--root", type=Path, help="prepared frames (vae, memory: simulated ones by default)")
    add("--repeats", type=int, default=5, help="that count, after one to warm up (default: 5)")
    add("--dense-repeats", type=int, default=2, help="vae: at most (default: 2)")
    text = "quality: folders of stage edm and of a few-step stage, once per training seed"
    add("--runs", action="append", default=[], metavar="EDM,FEW", help=text)
    add("--doc", type=Path, metavar="FILE.md", help="quality: document, with pictures beside it")
    add("--out", type=Path, help="write the numbers as JSON, too")
    add("--dry-run", action="store_true", help="say what would be timed")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
