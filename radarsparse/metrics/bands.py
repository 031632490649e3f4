"""Metrics of parts of a cloud: by range, by height, inside what the LiDAR observed."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from radarsparse.errors import InputError
from radarsparse.metrics.match import Match
from radarsparse.metrics.point import QUANTILES, OneWay, one_way, point_scores
from radarsparse.metrics.statistics import summarize_distances
from radarsparse.metrics.voxel import Cloud

# The number of no band.
OUTSIDE = -1


def range_bands(points: Cloud, edges_m: Sequence[float]) -> Int[Tensor, " n"]:
    """Band of every point by its distance from the frame's origin.

    Args:
        points: [n, 3 or more] x, y, z in metres.
        edges_m: ascending; band i reaches from edge i, included, to edge i + 1, excluded.

    Returns:
        The number of each point's band, `OUTSIDE` before the first edge and from the last one on.

    Raises:
        InputError: fewer than two edges, or edges that don't ascend.
    """
    return _bands(points[:, :3].double().norm(dim=1), edges_m)


def height_bands(points: Cloud, edges_m: Sequence[float]) -> Int[Tensor, " n"]:
    """Band of every point by its z, as in `range_bands`."""
    return _bands(points[:, 2].double().contiguous(), edges_m)


def band_names(quantity: str, edges_m: Sequence[float]) -> list[str]:
    """Names such as `range 0-15 m` or, with edges below 0, `height -2 to 0 m`."""
    dash = "-" if min(edges_m) >= 0 else " to "
    return [f"{quantity} {low:g}{dash}{high:g} m" for low, high in pairwise(edges_m)]


def band_scores(
    match: Match,
    pred_band: Int[Tensor, " n"],
    target_band: Int[Tensor, " m"],
    names: Sequence[str],
    thresholds_m: Sequence[float],
) -> dict[str, dict[str, float]]:
    """The point metrics of each band.

    A band chooses the points that are asked; their neighbours may lie in any band, so that a
    cloud doesn't lose by where the edges are.

    Args:
        match: two clouds and their neighbours.
        pred_band: [n] number of each predicted point's band, 0 to len(names) - 1, or `OUTSIDE`.
        target_band: [m] the same of the target.
        names: one per band.
        thresholds_m: of precision, recall and F-score; nearer counts, equal doesn't.

    Returns:
        For each name what `point_scores` gives, and `pred_points` and `target_points`. A band that
        is empty in one cloud has rates 0 and distances `match.diagonal_m`, one that is empty in
        both has NaN.

    Raises:
        InputError: bands of another shape or number.
    """
    there = _one_way(match, match.there2, pred_band, len(names), thresholds_m)
    back = _one_way(match, match.back2, target_band, len(names), thresholds_m)
    return {
        name: {
            **point_scores(ours, theirs, thresholds_m),
            "pred_points": float(ours.count),
            "target_points": float(theirs.count),
        }
        for name, ours, theirs in zip(names, there, back, strict=True)
    }


def observed_scores(
    match: Match, observed: Bool[Tensor, " n"], thresholds_m: Sequence[float]
) -> dict[str, float]:
    """The point metrics without the predicted points where the LiDAR never looked.

    Unknown is not free: such a point is neither right nor wrong. It still serves as a neighbour
    of the target, whose points are all asked.

    Args:
        match: two clouds and their neighbours.
        observed: [n] whether each predicted point lies in a cell that a LiDAR ray crossed or hit.
        thresholds_m: as in `band_scores`.

    Returns:
        What `band_scores` gives for one band.

    Raises:
        InputError: `observed` has another shape.
    """
    asked = torch.where(observed, 0, OUTSIDE)
    every = torch.zeros_like(match.back_index)
    return band_scores(match, asked, every, ("observed",), thresholds_m)["observed"]


def _bands(values: Tensor, edges_m: Sequence[float]) -> Tensor:
    edges = values.new_tensor(edges_m)
    if len(edges) < 2 or not (edges.diff() > 0).all():
        raise InputError(f"edges_m {list(edges_m)}: at least two expected, ascending")
    band = torch.bucketize(values, edges, right=True) - 1
    return torch.where(band < len(edges) - 1, band, OUTSIDE)


def _one_way(
    match: Match, distance2: Tensor, band: Tensor, bands: int, thresholds_m: Sequence[float]
) -> list[OneWay]:
    """One entry per band, whose points are laid together like frames of a batch."""
    if band.shape != distance2.shape:
        raise InputError(f"bands of shape {tuple(band.shape)} found, ({len(distance2)},) expected")
    if len(band) and not OUTSIDE <= int(band.min()) <= int(band.max()) < bands:
        raise InputError(
            f"bands {int(band.min())} to {int(band.max())} found, {OUTSIDE} to {bands - 1} expected"
        )
    counts = torch.bincount(band - OUTSIDE, minlength=bands + 1)
    first = counts[0]
    order = band.argsort(stable=True)[first:]
    offsets = counts.cumsum(0) - first
    statistics = summarize_distances(distance2[order], offsets, thresholds_m, QUANTILES)
    return one_way(statistics, match.diagonal_m)
