"""Turn a data set in its own layout into prepared frames."""

import argparse
from functools import partial
from pathlib import Path

from radarsparse.cli import run
from radarsparse.data.astyx import (
    ASTYX_SPLIT,
    astyx_card,
    astyx_fingerprint,
    list_astyx_frames,
    read_astyx_frame,
)
from radarsparse.data.prepared import PreparedPlan, build_prepared


def main() -> None:
    arguments = _parse()
    plan = _plan_astyx(arguments.source, arguments.target)
    what = f"{len(plan.names)} frames ({plan.names[0]} .. {plan.names[-1]}) at {plan.target}"
    if plan.is_built():
        print(f"nothing to do: already {what}")
    elif arguments.dry_run:
        print(f"would write {what}")
    else:
        build_prepared(plan, partial(read_astyx_frame, arguments.source))
        print(f"wrote {what}; licence: {plan.card.licence}")


def _plan_astyx(source: Path, target: Path) -> PreparedPlan:
    names = list_astyx_frames(source)
    card = astyx_card(astyx_fingerprint(source, names))
    return PreparedPlan(target, card, ASTYX_SPLIT, names)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    layouts = parser.add_subparsers(title="layouts", required=True, metavar="LAYOUT")
    astyx = layouts.add_parser("astyx", help="Astyx HiRes2019 (text files)")
    astyx.add_argument(
        "source",
        type=Path,
        metavar="SRC",
        help="folder with radar_6455, lidar_vlp16 and calibration",
    )
    astyx.add_argument("target", type=Path, metavar="DST", help="new folder for the frames")
    astyx.add_argument("--dry-run", action="store_true", help="say what would be written")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
