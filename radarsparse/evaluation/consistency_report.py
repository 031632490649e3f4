"""The agreement of all scans as one report: what is printed, `metrics.json` and the CSV."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from radarsparse.evaluation.consistency import (
    CHANCE,
    NEIGHBOURS,
    RAW_CHANCE,
    MovingClip,
    ScanScores,
)
from radarsparse.evaluation.ego_motion import STATIC_TOLERANCE_MPS
from radarsparse.evaluation.frames import PREDICTION, RAW, ROW_NAMES
from radarsparse.evaluation.score import Scores
from radarsparse.files import count_of
from radarsparse.metrics.consistency import THRESHOLDS_M
from radarsparse.metrics.summary import (
    bootstrap_intervals,
    count_left_out,
    format_table,
    summarize,
)

TITLES = {
    RAW: ROW_NAMES[RAW],
    RAW_CHANCE: f"{ROW_NAMES[RAW]}, chance",
    PREDICTION: ROW_NAMES[PREDICTION],
    CHANCE: f"{ROW_NAMES[PREDICTION]}, chance",
}
RATIOS = {"pred/chance": (PREDICTION, CHANCE), "pred/raw": (PREDICTION, RAW)}
SHARES = [f"{name}@{limit_m}m" for name in ("recall", "support") for limit_m in THRESHOLDS_M]
COLUMNS = {
    **{key: key.replace("@", " @").removesuffix("m") + " m" for key in SHARES},
    "points": "points",
    "held_out_points": "held out",
}
ALL = "all"

_ANOTHER = {
    True: "the cloud of a scan of another clip",
    False: "the cloud of the scan half the clip away, since there is one clip",
}


def make_consistency_report(
    scores: Sequence[ScanScores],
    clips: Sequence[MovingClip],
    about: Mapping[str, Any],
    resamples: int,
) -> dict[str, Any]:
    """Means over scans, of all and by clip, beside the scores of each.

    Args:
        scores: of every scan of the clips, at least one.
        clips: as they were scored.
        about: what else the report holds: the volume, the motion.
        resamples: of the bootstrap.
    """
    return {
        "frames": len(scores),
        "definitions": _define(len(clips) > 1),
        **about,
        **_summarize_rows(scores),
        "intervals": {
            row: bootstrap_intervals([scan.rows[row] for scan in scores], resamples)
            for row in TITLES
        },
        "left_out": {row: count_left_out([scan.rows[row] for scan in scores]) for row in TITLES},
        "bands": _summarize_bands(scores),
        "clips": {clip.clip.name: _report_clip(clip, scores, resamples) for clip in clips},
        "per_frame": [{"name": scan.name, "clip": scan.clip, **scan.rows} for scan in scores],
    }


def describe_consistency(report: Mapping[str, Any]) -> str:
    """The table and what else a person must know, in lines."""
    clips, rows = report["clips"], {}
    for name, part in [*clips.items(), (ALL, report)]:
        rows |= {f"{name}: {title}": part[row] for row, title in TITLES.items()}
        ratios = part["ratios"].items()
        rows |= {f"{name}: {_title_of_ratio(key)}": ratio for key, ratio in ratios}
    lines = [
        f"{count_of(report['frames'], 'scan')} in {count_of(len(clips), 'clip')},"
        f" moved by {report['motion']['source']}",
        *(_describe_clip(name, clip) for name, clip in clips.items()),
        format_table(rows, COLUMNS),
        f"chance: {report['definitions'][CHANCE]}",
    ]
    if report["left_out_clips"]:
        lines.append(f"too short, not scored: {', '.join(report['left_out_clips'])}")
    return "\n".join(lines)


def consistency_csv_lines(scores: Sequence[ScanScores]) -> list[dict[str, float | str]]:
    """One line per scan and row."""
    return [
        {"name": scan.name, "clip": scan.clip, "row": row, **found}
        for scan in scores
        for row, found in scan.rows.items()
    ]


def _summarize_rows(scores: Sequence[ScanScores]) -> dict[str, Any]:
    means = {row: summarize([scan.rows[row] for scan in scores]) for row in TITLES}
    ratios = {key: _divide(means[a], means[b]) for key, (a, b) in RATIOS.items()}
    return {**means, "ratios": ratios}


def _divide(ours: Scores, theirs: Scores) -> dict[str, float]:
    return {
        key: ours[key] / theirs[key] if theirs[key] else math.nan for key in (*SHARES, "points")
    }


def _summarize_bands(scores: Sequence[ScanScores]) -> dict[str, dict[str, dict[str, float]]]:
    return {
        row: {band: summarize([scan.bands[row][band] for scan in scores]) for band in bands}
        for row, bands in scores[0].bands.items()
    }


def _report_clip(clip: MovingClip, scores: Sequence[ScanScores], resamples: int) -> dict[str, Any]:
    own = [scan for scan in scores if scan.clip == clip.clip.name]
    velocities_mps = np.array([scan.velocity_mps for scan in clip.scans])
    pairs = zip(clip.scans[:-1], clip.scans[1:], strict=True)
    return {
        "frames": len(own),
        "speed_mps": float(np.linalg.norm(velocities_mps, axis=1).mean()),
        "static_share": float(np.mean([scan.is_static.mean() for scan in clip.scans])),
        "repeated_scans": sum(second.repeats(first) for first, second in pairs),
        **_summarize_rows(own),
        "intervals": {
            row: bootstrap_intervals([scan.rows[row] for scan in own], resamples) for row in TITLES
        },
        "bands": _summarize_bands(own),
    }


def _describe_clip(name: str, clip: Mapping[str, Any]) -> str:
    return (
        f"{name}: {count_of(clip['frames'], 'scan')}, {clip['speed_mps']:.1f} m/s,"
        f" {clip['static_share']:.0%} of the points static, {clip['repeated_scans']} repeated"
    )


def _title_of_ratio(key: str) -> str:
    ours, theirs = RATIOS[key]
    return f"{TITLES[ours]} / {'chance' if theirs == CHANCE else TITLES[theirs]}"


def _define(several: bool) -> dict[str, str]:
    held_out = (
        f"points of up to {NEIGHBOURS} scans before and after, the scan itself and what repeats it"
        f" left out, whose Doppler is that of a static world within {STATIC_TOLERANCE_MPS:g} m/s,"
        " moved into the scan and inside the volume"
    )
    return {
        "held_out_points": f"{held_out}; mean over scans",
        "recall@Tm": "share of held-out points nearer than T to the cloud, 0 to 1",
        "support@Tm": "share of the cloud's points nearer than T to a held-out point, 0 to 1",
        "points": "points of the cloud inside the volume, mean over scans",
        CHANCE: f"{_ANOTHER[several]}, in the place of the scan's own",
        "ratios": "quotients of means",
    }
