"""Pictures of the worst frames, and curves of all distances."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.evaluation.frames import PREDICTION, FrameSource
from radarsparse.evaluation.report import order_rows, title_of
from radarsparse.evaluation.score import DISTANCE_MAX_M, FrameScores, match_row
from radarsparse.files import replacing
from radarsparse.formats.ply import encode_ply
from radarsparse.metrics import Match
from radarsparse.viewer.plots import ERROR_COLORS, save_curves, save_errors

Floats = NDArray[np.float64]


def save_pictures(
    folder: Path, frames: FrameSource, worst: Sequence[str], scores: Sequence[FrameScores]
) -> None:
    """Fill a folder with pictures, instead of those that it holds; none are left after an error.

    `distances.png` holds the cumulative share of distances of all frames, by row. Each frame has
    `NAME.png`, prediction and target from above in the colours of their distances to each other,
    and `NAME.ply`, the prediction with its distances and these colours.

    Args:
        folder: that exists.
        frames: where the clouds come from.
        worst: names of the frames to draw.
        scores: of all frames.

    Raises:
        InputError: a picture can't be written, or a frame can't be read.
    """
    _clear(folder)  # of a call that was killed
    try:
        save_curves(folder / "distances.png", _curves(scores), DISTANCE_MAX_M)
        for name in worst:
            match = match_row(frames.read(name), PREDICTION, frames.diagonal_m)
            _save_frame(folder, name, match)
    except BaseException:
        _clear(folder)
        raise


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.suffix in (".png", ".ply"):
            path.unlink()


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
    columns = dict(zip(("x", "y", "z", "distance_m"), (*pred.T[:3], there_m), strict=True))
    columns = {key: values.astype("<f4") for key, values in columns.items()}
    rgb = ERROR_COLORS.to_rgba(there_m, bytes=True)[:, :3]
    columns |= zip(("red", "green", "blue"), rgb.T, strict=True)
    with replacing(folder / f"{name}.ply") as part:
        part.write_bytes(encode_ply(columns))
