"""Benchmark rows as printed lines."""

from collections.abc import Iterator, Mapping
from typing import Any


def sparse_line(row: Mapping[str, Any], channels: int) -> str:
    """Of `time_case`."""
    times = (row[name] for name in ("plan_s", "forward_s", "forward_backward_s"))
    cells = " ".join(f"{_milliseconds(time):>22s}" for time in times)
    peak = row["peak_bytes"]["torch"] / row["feats_in_and_out_bytes"]
    voxels = f"{row['voxels']:7d} voxels, {row['neighbours']:.1f} neighbours"
    return f"{voxels}, {channels:3d} channels {cells} {peak:6.2f}"


def nearest_line(row: Mapping[str, Any], points: int) -> str:
    """Of `time_nearest`."""
    times = ", ".join(f"{name} {1e3 * value:.2f}" for name, value in row["seconds"].items())
    ratios = " ".join(f"{value:.2f}" for value in row["ratio"].values())
    text = f"{points:7d} points, {row['device']}, median ms: {times}; ours to the others: {ratios}"
    if row["left_out"]:
        text += f"; left out, since it would take too long: {', '.join(row['left_out'])}"
    return text


def number_lines(numbers: Mapping[str, Any]) -> Iterator[str]:
    """One for each number, as of `time_vae`."""
    for name, value in numbers.items():
        cell = f"{value:12.4g}" if isinstance(value, float) else value
        yield f"{name:24s} {cell}"


def row_line(row: Mapping[str, Any]) -> str:
    """Of `time_memory` or `time_enhance`."""
    cells = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values())
    return "  ".join(f"{name} {cell}" for name, cell in zip(row, cells, strict=True))


def _milliseconds(time_s: Mapping[str, float]) -> str:
    text = " / ".join(f"{1e3 * value:.1f}" for value in time_s.values())
    if "spconv" in time_s:
        text += f" = {time_s['torch'] / time_s['spconv']:.2f}"
    return text
