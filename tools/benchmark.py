"""Time radarsparse beside its peers: the VAE, sparse convolutions, nearest neighbours."""

import argparse
from itertools import product
from pathlib import Path

from tqdm import tqdm

from radarsparse.benchmark.nearest import POINTS, time_nearest
from radarsparse.benchmark.sparse import CASES, CHANNELS, time_case
from radarsparse.benchmark.vae import time_vae
from radarsparse.cli import run
from radarsparse.config import VaeConfig, load_config
from radarsparse.data.prepared import PreparedFrames
from radarsparse.data.simulator.simulate import simulate_pair
from radarsparse.errors import InputError
from radarsparse.metrics import write_json


def main() -> None:
    """Parse the arguments and run the benchmark that is named."""
    arguments = _parse()
    for name in ("repeats", "dense_repeats"):
        if getattr(arguments, name) < 1:
            option = name.replace("_", "-")
            raise InputError(f"--{option} {getattr(arguments, name)}: must be 1 or more")
    {"vae": _vae, "sparse": _sparse, "nearest": _nearest}[arguments.name](arguments)


def _vae(arguments: argparse.Namespace) -> None:
    config = load_config(Path(__file__).parents[1] / "configs" / "astyx_vae.yaml")
    assert isinstance(config, VaeConfig)
    root = arguments.root
    pair = PreparedFrames.open(root, config.data.train_split)[0] if root else simulate_pair(0, 0)
    if arguments.dry_run:
        print(f"would time a training step on frame {pair.name} of {root or 'the simulator'}")
        return
    numbers = time_vae(config, pair, arguments.repeats, arguments.dense_repeats)
    print(*(f"{name:24s} {value:12.4g}" for name, value in numbers.items()), sep="\n")
    if arguments.out:
        write_json(arguments.out, numbers)


def _sparse(arguments: argparse.Namespace) -> None:
    if arguments.dry_run:
        print(f"would time {len(CASES)} sets of voxels at {CHANNELS} channels")
        return
    rows = []
    head = "median ms, torch / spconv: plan, forward, forward and backward; peak over features"
    print(head)
    for case, channels in tqdm(list(product(CASES, CHANNELS)), unit="case", disable=None):
        row = time_case(case, channels, arguments.repeats)
        rows.append(row)
        times = (row[name] for name in ("plan_s", "forward_s", "forward_backward_s"))
        cells = " ".join(f"{_milliseconds(time):>22s}" for time in times)
        peak = row["peak_bytes"]["torch"] / row["feats_in_and_out_bytes"]
        voxels = f"{row['voxels']:7d} voxels, {row['neighbours']:.1f} neighbours"
        tqdm.write(f"{voxels}, {channels:3d} channels {cells} {peak:6.2f}")
    if arguments.out:
        write_json(arguments.out, rows)


def _nearest(arguments: argparse.Namespace) -> None:
    if arguments.dry_run:
        print(f"would time both directions between clouds of {POINTS} points")
        return
    rows = []
    for points in POINTS:
        rows.append(row := time_nearest(points, arguments.repeats))
        times = (f"{name} {1e3 * value:.2f}" for name, value in row["seconds"].items())
        ratios = (f"{value:.2f}" for value in row["ratio"].values())
        print(f"{points:7d} points, {row['device']}, median ms:", ", ".join(times), end="; ")
        print("ours to the others:", ", ".join(ratios), flush=True)
    if arguments.out:
        write_json(arguments.out, rows)


def _milliseconds(time_s: dict[str, float]) -> str:
    text = " / ".join(f"{1e3 * value:.1f}" for value in time_s.values())
    if "spconv" in time_s:
        text += f" = {time_s['torch'] / time_s['spconv']:.2f}"
    return text


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("name", choices=("vae", "sparse", "nearest"), help="what to time")
    add("--root", type=Path, help="vae: prepared frames (default: a simulated frame)")
    add("--repeats", type=int, default=5, help="that count, after one to warm up (default: 5)")
    add("--dense-repeats", type=int, default=2, help="vae: at most (default: 2)")
    add("--out", type=Path, help="write the numbers as JSON, too")
    add("--dry-run", action="store_true", help="say what would be timed")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
