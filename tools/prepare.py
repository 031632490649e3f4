"""Turn a data set in its own layout into prepared frames."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from radarsparse.cli import run
from radarsparse.data.build import PreparedPlan, Source, build_prepared
from radarsparse.data.sources.astyx import open_astyx


class Layout(NamedTuple):
    """A data set's layout on the command line."""

    about: str
    holds: str
    open: Callable[[Path], Source]


LAYOUTS = {
    "astyx": Layout(
        "Astyx HiRes2019 (text files)",
        "folder with radar_6455, lidar_vlp16 and calibration",
        open_astyx,
    ),
}


def main() -> None:
    arguments = _parse()
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
        one.add_argument("--dry-run", action="store_true", help="say what would be written")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
