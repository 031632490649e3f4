"""`docs/results.md` from the reports of several training seeds."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from radarsparse.evaluation.frames import RAW
from radarsparse.evaluation.noise_levels import NoiseLosses
from radarsparse.evaluation.report import title_of

METRICS = {
    "chamfer_sum_m": "Chamfer sum [m]",
    "hausdorff95_m": "Hausdorff95 [m]",
    "fscore@0.2m": "F@0.2 m",
    "fscore@0.5m": "F@0.5 m",
    "fscore@1.0m": "F@1 m",
    "iou@0.2m": "IoU@0.2 m",
    "iou@0.4m": "IoU@0.4 m",
    "jsd_bev": "JSD bird's-eye",
    "feature_mae": "intensity MAE",
    "voxel_ratio@0.2m": "voxels of 0.2 m to LiDAR's",
}
# What stands below it in an older document was written by hand.
KEPT = "<!-- What follows is kept when the tool writes this file again. -->"
BAND_METRICS = {"chamfer_sum_m": "Chamfer sum [m]", "fscore@0.5m": "F@0.5 m"}


class Quality(NamedTuple):
    """What was measured on one set of frames.

    Attributes:
        title: of the frames.
        reports: of `make_report`, one per training seed.
        draws: of `score_draws`, one per training seed.
        noise: losses by noise level, first training seed.
        seconds: time of a frame by row, in the order of the table; all rows but `RAW`.
        peak_gib: of memory, over all rows.
        pictures: paths of pictures, relative to the document.
    """

    title: str
    reports: Sequence[Mapping[str, Any]]
    draws: Sequence[Mapping[str, Any]]
    noise: NoiseLosses
    seconds: Mapping[str, float]
    peak_gib: float
    pictures: Sequence[str]


def write_results(parts: Sequence[Quality], about: Sequence[str], older: str) -> str:
    """The document.

    Args:
        parts: sets of frames.
        about: lines on how it was measured.
        older: the document before; what stands below `KEPT` in it is kept.
    """
    lines = ["# Results", "", *about]
    for part in parts:
        lines += ["", f"## {part.title}", "", *_describe(part)]
    return "\n".join([*lines, "", KEPT]) + (older.partition(KEPT)[2] or "\n")


def _describe(part: Quality) -> list[str]:
    rows = [RAW, *part.seconds]
    frames = part.reports[0]["frames"]
    return [
        f"{frames} frames, {len(part.reports)} training seeds: mean, +- half the spread between"
        f" seeds. Peak memory of the process {part.peak_gib:.2f} GiB.",
        "",
        *_table(part, rows, METRICS),
        "",
        "95 % intervals of the bootstrap over frames, first seed:",
        "",
        *_intervals(part.reports[0], rows),
        "",
        "By range, all seeds:",
        "",
        *_bands(part, rows),
        "",
        *_draws(part.draws),
        "",
        "Losses by noise level, first seed: of flags, in bits per flag that is up; of flags where"
        " the regression and each noisy flag itself are all that is known; of latents:",
        "",
        *_levels(part.noise),
        "",
        *(f"![{path}]({path})" for path in part.pictures),
    ]


def _table(part: Quality, rows: Sequence[str], metrics: Mapping[str, str]) -> list[str]:
    heads = [*metrics.values(), "ms per frame"]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for row in rows:
        cells = [_cell([report[row][key] for report in part.reports]) for key in metrics]
        time = part.seconds.get(row)
        cells.append("-" if time is None else f"{1e3 * time:.0f}")
        lines.append(f"| {title_of(row)} | {' | '.join(cells)} |")
    return lines


def _cell(values: Sequence[float]) -> str:
    mean, half = float(np.mean(values)), 0.5 * float(np.ptp(values))
    if math.isnan(mean):
        return "-"
    return f"{mean:.3f}" + (f" +- {half:.3f}" if half >= 0.0005 else "")


def _intervals(report: Mapping[str, Any], rows: Sequence[str]) -> list[str]:
    lines = [f"| | {' | '.join(BAND_METRICS.values())} |", "|---" * (len(BAND_METRICS) + 1) + "|"]
    for row in rows:
        bounds = [report["intervals"][row][key] for key in BAND_METRICS]
        cells = [f"{low:.3f} .. {high:.3f}" for low, high in bounds]
        lines.append(f"| {title_of(row)} | {' | '.join(cells)} |")
    return lines


def _bands(part: Quality, rows: Sequence[str]) -> list[str]:
    names = [name for name in part.reports[0]["bands"][RAW] if name.startswith("range")]
    heads = [f"{title}, {name}" for title in BAND_METRICS.values() for name in names]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for row in rows:
        cells = [
            _cell([report["bands"][row][name][key] for report in part.reports])
            for key in BAND_METRICS
            for name in names
        ]
        lines.append(f"| {title_of(row)} | {' | '.join(cells)} |")
    return lines


def _draws(draws: Sequence[Mapping[str, Any]]) -> list[str]:
    def mean(pick: str, key: str) -> float:
        return float(np.mean([draw[pick][key] for draw in draws]))

    first, best = (
        f"Chamfer {mean(pick, 'chamfer_sum_m'):.3f} m, F@0.5 m {mean(pick, 'fscore@0.5m'):.3f}"
        for pick in ("first", "best")
    )
    error = float(np.mean([draw["calibration_error"] for draw in draws]))
    lines = [
        f"Of {draws[0]['draws']} draws of the few-step model: the first {first}; the best {best}."
        f" Flags of the mean of the draws, expected calibration error {error:.4f}:",
        "",
        "| said | found | share of flags |",
        "|---|---|---|",
    ]
    flags = np.array([draw["flags"] for draw in draws])
    said, found = (
        np.nansum(flags * np.array([draw[key] for draw in draws]), axis=0)
        for key in ("said", "found")
    )
    for number in flags.sum(0).nonzero()[0]:
        count = flags[:, number].sum()
        shares = (said[number] / count, found[number] / count)
        lines.append(f"| {shares[0]:.3f} | {shares[1]:.3f} | {count / flags.sum():.5f} |")
    return lines


def _levels(noise: NoiseLosses) -> list[str]:
    lines = ["| sigma | flags | without neighbours | latents |", "|---|---|---|---|"]
    for sigma, *losses in zip(*noise, strict=True):
        lines.append(f"| {sigma:g} | {' | '.join(f'{loss:.3f}' for loss in losses)} |")
    return lines
