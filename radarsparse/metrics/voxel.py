"""Clouds as sets of voxels on a fixed grid: overlap, and calibration of occupancy."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from radarsparse.errors import InputError

# Three indices of 20 bits leave room in one integer of 64 for a mark and the sign.
INDEX_BITS = 20
INDEX_MOST = 2 ** (INDEX_BITS - 1) - 1

Cloud = Float[Tensor, "_ _"]
"""[n, 3 or more] x, y, z in metres; two clouds are in one frame and on one device."""


class Overlap(NamedTuple):
    """How many cells two sets share, and how many they have together.

    Attributes:
        intersection: cells in both.
        union: cells in either.
        ours: cells in the first.
    """

    intersection: int
    union: int
    ours: int

    @property
    def iou(self) -> float:
        """Intersection over union; NaN where both sets are empty."""
        return self.intersection / self.union if self.union else math.nan

    @property
    def ratio(self) -> float:
        """Cells of the first set per cell of the second; NaN where the second is empty."""
        theirs = self.union + self.intersection - self.ours
        return self.ours / theirs if theirs else math.nan


@dataclass(frozen=True)
class Calibration:
    """How far probabilities of occupancy can be taken at their word.

    Attributes:
        brier: mean squared difference of probability and outcome, 0 at best; NaN of no cells.
        expected_error: mean over cells of the gap of their bin between mean probability and share
            occupied (expected calibration error), 0 at best; NaN of no cells.
        mean_probability: float64 [bins], NaN in a bin without cells.
        share_occupied: float64 [bins], NaN in a bin without cells.
        count: int64 [bins] number of cells.
    """

    brier: float
    expected_error: float
    mean_probability: Float[Tensor, " bins"]
    share_occupied: Float[Tensor, " bins"]
    count: Int[Tensor, " bins"]


def voxel_keys(points: Cloud, voxel_size_m: float) -> Int[Tensor, " k"]:
    """Every voxel that holds a point, once, as a sorted integer.

    The voxel of index 0 begins at the frame's origin.

    Raises:
        InputError: the size isn't positive, or a point isn't finite or lies more than
            `INDEX_MOST` voxels away from the origin.
    """
    return torch.unique_consecutive(_sorted(voxels_of_points(points, voxel_size_m)))


def voxels_of_points(points: Cloud, voxel_size_m: float) -> Int[Tensor, " n"]:
    """The voxel of every point, with the numbers and the errors of `voxel_keys`."""
    if not 0 < voxel_size_m < math.inf:
        raise InputError(f"voxel_size_m {voxel_size_m}: must be positive and finite")
    # float32 would move points across a boundary
    return pack_index((points[:, :3].double() / voxel_size_m).floor())


def pack_index(index: Float[Tensor, "n 3"]) -> Int[Tensor, " n"]:
    """Voxel indices as integers that sort by x, then y, then z.

    Args:
        index: [n, 3] whole numbers.

    Raises:
        InputError: an index isn't finite or beyond `INDEX_MOST`.
    """
    within = index.abs() <= INDEX_MOST
    if not within.all():
        row = int((~within).any(dim=1).nonzero()[0])
        raise InputError(
            f"points: row {row} is in voxel {index[row].tolist()}, at most {INDEX_MOST} voxels"
            " from the origin expected"
        )
    x, y, z = (index.long() + INDEX_MOST).unbind(1)
    return (x << 2 * INDEX_BITS) | (y << INDEX_BITS) | z


def count_cells(
    ours: Int[Tensor, " n"], theirs: Int[Tensor, " m"]
) -> tuple[Int[Tensor, " k"], Int[Tensor, "k 2"]]:
    """Every cell that holds a point of either cloud, sorted, and how many of each it holds.

    Args:
        ours: [n] cell of every point of one cloud, as an integer of at most 62 bits.
        theirs: [m] the same of the other.
    """
    # One sort serves both: the last bit says whose a point is.
    tagged = _sorted(torch.cat([ours << 1, (theirs << 1) | 1]))
    cells, row = torch.unique_consecutive(tagged >> 1, return_inverse=True)
    table = tagged.new_zeros(2 * len(cells))
    table.index_add_(0, (row << 1) | (tagged & 1), torch.ones_like(tagged))
    return cells, table.view(-1, 2)


def count_columns(voxels: Int[Tensor, " k"], counts: Int[Tensor, "k 2"]) -> Int[Tensor, "l 2"]:
    """How many points each bird's-eye cell of `count_cells`' voxels holds."""
    cells, row = torch.unique_consecutive(voxels >> INDEX_BITS, return_inverse=True)
    return counts.new_zeros(len(cells), 2).index_add_(0, row, counts)


def overlaps_of(tables: Sequence[Int[Tensor, "k 2"]]) -> list[Overlap]:
    """The overlap in each of many tables of `count_cells`, with one copy from the device."""
    if not tables:
        return []
    filled = [table > 0 for table in tables]
    numbers = [number for f in filled for number in (f.all(dim=1).sum(), f[:, 0].sum())]
    shared_and_ours = torch.stack(numbers).view(-1, 2).tolist()
    return [
        Overlap(shared, len(table), ours)
        for table, (shared, ours) in zip(tables, shared_and_ours, strict=True)
    ]


def overlaps(pred: Cloud, target: Cloud, voxel_size_m: float) -> tuple[Overlap, Overlap]:
    """The voxels, and the bird's-eye cells of the same size, that two clouds share.

    Raises:
        InputError: as in `voxel_keys`.
    """
    voxels, cells = overlaps_of(count_both(pred, target, voxel_size_m))
    return voxels, cells


def voxel_overlap(pred: Cloud, target: Cloud, voxel_size_m: float) -> Overlap:
    """The voxels alone of `overlaps`."""
    return overlaps(pred, target, voxel_size_m)[0]


def bev_overlap(pred: Cloud, target: Cloud, cell_size_m: float) -> Overlap:
    """The bird's-eye cells alone of `overlaps`."""
    return overlaps(pred, target, cell_size_m)[1]


