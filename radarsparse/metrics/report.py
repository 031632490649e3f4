"""Means over frames, tables to print and files to keep."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from radarsparse.errors import InputError
from radarsparse.files import replacing

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
ABSENT = "-"


def summarize(per_frame: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of every metric over the frames in which it is a number.

    Args:
        per_frame: what `evaluate` returned for each frame.

    Returns:
        One value per key; NaN where no frame has a number.

    Raises:
        InputError: there are no frames.
    """
    if not per_frame:
        raise InputError("0 frames to summarize, at least 1 expected")
    keys = dict.fromkeys(key for frame in per_frame for key in frame)
    return {key: _mean([frame.get(key, math.nan) for frame in per_frame]) for key in keys}


def _mean(values: Sequence[float]) -> float:
    numbers = [value for value in values if not math.isnan(value)]
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


def format_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Lay out summaries as a plain-text table, one line per name.

    Args:
        rows: `summarize`'s answer for each name, such as `raw radar`; metrics that are missing
            or NaN show as `-`.
    """
    name_width = max(map(len, rows), default=0)
    header = "  ".join([" " * name_width, *COLUMNS.values()])
    return "\n".join([header, *(_line(f"{name:<{name_width}}", rows[name]) for name in rows)])


def _line(name: str, row: Mapping[str, float]) -> str:
    cells = [f"{_cell(row.get(key, math.nan)):>{len(title)}}" for key, title in COLUMNS.items()]
    return "  ".join([name, *cells])


def _cell(value: float) -> str:
    return ABSENT if math.isnan(value) else f"{value:.3f}"


def write_json(path: Path, content: Any) -> None:
    """Write nested mappings, sequences and numbers as strict JSON, NaN and infinity as null.

    The file appears whole or not at all.

    Raises:
        InputError: the folder of `path` doesn't exist.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path}: no such folder: {path.parent}")
    text = json.dumps(_without_nan(content), indent=2, allow_nan=False)
    with replacing(path) as part:
        part.write_text(text + "\n")


def _without_nan(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
