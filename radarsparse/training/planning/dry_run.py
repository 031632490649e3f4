"""What a run would do and need, without doing it."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import gcd, lcm
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from radarsparse.config import LATTICE_STRIDE, Config, VolumeSettings
from radarsparse.errors import InputError
from radarsparse.files import count_of
from radarsparse.geometry import Volume
from radarsparse.scan import ScanPair
from radarsparse.sparse import use_engine
from radarsparse.sparse.ops import parent_support
from radarsparse.training.beginning import begin
from radarsparse.training.devices import Rank
from radarsparse.training.loader import open_splits, window_samples
from radarsparse.training.planning.memory import GIB, MemoryEstimate, StepProbe, find_batch_size
from radarsparse.training.run_folder import check_claim
from radarsparse.training.stages import Stage, make_stage
from radarsparse.training.validate import choose_frames
from radarsparse.voxels.batch import make_batch
from radarsparse.voxels.voxelize import voxelize_lidar

_FRAMES = 16
_STRIDES = (1, 2, 4, 8)
# Finer than any of the sensors measures.
_VOXEL_SIZE_MIN_M = 0.05
_QUANTILE = 0.95


class StepEstimates(NamedTuple):
    """For a frame of median size, for the one with most LiDAR voxels, and where it was measured."""

    typical: MemoryEstimate
    largest: MemoryEstimate
    device: torch.device


def check(config: Config, folder: Path) -> str:
    """Check all that a run needs without writing anything, and say what would be trained.

    Returns:
        Lines that name parameters, tensors of another run that it begins with, voxels and memory.

    Raises:
        InputError: data, folder, checkpoint or the run that `init` names can't be used.
    """
    frames = open_splits(config)
    stage, _ = make_stage(config)
    begun = begin(stage.network, config, folder)
    check_claim(folder, config, {split: part.fingerprint for split, part in frames.items()})
    training = frames[config.data.train_split]
    trained = sum(p.numel() for p in stage.parameters() if p.requires_grad)
    lines = [
        f"would train {trained:,} parameters on {count_of(len(training), 'frame')} for"
        f" {config.train.samples:,} samples into {folder}",
        *_describe_parts(stage),
        *([begun] if begun else []),
        *_describe_voxels(config, training),
        *_describe_peak(config, estimate_steps(config, training)),
    ]
    return "\n".join(lines)


def estimate_steps(config: Config, frames: Sequence[ScanPair]) -> StepEstimates:
    """Memory of a training step, from some steps that are thrown away.

    Raises:
        InputError: a frame or the VAE's checkpoint can't be used.
    """
    pairs = _order_by_voxels(config, frames)
    with use_engine(config.engine):
        probe = StepProbe(make_stage(config)[0], config)
        typical, largest = probe.estimate(pairs[len(pairs) // 2]), probe.estimate(pairs[0])
    return StepEstimates(typical, largest, probe.device)


def suggest_batch_size(config: Config, memory_gib: float | None) -> str:
    """The largest batch that fits, and how many of them make up the config's step.

    A step may need `memory_gib`; without it, what a CUDA device has.

    Raises:
        InputError: data or checkpoint can't be used, or nothing fits.
    """
    frames = open_splits(config)[config.data.train_split]
    pairs, window = _order_by_voxels(config, frames), window_samples(config.train, Rank())
    with use_engine(config.engine):
        probe = StepProbe(make_stage(config)[0], config)
        size, peak = find_batch_size(probe, pairs, len(frames), memory_gib)
    accumulate = max(1, round(window / size))
    return (
        f"train.batch_size={size} train.accumulate={accumulate}\n"
        f"{size} of the frames with most voxels need {peak / GIB:.3f} GiB; a step of the optimiser"
        f" then sees {size * accumulate} frames, the config says {window}"
    )


def suggest_voxel_size(config: Config, budget: int) -> str:
    """The finest voxel size that a budget of LiDAR voxels per frame allows.

    Raises:
        InputError: the data can't be used, or the budget is too small.
    """
    frames = open_splits(config)[config.data.train_split]
    pairs = [frames[number] for number in choose_frames(frames, _FRAMES)]
    size_m, count = find_voxel_size(pairs, config.volume, budget)
    return (
        f"volume.voxel_size_m={size_m:g}\n"
        f"95 % of {len(pairs)} frames have at most {count:,} LiDAR voxels there"
    )


def count_voxels(pair: ScanPair, volume: Volume) -> dict[str, int]:
    """LiDAR voxels by stride, radar voxels, lattice cells.

    Raises:
        InputError: the pair has no radar or no LiDAR point in the volume.
    """
    batch, counts = make_batch([pair], volume), {}
    support = batch.lidar.support
    for stride in _STRIDES:
        counts[f"LiDAR at stride {stride}"] = len(support)
        support = parent_support(support)
    return counts | {"radar": len(batch.radar.feats), "lattice": len(batch.lattice.feats)}


def whole_voxel_sizes(volume: VolumeSettings) -> list[float]:
    """Voxel sizes at which every side of the box holds whole lattice cells, coarsest first."""
    pairs = zip(volume.minimum_m, volume.maximum_m, strict=True)
    sides = [Fraction(str(high)) - Fraction(str(low)) for low, high in pairs]
    # The largest length of which every side is a multiple.
    common = Fraction(gcd(*(s.numerator for s in sides)), lcm(*(s.denominator for s in sides)))
    most = int(common / LATTICE_STRIDE / Fraction(str(_VOXEL_SIZE_MIN_M)))
    return [float(common / LATTICE_STRIDE / cells) for cells in range(1, most + 1)]


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
        finer = Volume.from_settings(volume.at(size_m))
        counts = [len(voxelize_lidar(p.lidar_in_radar_frame, finer).index) for p in pairs]
        count = int(np.quantile(counts, _QUANTILE, method="higher"))
        if count > budget:
            break
        best = size_m, count
    if best is None:
        raise InputError(
            f"--voxel-budget {budget}: too small even for the coarsest voxels from"
            f" {_VOXEL_SIZE_MIN_M} m up whose lattice cells fill the box"
        )
    return best


def _order_by_voxels(config: Config, frames: Sequence[ScanPair]) -> Sequence[ScanPair]:
    """Some frames, spread evenly over all, those with most LiDAR voxels first."""
    volume = Volume.from_settings(config.volume)
    pairs = [frames[number] for number in choose_frames(frames, _FRAMES)]
    return sorted(pairs, key=lambda pair: -count_voxels(pair, volume)["LiDAR at stride 1"])


def _describe_voxels(config: Config, frames: Sequence[ScanPair]) -> list[str]:
    volume = Volume.from_settings(config.volume)
    counts = [count_voxels(frames[n], volume) for n in choose_frames(frames, _FRAMES)]
    sums = {name: sum(count[name] for count in counts) for name in counts[0]}
    return [
        f"voxels per frame, mean of {count_of(len(counts), 'frame')}:",
        *(f"  {name:18s} {number / len(counts):12,.0f}" for name, number in sums.items()),
    ]


def _describe_parts(stage: Stage) -> Iterator[str]:
    for name, part in stage.network.named_children():
        parameters = list(part.parameters())
        frozen = "" if any(p.requires_grad for p in parameters) else " (frozen)"
        yield f"  {name:18s} {sum(p.numel() for p in parameters):12,d}{frozen}"


def _describe_peak(config: Config, estimates: StepEstimates) -> list[str]:
    typical, batch_size = estimates.typical, config.train.batch_size
    peak, most = typical.peak(batch_size), estimates.largest.peak(batch_size)
    parts = {
        "weights": typical.weights,
        "moments of AdamW": typical.moments,
        "moving average": typical.weights,
        "the step itself": typical.fixed + batch_size * typical.per_frame,
    }
    return [
        f"estimated peak of one step on {estimates.device}, {batch_size} frames at once:"
        f" {peak / GIB:.3f} GiB; {most / GIB:.3f} GiB if all were as large as the largest frame",
        *(f"  {name:18s} {part / GIB:12.3f} GiB" for name, part in parts.items()),
    ]
