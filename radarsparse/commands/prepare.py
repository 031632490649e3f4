"""Turn a data set in its own layout into prepared frames, or look at prepared ones."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from radarsparse.cli import Command, add_shared, add_workers
from radarsparse.config import VolumeSettings
from radarsparse.datasets.build import PreparedPlan, build_prepared, read_skipped
from radarsparse.datasets.check import BOUNDS_M, check_pairs, describe_check
from radarsparse.datasets.layouts import LAYOUTS
from radarsparse.datasets.tj4dradset import convert_tj4dradset
from radarsparse.files import count_of
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.geometry import Volume
from radarsparse.viewer.check_plot import draw_check
from radarsparse.viewer.film import PICTURE, check_path

Step = Callable[[argparse.Namespace], Mapping[str, Any]]
Layouts: TypeAlias = "argparse._SubParsersAction[Any]"

EXAMPLES = """
radarsparse prepare view-of-delft SRC DST
radarsparse prepare ntu4dradlm SRC DST --skip-unusable
radarsparse prepare check DST --out check.png
"""


def _check(arguments: argparse.Namespace) -> Mapping[str, Any]:
    root, split, out = arguments.root, arguments.split, arguments.out
    if out:
        check_path(out, (PICTURE,))
    frames = PreparedFrames.open(root, split) if split else PreparedFrames.open_all(root)
    if arguments.dry_run:
        print(f"would look at {count_of(len(frames), 'frame')} of {root}")
        return {"frames": len(frames), "dry_run": True}
    found = check_pairs(frames, Volume.from_settings(VolumeSettings()))
    print(*describe_check(found), sep="\n")
    if out:
        draw_check(out, found, f"{root}, {split or 'all splits'}")
    numbers = {name: values.tolist() for name, values in found._asdict().items()}
    return {"frames": len(frames), "range_bounds_m": BOUNDS_M, **numbers}


def _convert(arguments: argparse.Namespace) -> Mapping[str, Any]:
    source, target = arguments.source, arguments.target
    what = f"of {source} as NPY files at {target}"
    if arguments.dry_run:
        print(f"would write the radar clouds {what}")
        return {"folder": str(target), "dry_run": True}
    clouds = convert_tj4dradset(source, target)
    print(f"wrote {count_of(clouds, 'radar cloud')} {what}")
    return {"folder": str(target), "clouds": clouds}


def _prepare(arguments: argparse.Namespace) -> Mapping[str, Any]:
    source = LAYOUTS[arguments.layout].open(arguments.source)
    plan = PreparedPlan(
        arguments.target, source, arguments.skip_unusable, arguments.source, arguments.workers
    )
    names, done = source.names, plan.is_built()
    where = f"({names[0]} .. {names[-1]}) at {plan.target}"
    if arguments.dry_run and not done:
        print(f"would write {count_of(len(names), 'frame')} {where}")
        return {"folder": str(plan.target), "frames": len(names), "dry_run": True}
    skipped = read_skipped(plan.target) if done else build_prepared(plan)
    frames = len(names) - len(skipped)
    left_out = f", {len(skipped)} left out, see skipped.yaml" if skipped else ""
    said = "nothing to do: already" if done else "wrote"
    print(f"{said} {count_of(frames, 'frame')} {where}{left_out}; licence: {source.card.licence}")
    return {
        "folder": str(plan.target),
        "frames": frames,
        "left_out": skipped,
        "licence": source.card.licence,
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add a parser for each layout and for `check`."""
    layouts = parser.add_subparsers(title="layouts", required=True, metavar="LAYOUT", dest="layout")
    for name, layout in LAYOUTS.items():
        one = _add(layouts, name, layout.about, _prepare)
        one.add_argument("source", type=Path, metavar="SRC", help=layout.holds)
        one.add_argument("target", type=Path, metavar="DST", help="new folder for the frames")
        text = "leave out frames that can't be made, instead of stopping at the first"
        one.add_argument("--skip-unusable", action="store_true", help=text)
        add_workers(one)
    about = "TJ4DRadSet (radar only): clouds for the command enhance"
    radar = _add(layouts, "tj4dradset", about, _convert)
    radar.add_argument("source", type=Path, metavar="SRC", help="folder with training/velodyne")
    radar.add_argument("target", type=Path, metavar="DST", help="new folder for the clouds")
    about = "look at prepared frames: points, distances to LiDAR, pairing, reach of the radar"
    check = _add(layouts, "check", about, _check)
    check.add_argument("root", type=Path, metavar="DIR", help="prepared frames")
    check.add_argument("--split", help="which frames (default: all)")
    check.add_argument("--out", type=Path, metavar="FILE.png", help="draw it, too")


def _add(layouts: Layouts, name: str, about: str, step: Step) -> argparse.ArgumentParser:
    words = "DIR --out check.png" if name == "check" else "SRC DST"
    examples = f"radarsparse prepare {name} {words}"
    parser = layouts.add_parser(name, help=about, description=about, examples=examples)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    add_shared(parser)
    parser.set_defaults(step=step)
    return parser


COMMAND = Command(
    "prepare", str(__doc__), EXAMPLES, add_arguments, lambda arguments: arguments.step(arguments)
)
