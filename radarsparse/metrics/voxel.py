"""Clouds as sets of voxels on a fixed grid: overlap, and calibration of occupancy."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from radarsparse.errors import InputError

# Three indices of 21 bits fit into one integer of 64.
INDEX_BITS = 21
INDEX_MOST = 2 ** (INDEX_BITS - 1) - 1


@dataclass(frozen=True)
class Overlap:
    """How many cells two sets share, and how many they have together.

    Attributes:
        intersection: cells in both.
        union: cells in either.
    """

    intersection: int
    union: int

    @property
    def iou(self) -> float:
        """Intersection over union; NaN where both sets are empty."""
        return self.intersection / self.union if self.union else math.nan


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
    return voxel_histogram(points, voxel_size_m, origin_m)[0]


def voxel_histogram(
    points: Float[Tensor, "n c"],
    voxel_size_m: float,
    origin_m: Sequence[float] = (0.0, 0.0, 0.0),
) -> tuple[Int[Tensor, " k"], Int[Tensor, " k"]]:
    """The voxels of `voxel_keys`, and how many points each holds.

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
    index = ((xyz - xyz.new_tensor(origin_m)) / voxel_size_m).floor()
    return count_keys(pack_index(index))


def pack_index(index: Float[Tensor, "n 3"]) -> Int[Tensor, " n"]:
    """Voxel indices as integers that sort by x, then y, then z.

    Args:
        index: [n, 3] whole numbers.

    Raises:
        InputError: an index isn't finite or beyond `INDEX_MOST`.
    """
    outside = ~(index.abs() <= INDEX_MOST).all(dim=1)
    if outside.any():
        row = int(outside.nonzero()[0])
        raise InputError(
            f"points: row {row} is in voxel {index[row].tolist()}, at most {INDEX_MOST} voxels"
            " from the origin expected"
        )
    x, y, z = (index.long() + INDEX_MOST).unbind(1)
    return (x << 2 * INDEX_BITS) | (y << INDEX_BITS) | z


def count_keys(keys: Int[Tensor, " n"]) -> tuple[Int[Tensor, " k"], Int[Tensor, " k"]]:
    """Every integer once, sorted, and how often it occurs."""
    return torch.unique_consecutive(_sorted(keys), return_counts=True)


def columns(keys: Int[Tensor, " k"]) -> Int[Tensor, " k"]:
    """The bird's-eye cell of every voxel, in the same order, as a sorted integer.

    Args:
        keys: of `voxel_keys`.
    """
    return keys >> INDEX_BITS


def overlap_of_keys(ours: Int[Tensor, " k"], theirs: Int[Tensor, " l"]) -> Overlap:
    """The overlap of two sets of integers, each integer once per set."""
    merged = _sorted(torch.cat([ours, theirs]))
    intersection = int((merged[1:] == merged[:-1]).sum())
    return Overlap(intersection, len(merged) - intersection)


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
    return overlap_of_keys(voxel_keys(pred, voxel_size_m), voxel_keys(target, voxel_size_m))


def overlaps(
    pred: Float[Tensor, "n c"], target: Float[Tensor, "m d"], voxel_size_m: float
) -> tuple[Overlap, Overlap]:
    """`voxel_overlap` and `bev_overlap` at once, which share the sorting.

    Args:
        pred: [n, 3 or more] x, y, z in metres.
        target: [m, 3 or more] the same, in the same frame.
        voxel_size_m: edge of a voxel and of a bird's-eye cell.

    Raises:
        InputError: as in `voxel_keys`.
    """
    ours, theirs = voxel_keys(pred, voxel_size_m), voxel_keys(target, voxel_size_m)
    flat = (torch.unique_consecutive(columns(keys)) for keys in (ours, theirs))
    return overlap_of_keys(ours, theirs), overlap_of_keys(*flat)


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
    counts = [(frame.intersection, frame.union) for frame in frames]
    return Overlap(sum(shared for shared, _ in counts), sum(union for _, union in counts))


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
