"""Means over frames, how sure they are, tables to print and files to keep."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.files import replacing, to_json
from radarsparse.metrics.cloud import COUNTS

COLUMNS = {
    "chamfer_sum_m": "Chamfer sum [m]",
    "hausdorff95_m": "Hausdorff95 [m]",
    "fscore@0.2m": "F@0.2 m",
    "fscore@0.5m": "F@0.5 m",
    "fscore@1.0m": "F@1 m",
    "iou@0.2m": "IoU@0.2 m",
    "feature_mae": "intensity MAE",
    "density_ratio": "points ratio",
}

RESAMPLES = 1000
INTERVAL_PERCENTILES = (2.5, 97.5)
# Resamples drawn at once, so that memory doesn't grow with their number.
RESAMPLES_BLOCK = 100

PerFrame = Sequence[Mapping[str, float]]
"""What `evaluate` returned for each frame, at least one."""


def summarize(per_frame: PerFrame) -> dict[str, float]:
    """Mean of every metric over the frames in which it is a number; counts are summed.

    Returns:
        One value per key; NaN where no frame has a number.

    Raises:
        InputError: there are no frames.
    """
    means = {}
    for key, values in _columns(per_frame).items():
        numbers = [value for value in values if not math.isnan(value)]
        total = math.fsum(numbers)
        means[key] = total if key in COUNTS else total / (len(numbers) or math.nan)
    return means


def count_left_out(per_frame: PerFrame) -> dict[str, int]:
    """How many frames have no number and so no part in `summarize`'s mean, by key.

    Raises:
        InputError: there are no frames.
    """
    columns = _columns(per_frame)
    return {key: sum(map(math.isnan, values)) for key, values in columns.items()}


def bootstrap_intervals(
    per_frame: PerFrame, resamples: int = RESAMPLES
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of the means, from frames drawn anew with replacement.

    The same frames give the same intervals. A draw without a number of some key has no part in
    that key's interval. Counts have none.

    Args:
        per_frame: the frames from which is drawn.
        resamples: how many times as many frames are drawn as there are.

    Returns:
        Lower and upper bound by key, NaN where no frame has a number.

    Raises:
        InputError: there are no frames, or `resamples` isn't positive.

    Source:
        Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7(1), 1979.
    """
    if resamples < 1:
        raise InputError(f"{resamples} resamples: must be 1 or more")
    columns = {key: row for key, row in _columns(per_frame).items() if key not in COUNTS}
    values = np.array(list(columns.values())).reshape(len(columns), len(per_frame)).T
    means = _resampled_means(values, resamples)
    intervals = {}
    for key, draws in zip(columns, means.T, strict=True):
        numbers = draws[~np.isnan(draws)]
        bounds = np.percentile(numbers, INTERVAL_PERCENTILES) if len(numbers) else [math.nan] * 2
        intervals[key] = float(bounds[0]), float(bounds[1])
    return intervals


def _columns(per_frame: PerFrame) -> dict[str, list[float]]:
    if not per_frame:
        raise InputError("0 frames to summarize, at least 1 expected")
    keys = dict.fromkeys(key for frame in per_frame for key in frame)
    return {key: [frame.get(key, math.nan) for frame in per_frame] for key in keys}


def _resampled_means(values: NDArray[np.float64], resamples: int) -> NDArray[np.float64]:
    """Means [resamples, k] of the numbers among values [n, k], rows drawn with replacement."""
    random = np.random.default_rng(0)
    frames, there = len(values), ~np.isnan(values)
    numbers = np.where(there, values, 0.0)
    means = []
    for first in range(0, resamples, RESAMPLES_BLOCK):
        draws = min(RESAMPLES_BLOCK, resamples - first)
        # How often each frame is drawn: a product then sums the drawn rows.
        times = random.multinomial(frames, np.full(frames, 1 / frames), draws).astype(np.float64)
        with np.errstate(invalid="ignore"):
            means.append((times @ numbers) / (times @ there))
    return np.concatenate(means)


def format_table(
    rows: Mapping[str, Mapping[str, float]], columns: Mapping[str, str] = COLUMNS
) -> str:
    """Lay out summaries as a plain-text table, one line per name.

    Args:
        rows: `summarize`'s answer for each name, such as `raw radar`; metrics that are missing
            or NaN show as `-`.
        columns: heading of each metric that is shown.
    """
    width = max(map(len, rows), default=0)
    lines = [[" " * width, *columns.values()]]
    for name, row in rows.items():
        values = [row.get(key, math.nan) for key in columns]
        cells = ["-" if math.isnan(value) else f"{value:.3f}" for value in values]
        lines.append([f"{name:<{width}}", *map(str.rjust, cells, map(len, columns.values()))])
    return "\n".join(map("  ".join, lines))


def write_json(path: Path, content: Any) -> None:
    """Write nested mappings, sequences and numbers as strict JSON, NaN and infinity as null.

    The file appears whole or not at all.

    Raises:
        InputError: the file can't be written.
    """
    with replacing(path) as part:
        part.write_text(to_json(content, indent=2) + "\n")


def write_csv(path: Path, lines: Sequence[Mapping[str, float | str]]) -> None:
    """Write lines of a table as CSV under one header, NaN as an empty cell.

    The file appears whole or not at all. Names that are no text are escaped.

    Args:
        path: where to.
        lines: by column; a column that a line lacks stays empty.

    Raises:
        InputError: the file can't be written.
    """
    header = dict.fromkeys(key for line in lines for key in line)
    options: Any = {"newline": "", "encoding": "utf-8", "errors": "backslashreplace"}
    with replacing(path) as part, part.open("w", **options) as stream:
        writer = csv.DictWriter(stream, list(header), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _filled(value) for key, value in line.items()} for line in lines)


def _filled(value: float | str) -> float | str:
    return "" if isinstance(value, float) and math.isnan(value) else value
