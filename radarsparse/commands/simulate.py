"""Make simulated frames: road scenes seen by a radar and a LiDAR like real ones."""

import argparse
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from radarsparse.cli import Command, add_workers
from radarsparse.config import check_whole
from radarsparse.datasets.build import EachFrame, PreparedPlan, Source, build_prepared
from radarsparse.formats.prepared import frame_name
from radarsparse.scan import ScanPair
from radarsparse.simulator.lidar_models import LIDARS
from radarsparse.simulator.mounts import ASTYX_PLACES, CAR_PLACES
from radarsparse.simulator.pairs import VARIED, SensorRig, simulate_pair, simulation_card
from radarsparse.simulator.radar_models import RADARS

# At least one frame for each split.
BOUNDS = {"--frames": (3, 999_999), "--seed": (0, 2**63 - 1), "--radar-sweeps": (1, 20)}
EXAMPLES = """
radarsparse simulate --out data/sim --frames 200 --seed 0
radarsparse simulate --out data/any --frames 200 --seed 0 --radar varied --lidar varied
radarsparse simulate --out data/ars --frames 200 --seed 0 --radar ars548 --lidar livox-horizon
"""


def act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Simulate the frames, going on where an earlier call stopped.

    Returns:
        How many frames the folder holds, or would.
    """
    for option, (least, most) in BOUNDS.items():
        check_whole(option, vars(arguments)[option.strip("-").replace("-", "_")], least, most)
    plan = _plan(arguments)
    what = f"{arguments.frames} simulated frames (seed {arguments.seed}) at {plan.target}"
    if plan.is_built():
        print(f"nothing to do: already {what}")
    elif arguments.dry_run:
        print(f"would write {what}")
    else:
        build_prepared(plan)
        print(f"wrote {what}")
    return {"folder": str(arguments.out), "frames": arguments.frames, "dry_run": arguments.dry_run}


def _plan(arguments: argparse.Namespace) -> PreparedPlan:
    frames, seed, radar_sweeps = arguments.frames, arguments.seed, arguments.radar_sweeps
    radar, lidar = RADARS.get(arguments.radar), LIDARS.get(arguments.lidar)
    rig = SensorRig(radar, lidar, ASTYX_PLACES if radar else CAR_PLACES)
    names = tuple(frame_name(index) for index in range(frames))
    card = simulation_card(seed, frames, radar_sweeps, rig)
    read = EachFrame(partial(_simulate, seed, radar_sweeps, rig))
    source = Source(card, _split(frames), names, read)
    return PreparedPlan(arguments.out, source, workers=arguments.workers)


def _simulate(seed: int, radar_sweeps: int, rig: SensorRig, name: str) -> ScanPair:
    return simulate_pair(seed, int(name), radar_sweeps, rig)


def _split(frames: int) -> dict[str, list[list[int]]]:
    """The first 80 % train, then 10 % val and 10 % test, each at least one frame."""
    train = min(frames * 8 // 10, frames - 2)
    val = train + (frames - train) // 2
    return {"train": [[0, train - 1]], "val": [[train, val - 1]], "test": [[val, frames - 1]]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how many frames, of which sensors, and where to."""
    add = partial(parser.add_argument, required=True)
    add("--out", type=Path, metavar="DIR", help="new folder")
    add("--frames", type=int, metavar="N", help="how many, 3 or more")
    add("--seed", type=int, metavar="S", help="0 or more")
    _add_sensor(parser, "--radar", "astyx-6455", RADARS)
    _add_sensor(parser, "--lidar", "vlp-16", LIDARS)
    text = "sweeps in each radar cloud, the newest and those before it (default: 1)"
    parser.add_argument("--radar-sweeps", type=int, default=1, metavar="N", help=text)
    add_workers(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be written")


def _add_sensor(
    parser: argparse.ArgumentParser, option: str, default: str, names: Collection[str]
) -> None:
    names = [*names, VARIED]
    text = f"{', '.join(names)} (another one in each drive) (default: {default})"
    parser.add_argument(option, default=default, choices=names, metavar="NAME", help=text)


COMMAND = Command("simulate", str(__doc__), EXAMPLES, add_arguments, act)
