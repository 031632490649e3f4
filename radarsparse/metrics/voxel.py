"""Clouds as sets of voxels on a fixed grid: overlap, and calibration of occupancy."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from radarsparse.errors import InputError

# Three indices of 20 bits leave room in one integer of 64 for a mark and the sign.
INDEX_BITS = 20
INDEX_MOST = 2 ** (INDEX_BITS - 1) - 1


@dataclass(frozen=True)
class Overlap:
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


_NONE = Overlap(0, 0, 0)


def voxel_keys(
    points: Float[Tensor, "n c"],
    voxel_size_m: float,
    origin_m: Sequence[float] = (0.0, 0.0, 0.0),
) -> Int[Tensor, " k"]:
    """Every voxel that holds a point, once, as a sorted integer.

    Args:
        points: [n, 3 or more] x, y, z in metres.
        voxel_size_m: edge of a voxel.
        origin_m: where the voxel of index 0 begins.

    Raises:
        InputError: the size isn't positive, or a point isn't finite or lies more than
            `INDEX_MOST` voxels away from the origin.
    """
    return torch.unique_consecutive(_sorted(voxels_of_points(points, voxel_size_m, origin_m)))


def voxels_of_points(
    points: Float[Tensor, "n c"],
    voxel_size_m: float,
    origin_m: Sequence[float] = (0.0, 0.0, 0.0),
) -> Int[Tensor, " n"]:
    """The voxel of every point, as in `voxel_keys`.

    Args:
        points: [n, 3 or more] x, y, z in metres.
        voxel_size_m: edge of a voxel.
        origin_m: where the voxel of index 0 begins.

    Raises:
        InputError: as in `voxel_keys`.
    """
    if not 0 < voxel_size_m < math.inf:
        raise InputError(f"voxel_size_m {voxel_size_m}: must be positive and finite")
    # float32 would move points across a boundary
    xyz = points[:, :3].double()
    if any(origin_m):
        xyz = xyz - xyz.new_tensor(origin_m)
    return pack_index((xyz / voxel_size_m).floor())


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


def columns(voxels: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """The bird's-eye cell of every voxel as an integer.

    Args:
        voxels: of `voxel_keys` or `voxels_of_points`.
    """
    return voxels >> INDEX_BITS


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


def count_columns(
    voxels: Int[Tensor, " k"], counts: Int[Tensor, "k 2"]
) -> tuple[Int[Tensor, " l"], Int[Tensor, "l 2"]]:
    """The bird's-eye cells of `count_cells`' voxels, and how many points each holds."""
    cells, row = torch.unique_consecutive(columns(voxels), return_inverse=True)
    return cells, counts.new_zeros(len(cells), 2).index_add_(0, row, counts)


def overlap_of(cell_counts: Int[Tensor, "k 2"]) -> Overlap:
    """The overlap of two clouds whose points `count_cells` counted."""
    return overlaps_of([cell_counts])[0]


def overlaps_of(tables: Sequence[Int[Tensor, "k 2"]]) -> list[Overlap]:
    """`overlap_of` each of many, with one copy from the device."""
    if not tables:
        return []
    filled = [table > 0 for table in tables]
    numbers = [number for f in filled for number in (f.all(dim=1).sum(), f[:, 0].sum())]
    shared_and_ours = torch.stack(numbers).view(-1, 2).tolist()
    return [
        Overlap(shared, len(table), ours)
        for table, (shared, ours) in zip(tables, shared_and_ours, strict=True)
    ]


def voxel_overlap(
    pred: Float[Tensor, "n c"], target: Float[Tensor, "m d"], voxel_size_m: float
) -> Overlap:
    """The voxels that two clouds share, on the grid that starts at the frame's origin.

    Args:
        pred: [n, 3 or more] x, y, z in metres.
        target: [m, 3 or more] the same, in the same frame.
        voxel_size_m: edge of a voxel.

    Raises:
        InputError: as in `voxel_keys`.
    """
    return overlap_of(count_voxels(pred, target, voxel_size_m)[1])


def bev_overlap(
    pred: Float[Tensor, "n c"], target: Float[Tensor, "m d"], cell_size_m: float
) -> Overlap:
    """The bird's-eye cells that two clouds share, on the grid of `voxel_overlap` without height.

    Args:
        pred: [n, 3 or more] x, y, z in metres.
        target: [m, 3 or more] the same, in the same frame.
        cell_size_m: edge of a cell.

    Raises:
        InputError: as in `voxel_keys`.
    """
    return overlaps(pred, target, cell_size_m)[1]


def overlaps(
    pred: Float[Tensor, "n c"], target: Float[Tensor, "m d"], voxel_size_m: float
) -> tuple[Overlap, Overlap]:
    """`voxel_overlap` and `bev_overlap` at once, in less time.

    Args:
        pred: [n, 3 or more] x, y, z in metres.
        target: [m, 3 or more] the same, in the same frame.
        voxel_size_m: edge of a voxel and of a bird's-eye cell.

    Raises:
        InputError: as in `voxel_keys`.
    """
    voxels, cells = overlaps_of(count_both(pred, target, voxel_size_m))
    return voxels, cells


def count_both(
    pred: Float[Tensor, "n c"], target: Float[Tensor, "m d"], voxel_size_m: float
) -> tuple[Int[Tensor, "k 2"], Int[Tensor, "l 2"]]:
    """How many points of two clouds each voxel, and each bird's-eye cell, holds.

    Args:
        pred: [n, 3 or more] x, y, z in metres.
        target: [m, 3 or more] the same, in the same frame.
        voxel_size_m: edge of a voxel and of a bird's-eye cell.

    Raises:
        InputError: as in `voxel_keys`.
    """
    voxels, counts = count_voxels(pred, target, voxel_size_m)
    return counts, count_columns(voxels, counts)[1]


def count_voxels(
    pred: Float[Tensor, "n c"], target: Float[Tensor, "m d"], voxel_size_m: float
) -> tuple[Int[Tensor, " k"], Int[Tensor, "k 2"]]:
    """`count_cells` of the voxels of two clouds.

    Args:
        pred: [n, 3 or more] x, y, z in metres.
        target: [m, 3 or more] the same, in the same frame.
        voxel_size_m: edge of a voxel.

    Raises:
        InputError: as in `voxel_keys`.
    """
    both = torch.cat([pred[:, :3].double(), target[:, :3].double()])
    try:
        voxels = voxels_of_points(both, voxel_size_m)
    except InputError:
        # Names the row of its own cloud.
        for points in (pred, target):
            voxels_of_points(points, voxel_size_m)
        raise
    return count_cells(*voxels.split([len(pred), len(target)]))


def voxel_iou(
    pred: Float[Tensor, "n c"], target: Float[Tensor, "m d"], voxel_size_m: float
) -> float:
    """Intersection over union of `voxel_overlap`; NaN where both clouds are empty.

    Args:
        pred: [n, 3 or more] x, y, z in metres.
        target: [m, 3 or more] the same, in the same frame.
        voxel_size_m: edge of a voxel.

    Raises:
        InputError: as in `voxel_keys`.
    """
    return voxel_overlap(pred, target, voxel_size_m).iou


def bev_iou(pred: Float[Tensor, "n c"], target: Float[Tensor, "m d"], cell_size_m: float) -> float:
    """Intersection over union of `bev_overlap`; NaN where both clouds are empty.

    Args:
        pred: [n, 3 or more] x, y, z in metres.
        target: [m, 3 or more] the same, in the same frame.
        cell_size_m: edge of a cell.

    Raises:
        InputError: as in `voxel_keys`.
    """
    return bev_overlap(pred, target, cell_size_m).iou


def sum_overlaps(frames: Iterable[Overlap]) -> Overlap:
    """The overlap of a whole set of frames; its IoU weighs a frame by its cells."""
    counts = [(frame.intersection, frame.union, frame.ours) for frame in frames]
    return Overlap(*(sum(column) for column in zip(*counts, strict=True))) if counts else _NONE


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
