"""Pictures of the worst frames, and curves of all distances."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from plyfile import PlyData, PlyElement

from radarsparse.errors import InputError
from radarsparse.evaluation.frames import PREDICTION, FrameSource
from radarsparse.evaluation.report import order_rows, title_of
from radarsparse.evaluation.score import DISTANCE_MAX_M, FrameScores, match_rows
from radarsparse.metrics import Match
from radarsparse.viewer.plots import ERROR_COLORS, save_curves, save_errors

Floats = NDArray[np.float64]


def check_new_folder(path: Path) -> None:
    """Make sure that a folder can be made.

    Raises:
        InputError: its parent is missing, or it exists and isn't empty.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path}: no such folder: {path.parent}")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: exists with other contents; choose another folder")


def save_pictures(
    path: Path, frames: FrameSource, worst: Sequence[str], scores: Sequence[FrameScores]
) -> None:
    """Make a folder of pictures, which appears when all are done.

    `distances.png` holds the cumulative share of distances of all frames, by row. Each frame has
    `NAME.png`, prediction and target from above in the colours of their distances to each other,
    and `NAME.ply`, the prediction with its distances and these colours.

    Args:
        path: the folder, missing or empty.
        frames: where the clouds come from.
        worst: names of the frames to draw.
        scores: of all frames.

    Raises:
        InputError: the folder can't be made, or a frame can't be read.
    """
    check_new_folder(path)
    partial = path.with_name(f"{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        save_curves(partial / "distances.png", _curves(scores), DISTANCE_MAX_M)
        for name in worst:
            match = match_rows(frames.read(name), frames.diagonal_m)[PREDICTION]
            _save_frame(partial, name, match)
        partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _curves(scores: Sequence[FrameScores]) -> dict[str, tuple[Floats, Floats]]:
    curves = {}
    for row in order_rows(scores[0].rows):
        there, back = np.sum([frame.distances[row] for frame in scores], axis=0)
        curves[title_of(row)] = _shares(there), _shares(back)
    return curves


def _shares(counts: NDArray[np.int64]) -> Floats:
    """Share of distances below the end of each step, from 0 on; none of no distances."""
    return np.concatenate([[0], counts[:-1].cumsum()]) / max(counts.sum(), 1)


def _save_frame(folder: Path, name: str, match: Match) -> None:
    pred, target = match.pred.numpy(), match.target.numpy()
    there_m, back_m = (
        distance2.sqrt().clamp(max=match.diagonal_m).numpy()
        for distance2 in (match.there2, match.back2)
    )
    chamfer_m = there_m.mean() if len(there_m) else match.diagonal_m
    chamfer_m += back_m.mean() if len(back_m) else match.diagonal_m
    title = f"{name}: Chamfer sum {chamfer_m:.2f} m"
    save_errors(folder / f"{name}.png", pred, target, (there_m, back_m), title)
    _write_ply(folder / f"{name}.ply", pred, there_m)


def _write_ply(path: Path, points: Floats, distance_m: Floats) -> None:
    """Points with `distance_m` and colours, as programs that show clouds read them."""
    columns = ("x", "y", "z", "distance_m")
    colors = ("red", "green", "blue")
    kinds = [*((name, "<f4") for name in columns), *((name, "u1") for name in colors)]
    rows = np.empty(len(points), dtype=kinds)
    rgb = ERROR_COLORS.to_rgba(distance_m, bytes=True)[:, :3]
    for name, column in zip(columns, [*points[:, :3].T, distance_m], strict=True):
        rows[name] = column
    for name, column in zip(colors, rgb.T, strict=True):
        rows[name] = column
    PlyData([PlyElement.describe(rows, "vertex")], byte_order="<").write(str(path))
