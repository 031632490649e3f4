"""`docs/results.md` from the reports of several training seeds."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from radarsparse.evaluation.frames import RAW
from radarsparse.evaluation.noise_levels import NoiseLosses
from radarsparse.evaluation.report import title_of
from radarsparse.files import count_of

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
    paragraphs = ["# Results", "\n".join(about)]
    for part in parts:
        paragraphs += [f"## {part.title}", *_describe(part)]
    return "\n\n".join([*paragraphs, KEPT]) + (older.partition(KEPT)[2] or "\n")


def _describe(part: Quality) -> list[str]:
    reports, rows, levels = part.reports, [RAW, *part.seconds], zip(*part.noise, strict=True)
    ranges = [name for name in reports[0]["bands"][RAW] if name.startswith("range")]
    bands = list(product(BAND_METRICS, ranges))

    def means(row: str) -> list[str]:
        time = f"{1e3 * part.seconds[row]:.0f}" if row in part.seconds else "-"
        return [*(_cell([report[row][key] for report in reports]) for key in METRICS), time]

    def intervals(row: str) -> list[str]:
        bounds = [reports[0]["intervals"][row][key] for key in BAND_METRICS]
        return [f"{low:.3f} .. {high:.3f}" for low, high in bounds]

    def by_range(row: str) -> list[str]:
        found = [report["bands"][row] for report in reports]
        return [_cell([each[name][key] for each in found]) for key, name in bands]

    return [
        f"{count_of(reports[0]['frames'], 'frame')}, {count_of(len(reports), 'training seed')}:"
        " mean, +- half the spread between seeds. Peak memory of the process"
        f" {part.peak_gib:.2f} GiB.",
        _by_row([*METRICS.values(), "ms per frame"], rows, means),
        "95 % intervals of the bootstrap over frames, first seed:",
        _by_row(BAND_METRICS.values(), rows, intervals),
        "By range, all seeds:",
        _by_row([f"{BAND_METRICS[key]}, {name}" for key, name in bands], rows, by_range),
        *_draws(part.draws),
        "Losses by noise level, first seed: of flags, in bits per flag that is up; of flags where"
        " the regression and each noisy flag itself are all that is known; of latents:",
        _markdown(
            ["sigma", "flags", "without neighbours", "latents"],
            [[f"{sigma:g}", *(f"{loss:.3f}" for loss in losses)] for sigma, *losses in levels],
        ),
        "\n".join(f"![{path}]({path})" for path in part.pictures),
    ]


def _by_row(heads: Iterable[str], rows: Sequence[str], cells: Callable[[str], list[str]]) -> str:
    return _markdown(["", *heads], [[title_of(row), *cells(row)] for row in rows])


def _markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(values: Sequence[float]) -> str:
    mean, half = float(np.mean(values)), 0.5 * float(np.ptp(values))
    if math.isnan(mean):
        return "-"
    return f"{mean:.3f}" + (f" +- {half:.3f}" if half >= 0.0005 else "")


def _draws(draws: Sequence[Mapping[str, Any]]) -> list[str]:
    def mean(pick: str, key: str) -> float:
        return float(np.mean([draw[pick][key] for draw in draws]))

    first, best = (
        f"Chamfer {mean(pick, 'chamfer_sum_m'):.3f} m, F@0.5 m {mean(pick, 'fscore@0.5m'):.3f}"
        for pick in ("first", "best")
    )
    error, ratio, count_ratio = (
        float(np.mean([draw[key] for draw in draws]))
        for key in ("calibration_error", "variance_ratio", "count_variance_ratio")
    )
    flags = np.array([draw["flags"] for draw in draws])
    counts = flags.sum(axis=0)
    said, found = (
        np.nansum(flags * np.array([draw[key] for draw in draws]), axis=0)
        for key in ("said", "found")
    )
    lines = [
        [f"{each:.3f}" for each in (said[n] / counts[n], found[n] / counts[n])]
        + [f"{counts[n] / counts.sum():.5f}"]
        for n in counts.nonzero()[0]
    ]
    return [
        f"Of {draws[0]['draws']} draws: the first {first}; the best {best}; variance between them"
        f" over p (1 - p) {ratio:.2f}, that of counts in squares of 6.4 m over their squared error"
        f" {count_ratio:.3f}. Flags, expected calibration error {error:.4f}:",
        _markdown(["said", "found", "share of flags"], lines),
    ]
