"""Time radarsparse beside its peers: VAE, convolutions, nearest neighbours; memory of steps."""

import argparse
from itertools import product
from pathlib import Path
from typing import Any

from tqdm import tqdm

from radarsparse.benchmark.memory import time_memory
from radarsparse.benchmark.nearest import POINTS, time_nearest
from radarsparse.benchmark.sparse import CASES, CHANNELS, time_case
from radarsparse.benchmark.vae import time_vae
from radarsparse.cli import run
from radarsparse.config import Config, EdmConfig, VaeConfig, load_config
from radarsparse.data.prepared import PreparedFrames
from radarsparse.data.simulator.simulate import simulate_pair
from radarsparse.errors import InputError
from radarsparse.metrics import write_json

BATCH_SIZES, FRAMES = (1, 2, 4), 16


def main() -> None:
    """Parse the arguments and run the benchmark that is named."""
    arguments = _parse()
    for option in ("repeats", "dense-repeats"):
        if (value := getattr(arguments, option.replace("-", "_"))) < 1:
            raise InputError(f"--{option} {value}: must be 1 or more")
    runs = {"vae": _vae, "sparse": _sparse, "nearest": _nearest, "memory": _memory}
    rows = runs[arguments.name](arguments)
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
        times = (row[name] for name in ("plan_s", "forward_s", "forward_backward_s"))
        cells = " ".join(f"{_milliseconds(time):>22s}" for time in times)
        peak = row["peak_bytes"]["torch"] / row["feats_in_and_out_bytes"]
        voxels = f"{row['voxels']:7d} voxels, {row['neighbours']:.1f} neighbours"
        tqdm.write(f"{voxels}, {channels:3d} channels {cells} {peak:6.2f}")
    return rows


def _nearest(arguments: argparse.Namespace) -> Any:
    if arguments.dry_run:
        print(f"would time both directions between clouds of {POINTS} points")
        return None
    rows = []
    for points in POINTS:
        rows.append(row := time_nearest(points, arguments.repeats))
        times = (f"{name} {1e3 * value:.2f}" for name, value in row["seconds"].items())
        ratios = (f"{value:.2f}" for value in row["ratio"].values())
        print(f"{points:7d} points, {row['device']}, median ms:", ", ".join(times), end="; ")
        print("ours to the others:", ", ".join(ratios), flush=True)
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
        cells = (f"{value:.4g}" if isinstance(value, float) else value for value in row.values())
        print(*(f"{name} {cell}" for name, cell in zip(row, cells, strict=True)), sep="  ")
    return rows


def _milliseconds(time_s: dict[str, float]) -> str:
    text = " / ".join(f"{1e3 * value:.1f}" for value in time_s.values())
    if "spconv" in time_s:
        text += f" = {time_s['torch'] / time_s['spconv']:.2f}"
    return text


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("name", choices=("vae", "sparse", "nearest", "memory"), help="what to time")
    add("--root", type=Path, help="vae, memory: prepared frames (default: simulated ones)")
    add("--repeats", type=int, default=5, help="that count, after one to warm up (default: 5)")
    add("--dense-repeats", type=int, default=2, help="vae: at most (default: 2)")
    add("--out", type=Path, help="write the numbers as JSON, too")
    add("--dry-run", action="store_true", help="say what would be timed")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
