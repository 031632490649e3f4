"""How many voxels frames have, and the finest voxels that a budget allows."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm

import numpy as np

from radarsparse.config import LATTICE_STRIDE, VolumeSettings
from radarsparse.errors import InputError
from radarsparse.geometry import Volume
from radarsparse.scan import ScanPair
from radarsparse.sparse.ops import parent_support
from radarsparse.voxels.batch import Batch, make_batch
from radarsparse.voxels.voxelize import voxelize_lidar

_STRIDES = (1, 2, 4, 8)
# Finer than any of the sensors measures.
_VOXEL_SIZE_MIN_M = 0.05
_QUANTILE = 0.95


def count_voxels(pair: ScanPair, volume: Volume) -> dict[str, int]:
    """LiDAR voxels by stride, radar voxels, lattice cells.

    Raises:
        InputError: the pair has no radar or no LiDAR point in the volume.
    """
    batch = make_batch([pair], volume)
    levels = {f"LiDAR at stride {stride}": rows for stride, rows in _levels(batch)}
    return {**levels, "radar": len(batch.radar.feats), "lattice": len(batch.lattice.feats)}


def _levels(batch: Batch) -> Iterator[tuple[int, int]]:
    support = batch.lidar.support
    for stride in _STRIDES:
        yield stride, len(support)
        support = parent_support(support)


def mean_voxels(counts: Sequence[Mapping[str, int]]) -> dict[str, float]:
    """Mean of each number of `count_voxels` over frames."""
    return {name: sum(count[name] for count in counts) / len(counts) for name in counts[0]}


def whole_voxel_sizes(volume: VolumeSettings) -> Iterator[float]:
    """Voxel sizes at which every side of the box holds whole lattice cells, coarsest first."""
    pairs = zip(volume.minimum_m, volume.maximum_m, strict=True)
    sides = [Fraction(str(high)) - Fraction(str(low)) for low, high in pairs]
    # The largest length of which every side is a multiple.
    common = Fraction(gcd(*(s.numerator for s in sides)), lcm(*(s.denominator for s in sides)))
    cells = 1
    while (size_m := float(common / (LATTICE_STRIDE * cells))) >= _VOXEL_SIZE_MIN_M:
        yield size_m
        cells += 1


def find_voxel_size(
    pairs: Sequence[ScanPair], volume: VolumeSettings, budget: int
) -> tuple[float, int]:
    """The finest voxel size at which 95 % of frames have no more LiDAR voxels than a budget.

    Args:
        pairs: frames that stand for the data.
        volume: the box that voxels must fill in whole lattice cells.
        budget: voxels of stride 1 per frame.

    Returns:
        The size in metres, and the number of voxels that 95 % of frames don't exceed.

    Raises:
        InputError: the budget is too small for every size.
    """
    best = None
    for size_m in whole_voxel_sizes(volume):
        count = _frequent_most(pairs, Volume.from_settings(volume.at(size_m)))
        if count > budget:
            break
        best = size_m, count
    if best is None:
        raise InputError(
            f"--voxel-budget {budget}: too small even for the coarsest voxels from"
            f" {_VOXEL_SIZE_MIN_M} m up whose lattice cells fill the box"
        )
    return best


def _frequent_most(pairs: Sequence[ScanPair], volume: Volume) -> int:
    counts = [len(voxelize_lidar(p.lidar_in_radar_frame, volume).index) for p in pairs]
    return int(np.quantile(counts, _QUANTILE, method="higher"))
