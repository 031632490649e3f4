"""Benchmark rows as printed lines."""

from collections.abc import Mapping
from typing import Any


def sparse_line(row: Mapping[str, Any]) -> str:
    """Of `time_case`."""
    times = (row[name] for name in ("plan_s", "forward_s", "forward_backward_s"))
    cells = " ".join(f"{_milliseconds(time):>22s}" for time in times)
    peak = row["peak_bytes"]["torch"] / row["feats_in_and_out_bytes"]
    voxels = f"{row['voxels']:7d} voxels, {row['neighbours']:.1f} neighbours"
    return f"{voxels}, {row['channels']:3d} channels {cells} {peak:6.2f}"


def nearest_line(row: Mapping[str, Any]) -> str:
    """Of `time_nearest`."""
    times = ", ".join(f"{name} {1e3 * value:.2f}" for name, value in row["seconds"].items())
    ratios = " ".join(f"{value:.2f}" for value in row["ratio"].values())
    text = f"{row['points']:7d} points, {row['device']}, median ms: {times}"
    text += f"; ours to the others: {ratios}"
    if row["left_out"]:
        text += f"; left out, since it would take too long: {', '.join(row['left_out'])}"
    return text


def number_lines(row: Mapping[str, Any]) -> str:
    """Of `time_vae`: a line for each number."""
    return "\n".join(f"{name:24s} {_cell(value, '12.4g')}" for name, value in row.items())


def row_line(row: Mapping[str, Any]) -> str:
    """Of `time_memory`, `time_enhance` or `time_loading`."""
    return "  ".join(f"{name} {_cell(value, '.4g')}" for name, value in row.items())


def _cell(value: object, form: str) -> str:
    return format(value, form) if isinstance(value, float) else str(value)


def _milliseconds(time_s: Mapping[str, float]) -> str:
    text = " / ".join(f"{1e3 * value:.1f}" for value in time_s.values())
    if "spconv" in time_s:
        text += f" = {time_s['torch'] / time_s['spconv']:.2f}"
    return text
