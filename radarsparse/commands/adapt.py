"""Fine-tune trained weights on a user's own prepared frames; called again, it goes on."""

import argparse
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from radarsparse.cli import Command
from radarsparse.config import DenoiserConfig, check_whole, config_to_yaml
from radarsparse.enhancer import Enhancer
from radarsparse.evaluation.frames import PREDICTION, RAW, ROW_NAMES, frames_of_rows, rows_of_run
from radarsparse.evaluation.score import score_frames
from radarsparse.evaluation.workers import Workers
from radarsparse.files import count_of
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.metrics.summary import COLUMNS, format_table, summarize
from radarsparse.models.weights import SHIPPED, load_diffusion, run_folder
from radarsparse.training.adapting import check_frames, plan_adaptation
from radarsparse.training.checkpoint import load_state
from radarsparse.training.loop import BEST_FOLDER, train
from radarsparse.training.planning.dry_run import check
from radarsparse.training.validate import choose_frames
from radarsparse.viewer.plots import render_clouds

SHOWN = ("chamfer_sum_m", "fscore@0.5m")
# Of more, this many are scored at the end, spread evenly.
SCORED_MAX = 100
START, ADAPTED = "start", "adapted"
EXAMPLES = """
radarsparse adapt --frames DIR --out runs/mine
radarsparse adapt --frames DIR --out runs/mine --dry-run
radarsparse adapt --frames DIR --out runs/mine --checkpoint runs/edm --samples 3000
"""

_log = logging.getLogger("radarsparse")


def act(arguments: argparse.Namespace) -> Mapping[str, Any]:
    """Train, or say what would be trained; then compare on the frames that were held back.

    Returns:
        The folder of the adapted weights, the samples seen and the scores by row; or what was
        found.
    """
    out, checkpoint, samples = arguments.out, arguments.checkpoint, arguments.samples
    if samples is not None:
        check_whole("--samples", samples, 1, 2**31 - 1)
    config, lines = plan_adaptation(arguments.frames, checkpoint, samples, arguments.set)
    leads = os.environ.get("RANK", "0") == "0"
    for line in lines if leads else ():
        _log.info("%s", line)
    check_frames(config)
    if arguments.dry_run:
        found = check(config, out)
        print(config_to_yaml(config), found, sep="\n")
        return {"config": config.model_dump(mode="json"), "found": found}
    seen = _train(config, out)
    if not leads:
        return {}
    scores = _compare(config, checkpoint, out / BEST_FOLDER)
    _tell(scores, checkpoint, out / BEST_FOLDER)
    return {"run": str(out), "best": str(out / BEST_FOLDER), "samples": seen, "scores": scores}


def _train(config: DenoiserConfig, out: Path) -> int:
    before = load_state(out) or {"seen": None}
    seen = train(config, out, render_clouds)
    if seen == before["seen"]:
        _log.info("%s: already finished, after %s", out, count_of(seen, "sample"))
    elif seen < config.train.samples:
        said = count_of(seen, "sample")
        _log.info("%s: stopped after %s, since validation no longer improved", out, said)
    return seen


def _compare(config: DenoiserConfig, checkpoint: str, best: Path) -> dict[str, Any]:
    """Mean scores on the held-back frames of raw radar, the start and the adapted weights."""
    data = config.data
    pairs = PreparedFrames.open(Path(data.root), data.val_split, data.split)
    names = [pairs.names[number] for number in choose_frames(pairs, SCORED_MAX)]
    pairs = PreparedFrames(pairs.root, tuple(names))
    # Both are told of the same LiDAR and sample alike.
    folders = {START: run_folder(checkpoint), ADAPTED: best}
    enhancers = {k: Enhancer(load_diffusion(v)[0], config) for k, v in folders.items()}
    made = {name: rows_of_run(enhancer, 0) for name, enhancer in enhancers.items()}
    rows = {RAW: made[START][RAW], **{name: each[PREDICTION] for name, each in made.items()}}
    source = frames_of_rows(rows, names, pairs, enhancers[START].volume)
    scores = score_frames(source, Workers(len(os.sched_getaffinity(0))))
    means = {row: summarize([frame.rows[row] for frame in scores]) for row in rows}
    return {"frames": len(names), **{row: {k: of[k] for k in SHOWN} for row, of in means.items()}}


def _tell(scores: Mapping[str, Any], checkpoint: str, best: Path) -> None:
    start, adapted = scores[START], scores[ADAPTED]
    titles = {RAW: ROW_NAMES[RAW], START: f"start: {checkpoint}", ADAPTED: f"adapted: {best}"}
    rows = {title: scores[row] for row, title in titles.items()}
    print(f"means over {count_of(scores['frames'], 'frame')} held back")
    print(format_table(rows, {key: COLUMNS[key] for key in SHOWN}))
    if adapted["chamfer_sum_m"] >= start["chamfer_sum_m"]:
        print("the adapted weights are no better there: more frames may help, more samples won't")
    print(f"next: radarsparse enhance --checkpoint {best} --input PATH --out FOLDER")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add whose frames, from what, how long, and where to."""
    add = parser.add_argument
    text = "folder of prepared frames with LiDAR, 3 or more; see `radarsparse prepare`"
    add("--frames", type=Path, required=True, metavar="DIR", help=text)
    add("--out", type=Path, required=True, metavar="RUN", help="run folder; its `best` is for use")
    text = f"run folder of stage edm, or `weights`, those that ship (default: {SHIPPED})"
    add("--checkpoint", default=SHIPPED, metavar="RUN", help=text)
    text = "frames seen (default: 30 times those to train on, at least 2000, at most 6000)"
    add("--samples", type=int, metavar="N", help=text)
    text = "check everything and print the config, train nothing"
    add("--dry-run", action="store_true", help=text)
    text = "change one setting of the config; may be repeated"
    add("--set", action="append", default=[], metavar="A.B=VALUE", help=text)


COMMAND = Command("adapt", str(__doc__), EXAMPLES, add_arguments, act)
