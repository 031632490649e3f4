"""Two clouds of one frame, and every point's nearest neighbour in the other."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radarsparse.errors import InputError
from radarsparse.metrics.nearest.operator import COORDINATE_MOST_M, nearest_both

# A cloud with more points that aren't finite is broken, not noisy.
NONFINITE_SHARE_MAX = 0.01

Points = Tensor | NDArray[np.floating]


@dataclass(frozen=True)
class Match:
    """Two clouds of one frame, and every point's nearest neighbour in the other.

    Attributes:
        pred: float64 [n, 3 or 4] x, y, z in metres and, if there, intensity; finite.
        target: float64 [m, 3 or 4], the same.
        there2: float64 [n] squared distance of each predicted point to the target, in square
            metres, infinite where the target is empty.
        there_index: int64 [n] row of the target, -1 where it is empty.
        back2: float64 [m] squared distance of each point of the target to the prediction.
        back_index: int64 [m] row of the prediction.
        diagonal_m: the distance that stands for having no neighbour.
        pred_nonfinite: how many points were left out of the prediction.
        target_nonfinite: how many were left out of the target.
    """

    pred: Tensor
    target: Tensor
    there2: Tensor
    there_index: Tensor
    back2: Tensor
    back_index: Tensor
    diagonal_m: float
    pred_nonfinite: int
    target_nonfinite: int


def match_clouds(pred: Points, target: Points, diagonal_m: float | None = None) -> Match:
    """Find every point's nearest neighbour in the other cloud.

    Rows with a value that isn't finite are left out and counted. Arguments and errors are those
    of `radarsparse.metrics.evaluate`.
    """
    truth, target_nonfinite = _finite_rows("target", target)
    guess, pred_nonfinite = _finite_rows("pred", pred)
    if diagonal_m is None:
        corners = torch.cat([guess[:, :3], truth[:, :3], truth.new_zeros(1, 3)])
        diagonal_m = float((corners.amax(dim=0) - corners.amin(dim=0)).norm())
    else:
        diagonal_m = positive_m("diagonal_m", diagonal_m)
    found = nearest_both(guess[:, :3], truth[:, :3])
    return Match(guess, truth, *found, diagonal_m, pred_nonfinite, target_nonfinite)


def positive_m(name: str, value: object) -> float:
    """A length in metres.

    Raises:
        InputError: it is no number, not positive, or its square is not finite.
    """
    try:
        length_m = float(value)  # pyright: ignore[reportArgumentType] (the question)
    except (TypeError, ValueError):
        length_m = math.nan
    if not 0 < length_m <= COORDINATE_MOST_M:
        most = f"at most {COORDINATE_MOST_M:g} m"
        raise InputError(f"{name} {value!r:.40} m: must be positive and finite, {most}")
    return length_m


def _finite_rows(name: str, points: Points) -> tuple[Tensor, int]:
    """The rows without a value that isn't finite, and how many had one."""
    if not isinstance(points, Tensor | np.ndarray):
        raise InputError(f"{name}: {type(points).__name__} found, a tensor or an array expected")
    if points.ndim != 2 or points.shape[1] not in (3, 4):
        raise InputError(f"{name}: shape {tuple(points.shape)} found, (n, 3 or 4) expected")
    rows = _float64(points)
    finite = rows.isfinite().all(dim=1)
    bad = len(rows) - int(finite.sum())
    if bad == 0:
        return rows, 0
    if bad > NONFINITE_SHARE_MAX * len(rows):
        raise InputError(
            f"{name}: {bad} of {len(rows)} points are not finite, at most"
            f" {NONFINITE_SHARE_MAX:.0%} may be"
        )
    return rows[finite], bad


def _float64(points: Points) -> Tensor:
    if isinstance(points, Tensor):
        return points.detach().to(torch.float64)
    # torch takes neither read-only nor reversed arrays, so it gets a copy
    return torch.from_numpy(np.array(points, dtype=np.float64, order="C"))
