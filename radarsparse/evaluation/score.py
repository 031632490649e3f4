"""The scores of one frame."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radarsparse.config import LATTICE_STRIDE
from radarsparse.errors import InputError
from radarsparse.evaluation.frames import FrameClouds, FrameSource
from radarsparse.evaluation.workers import Workers
from radarsparse.geometry import Volume, observed_mask
from radarsparse.metrics import Match, match_clouds, score
from radarsparse.metrics.bands import (
    band_names,
    band_scores,
    height_bands,
    observed_scores,
    range_bands,
)
from radarsparse.metrics.cloud import THRESHOLDS_M, VOXEL_SIZES_M
from radarsparse.metrics.nearest.tree import choose_search

# By what points are dealt to bands, and the edges of these, metres.
BANDS = (
    ("range", range_bands, (0.0, 15.0, 30.0, 51.2)),
    ("height", height_bands, (-3.2, -1.0, 1.0, 3.2)),
)

# The curves of distances end here.
DISTANCE_MAX_M = 2.0
DISTANCE_STEPS = 200

Scores = Mapping[str, float]


@dataclass(frozen=True)
class FrameScores:
    """What is kept of one frame.

    Attributes:
        name: of the frame.
        rows: every metric, by row of the table.
        bands: metrics by row and part of the space.
        distances: int64 [2, DISTANCE_STEPS + 1] by row: how many distances, from prediction to
            target and back, lie in each step up to `DISTANCE_MAX_M` and, at last, beyond.
    """

    name: str
    rows: Mapping[str, Scores]
    bands: Mapping[str, Mapping[str, Scores]]
    distances: Mapping[str, NDArray[np.int64]]


def score_frames(frames: FrameSource, workers: Workers) -> list[FrameScores]:
    """Score every frame, the workers side by side.

    Raises:
        InputError: a cloud can't be read or made, or more than 1 % of its points aren't finite.
    """
    choose_search()  # says which one it is, before several threads would
    return workers.map(lambda name: _score_frame(frames.read(name), frames), frames.names, "score")


def match_row(frame: FrameClouds, row: str, diagonal_m: float | None) -> Match:
    """A row's cloud with its neighbours in the target.

    Raises:
        InputError: more than 1 % of a cloud's points aren't finite.
    """
    try:
        return match_clouds(frame.clouds[row], frame.target, diagonal_m)
    except InputError as error:
        raise InputError(f"frame {frame.name}, row {row}: {error}") from error


def _score_frame(frame: FrameClouds, frames: FrameSource) -> FrameScores:
    matches = {row: match_row(frame, row, frames.diagonal_m) for row in frame.clouds}
    bands = {row: _score_bands(match) for row, match in matches.items()}
    if frame.pair:
        points, origin_m = frame.pair.lidar_in_radar_frame, frame.pair.lidar_origin_m
        cells = observed_mask(frames.volume, LATTICE_STRIDE, origin_m, points)
        for row, match in matches.items():
            observed = _in_cells(match.pred, cells, frames.volume)
            bands[row]["observed"] = observed_scores(match, observed, THRESHOLDS_M)
    rows = {row: score(match, THRESHOLDS_M, VOXEL_SIZES_M) for row, match in matches.items()}
    distances = {
        row: np.stack([_histogram(match.there2), _histogram(match.back2)])
        for row, match in matches.items()
    }
    return FrameScores(frame.name, rows, bands, distances)


def _score_bands(match: Match) -> dict[str, Scores]:
    scores = {}
    for quantity, bands_of, edges_m in BANDS:
        ours, theirs = bands_of(match.pred, edges_m), bands_of(match.target, edges_m)
        names = band_names(quantity, edges_m)
        scores |= band_scores(match, ours, theirs, names, THRESHOLDS_M)
    return scores


def _in_cells(points: Tensor, cells: NDArray[np.bool_], volume: Volume) -> Tensor:
    """Which points lie in marked lattice cells; outside the volume, nothing is marked."""
    index = volume.voxel_index(points.numpy()) // LATTICE_STRIDE
    within = np.logical_and(index >= 0, index < cells.shape).all(axis=1)
    marked = np.zeros(len(index), dtype=np.bool_)
    marked[within] = cells[tuple(index[within].T)]
    return torch.from_numpy(marked)


def _histogram(distance2: Tensor) -> NDArray[np.int64]:
    step = distance2.sqrt().numpy() * (DISTANCE_STEPS / DISTANCE_MAX_M)
    within = np.minimum(step, DISTANCE_STEPS).astype(np.int64)
    return np.bincount(within, minlength=DISTANCE_STEPS + 1)
