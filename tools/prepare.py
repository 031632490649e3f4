"""Turn a data set in its own layout into prepared frames, or look at prepared ones."""

import argparse
from collections.abc import Callable
from pathlib import Path

from radarsparse.cli import run
from radarsparse.config import VolumeSettings
from radarsparse.data.build import PreparedPlan, build_prepared
from radarsparse.data.prepared import PreparedFrames
from radarsparse.data.sources.layouts import LAYOUTS
from radarsparse.data.sources.tj4dradset import convert_tj4dradset
from radarsparse.evaluation.check import check_pairs, describe_check, draw_check
from radarsparse.geometry import Volume


def main() -> None:
    arguments = _parse()
    arguments.act(arguments)


def _check(arguments: argparse.Namespace) -> None:
    root, split = arguments.root, arguments.split
    frames = PreparedFrames.open(root, split) if split else PreparedFrames.open_all(root)
    if arguments.dry_run:
        print(f"would look at {len(frames)} frames of {root}")
        return
    found = check_pairs(frames, Volume.from_settings(VolumeSettings()))
    print(*describe_check(found), sep="\n")
    if arguments.out:
        draw_check(arguments.out, found, f"{root}, {split or 'all splits'}")


def _convert(arguments: argparse.Namespace) -> None:
    what = f"radar clouds of {arguments.source} as NPY files at {arguments.target}"
    if arguments.dry_run:
        print(f"would write {what}")
    else:
        print(f"wrote {convert_tj4dradset(arguments.source, arguments.target)} {what}")


def _prepare(arguments: argparse.Namespace) -> None:
    source = LAYOUTS[arguments.layout].open(arguments.source)
    plan = PreparedPlan(arguments.target, source, arguments.skip_unusable)
    names = source.names
    what = f"{len(names)} frames ({names[0]} .. {names[-1]}) at {plan.target}"
    if plan.is_built():
        print(f"nothing to do: already {what}")
    elif arguments.dry_run:
        print(f"would write {what}")
    else:
        skipped = build_prepared(plan)
        left_out = f", {len(skipped)} left out, see skipped.yaml" if skipped else ""
        print(f"wrote {what}{left_out}; licence: {source.card.licence}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    layouts = parser.add_subparsers(title="layouts", required=True, metavar="LAYOUT", dest="layout")
    for name, layout in LAYOUTS.items():
        one = layouts.add_parser(name, help=layout.about, description=layout.about)
        one.add_argument("source", type=Path, metavar="SRC", help=layout.holds)
        one.add_argument("target", type=Path, metavar="DST", help="new folder for the frames")
        text = "leave out frames that can't be made, instead of stopping at the first"
        one.add_argument("--skip-unusable", action="store_true", help=text)
        _finish(one, _prepare)
    about = "TJ4DRadSet (radar only): clouds for tools/enhance.py"
    radar = layouts.add_parser("tj4dradset", help=about, description=about)
    radar.add_argument("source", type=Path, metavar="SRC", help="folder with training/velodyne")
    radar.add_argument("target", type=Path, metavar="DST", help="new folder for the clouds")
    _finish(radar, _convert)
    about = "look at prepared frames: points, distances to LiDAR, pairing, reach of the radar"
    check = layouts.add_parser("check", help=about, description=about)
    check.add_argument("root", type=Path, metavar="DIR", help="prepared frames")
    check.add_argument("--split", help="which frames (default: all)")
    check.add_argument("--out", type=Path, metavar="FILE.png", help="draw it, too")
    _finish(check, _check)
    return parser.parse_args()


def _finish(parser: argparse.ArgumentParser, act: Callable[[argparse.Namespace], None]) -> None:
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.set_defaults(act=act)


if __name__ == "__main__":
    run(main)
