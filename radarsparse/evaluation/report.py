"""The scores of all frames as one report: what is printed, `metrics.json` and the CSV."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from radarsparse.evaluation.definitions import define
from radarsparse.evaluation.frames import PREDICTION, ROW_NAMES, FrameSource
from radarsparse.evaluation.score import FrameScores, Scores
from radarsparse.metrics.summary import bootstrap_intervals, count_left_out, summarize

RANKED_BY = "chamfer_sum_m"
WORST = 5
# More keys than this are counted where they would be listed.
KEYS_LISTED = 4


def make_report(
    scores: Sequence[FrameScores], frames: FrameSource, resamples: int, worst: int
) -> dict[str, Any]:
    """Means over frames beside the scores of each frame, as `metrics.json` holds them.

    Args:
        scores: of every frame, at least one.
        frames: where they came from.
        resamples: of the bootstrap.
        worst: how many of the worst frames are named.
    """
    rows = order_rows(scores[0].rows)
    per_row = {row: [frame.rows[row] for frame in scores] for row in rows}

    def of_rows(function: Callable[[list[Scores]], Any]) -> dict[str, Any]:
        return {row: function(per_frame) for row, per_frame in per_row.items()}

    return {
        "frames": len(scores),
        "definitions": define(dict.fromkeys(key for row in rows for key in scores[0].rows[row])),
        **frames.region,
        "diagonal_m": frames.diagonal_m,
        **of_rows(summarize),
        "intervals": of_rows(lambda per_frame: bootstrap_intervals(per_frame, resamples)),
        "left_out": of_rows(count_left_out),
        "bands": {row: _summarize_bands(scores, row) for row in rows},
        "worst": rank_worst(scores, worst),
        "per_frame": [{"name": frame.name, **frame.rows} for frame in scores],
    }


def order_rows(rows: Sequence[str] | Mapping[str, Any]) -> list[str]:
    """Rows from the worst that can be had to the ceiling, what is compared before the latter."""
    named = list(ROW_NAMES)
    place = {row: named.index(row) for row in named}
    ceiling = place["reconstruction"]
    return sorted(rows, key=lambda row: place.get(row, ceiling - 0.5))


def title_of(row: str) -> str:
    """What the table calls a row."""
    return ROW_NAMES.get(row, row)


def table_rows(report: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """The rows of the printed table."""
    return {title_of(row): report[row] for row in report["left_out"]}


def csv_lines(scores: Sequence[FrameScores]) -> list[dict[str, float | str]]:
    """One line per frame and row."""
    return [
        {"name": frame.name, "row": row, **frame.rows[row]}
        for frame in scores
        for row in order_rows(frame.rows)
    ]


def rank_worst(scores: Sequence[FrameScores], count: int) -> list[str]:
    """Names of the frames whose prediction is farthest from the target, the farthest first."""
    distances = {frame.name: frame.rows[PREDICTION][RANKED_BY] for frame in scores}
    known = [name for name, distance in distances.items() if not math.isnan(distance)]
    return sorted(known, key=lambda name: -distances[name])[:count]


def describe_gaps(report: Mapping[str, Any]) -> str:
    """One line on what no mean holds, and on empty clouds; empty where there is neither."""
    parts = []
    for row, counts in report["left_out"].items():
        parts += [f"{title_of(row)} {_list_gaps(counts)}"] if any(counts.values()) else []
    gaps = [f"frames without a number: {'; '.join(parts)}"] if parts else []
    empty = [
        f"{title_of(row)} {report[row]['empty_pred']:.0f}"
        for row in report["left_out"]
        if report[row]["empty_pred"]
    ]
    targets = report[PREDICTION]["empty_target"]
    gaps += [f"empty predictions: {', '.join(empty)}"] if empty else []
    gaps += [f"empty targets: {targets:.0f}"] if targets else []
    unmatched = report.get("unmatched_targets", 0)
    gaps += [f"targets without a prediction, not scored: {unmatched}"] if unmatched else []
    return "; ".join(gaps)


def _list_gaps(counts: Mapping[str, int]) -> str:
    """`3 (feature_mae), 1 (45 metrics)`: keys by their number of frames."""
    keys: dict[int, list[str]] = {}
    for key, count in counts.items():
        keys.setdefault(count, []).append(key)
    return ", ".join(f"{count} ({_list_keys(keys[count])})" for count in sorted(keys) if count)


def _list_keys(keys: Sequence[str]) -> str:
    return ", ".join(keys) if len(keys) <= KEYS_LISTED else f"{len(keys)} metrics"


def _summarize_bands(scores: Sequence[FrameScores], row: str) -> dict[str, dict[str, float]]:
    bands = dict.fromkeys(band for frame in scores for band in frame.bands[row])
    return {
        band: _summarize_band([f.bands[row][band] for f in scores if band in f.bands[row]])
        for band in bands
    }


def _summarize_band(per_frame: Sequence[Scores]) -> dict[str, float]:
    """Means beside the number of frames that they are taken over."""
    return {
        "frames": sum(not math.isnan(frame[RANKED_BY]) for frame in per_frame),
        **summarize(per_frame),
    }