def voxel_iou(pred: Cloud, target: Cloud, voxel_size_m: float) -> float:
    """Intersection over union of `voxel_overlap`; NaN where both clouds are empty."""
    return voxel_overlap(pred, target, voxel_size_m).iou


def bev_iou(pred: Cloud, target: Cloud, cell_size_m: float) -> float:
    """Intersection over union of `bev_overlap`; NaN where both clouds are empty."""
    return bev_overlap(pred, target, cell_size_m).iou


def count_both(
    pred: Cloud, target: Cloud, voxel_size_m: float
) -> tuple[Int[Tensor, "k 2"], Int[Tensor, "l 2"]]:
    """How many points of two clouds each voxel, and each bird's-eye cell, holds.

    Raises:
        InputError: as in `voxel_keys`.
    """
    both = torch.cat([pred[:, :3].double(), target[:, :3].double()])
    try:
        voxels_of_both = voxels_of_points(both, voxel_size_m)
    except InputError:
        # Names the row of its own cloud.
        for points in (pred, target):
            voxels_of_points(points, voxel_size_m)
        raise
    voxels, counts = count_cells(*voxels_of_both.split([len(pred), len(target)]))
    return counts, count_columns(voxels, counts)


def sum_overlaps(frames: Iterable[Overlap]) -> Overlap:
    """The overlap of a whole set of frames; its IoU weighs a frame by its cells."""
    return Overlap(*map(sum, zip(Overlap(0, 0, 0), *frames, strict=True)))


def occupancy_calibration(
    probability: Float[Tensor, " n"], occupied: Bool[Tensor, " n"], bins: int = 10
) -> Calibration:
    """Compare probabilities of occupancy with what was there.

    Args:
        probability: [n] of each cell, 0 to 1; cells that were never observed don't belong here.
        occupied: [n] whether the cell holds LiDAR returns.
        bins: of equal width; each holds its lower edge, the last one also 1.

    Raises:
        InputError: shapes differ, a probability isn't in 0 to 1, or there is no bin.

    Source:
        Brier, "Verification of forecasts expressed in terms of probability", 1950; Naeini et al.,
        "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015.
    """
    _check_occupancy(probability, occupied, bins)
    chance, outcome = probability.double(), occupied.double()
    edges = torch.arange(1, bins, dtype=torch.float64, device=chance.device) / bins
    bin_of = torch.bucketize(chance, edges, right=True)
    members = [bin_of == number for number in range(bins)]
    mean_probability = torch.stack([chance[member].mean() for member in members])
    share_occupied = torch.stack([outcome[member].mean() for member in members])
    count = torch.stack([member.sum() for member in members])
    gaps = count * (mean_probability - share_occupied).abs()
    return Calibration(
        brier=(chance - outcome).square().mean().item(),
        expected_error=(gaps.nansum() / count.sum()).item(),
        mean_probability=mean_probability,
        share_occupied=share_occupied,
        count=count,
    )


def _check_occupancy(probability: Tensor, occupied: Tensor, bins: int) -> None:
    if probability.ndim != 1 or probability.shape != occupied.shape:
        raise InputError(
            f"occupied: shape {tuple(occupied.shape)} found, (n,) expected like probability's"
            f" {tuple(probability.shape)}"
        )
    if bins < 1:
        raise InputError(f"bins {bins}: at least 1 expected")
    outside = ~((probability >= 0) & (probability <= 1))
    if outside.any():
        row = int(outside.nonzero()[0])
        raise InputError(f"probability: row {row} is {probability[row].item()}, 0 to 1 expected")


def _sorted(keys: Tensor) -> Tensor:
    if keys.is_cuda:
        return keys.sort().values
    # NumPy sorts integers with vector instructions, several times faster than torch
    return torch.from_numpy(np.sort(keys.numpy()))
