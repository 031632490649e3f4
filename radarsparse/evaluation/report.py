"""The scores of all frames as one report: what is printed, `metrics.json` and the CSV."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from radarsparse.evaluation.definitions import define
from radarsparse.evaluation.frames import PREDICTION, ROW_NAMES, FrameSource
from radarsparse.evaluation.score import FrameScores, Scores
from radarsparse.files import count_of
from radarsparse.metrics.summary import (
    bootstrap_intervals,
    count_left_out,
    format_table,
    summarize,
)

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
    *named, ceiling = ROW_NAMES
    others = [row for row in rows if row not in ROW_NAMES]
    return [row for row in (*named, *others, ceiling) if row in rows]


def title_of(row: str) -> str:
    """What the table calls a row."""
    return ROW_NAMES.get(row, row)


def describe_report(report: Mapping[str, Any]) -> str:
    """The table and what else a person must know, in lines."""
    rows = {title_of(row): report[row] for row in report["left_out"]}
    lines = [count_of(report["frames"], "frame"), format_table(rows), describe_gaps(report)]
    if report["worst"]:
        lines.append(f"worst by Chamfer sum: {', '.join(report['worst'])}")
    return "\n".join(filter(None, lines))


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
    counted = report["left_out"]
    left_out = [
        f"{title_of(row)} {_list_gaps(counts)}"
        for row, counts in counted.items()
        if any(counts.values())
    ]
    empty = [
        f"{title_of(row)} {report[row]['empty_pred']:.0f}"
        for row in counted
        if report[row]["empty_pred"]
    ]
    gaps = {
        "frames without a number": "; ".join(left_out),
        "empty predictions": ", ".join(empty),
        "empty targets": int(report[PREDICTION]["empty_target"]),
        "targets without a prediction, not scored": report.get("unmatched_targets", 0),
    }
    return "; ".join(f"{title}: {found}" for title, found in gaps.items() if found)


def _list_gaps(counts: Mapping[str, int]) -> str:
    """`3 (feature_mae), 1 (45 metrics)`: keys by their number of frames."""
    listed = []
    for count in sorted(set(counts.values()) - {0}):
        keys = [key for key in counts if counts[key] == count]
        few = ", ".join(keys) if len(keys) <= KEYS_LISTED else f"{len(keys)} metrics"
        listed.append(f"{count} ({few})")
    return ", ".join(listed)


def _summarize_bands(scores: Sequence[FrameScores], row: str) -> dict[str, dict[str, float]]:
    """Means by band, beside the number of frames that they are taken over."""
    per_band: dict[str, list[Scores]] = {}
    for frame in scores:
        for band, found in frame.bands[row].items():
            per_band.setdefault(band, []).append(found)
    return {
        band: {"frames": sum(not math.isnan(each[RANKED_BY]) for each in found), **summarize(found)}
        for band, found in per_band.items()
    }
