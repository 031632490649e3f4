"""What a run would do and need, without doing it."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from radarsparse.config import Config
from radarsparse.geometry import Volume
from radarsparse.scan import ScanPair
from radarsparse.sparse import use_engine
from radarsparse.training.loop import make_stage, open_splits
from radarsparse.training.planning.density import count_voxels, find_voxel_size, mean_voxels
from radarsparse.training.planning.memory import GIB, MemoryEstimate, StepProbe, find_batch_size
from radarsparse.training.run_folder import check_claim, check_data
from radarsparse.training.stages import Stage
from radarsparse.training.validate import choose_frames

_FRAMES = 16


class StepEstimates(NamedTuple):
    """Estimates of the same config.

    Attributes:
        typical: for a frame of median size.
        largest: for the one with most LiDAR voxels.
        device: where it was measured.
    """

    typical: MemoryEstimate
    largest: MemoryEstimate
    device: torch.device


def check(config: Config, folder: Path) -> str:
    """Check data, folder and VAE without writing anything, and say what would be trained.

    Returns:
        Lines that name parameters, voxels and memory.

    Raises:
        InputError: data, folder or checkpoint can't be used.
    """
    frames = open_splits(config)
    stage, _ = make_stage(config)
    check_claim(folder, config)
    check_data(folder, {split: part.fingerprint for split, part in frames.items()})
    training = frames[config.data.train_split]
    trained = sum(p.numel() for p in stage.parameters() if p.requires_grad)
    lines = [
        f"would train {trained:,} parameters on {len(training)} frames for"
        f" {config.train.samples:,} samples into {folder}",
        *_describe_parts(stage),
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

    Args:
        config: of the run.
        memory_gib: what a step may need; without it, what a CUDA device has.

    Raises:
        InputError: data or checkpoint can't be used, or nothing fits.
    """
    frames = open_splits(config)[config.data.train_split]
    pairs, window = _order_by_voxels(config, frames), _window(config)
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
    """The finest voxel size that a budget allows.

    Args:
        config: of the run.
        budget: LiDAR voxels per frame.

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


def _window(config: Config) -> int:
    return config.train.batch_size * config.train.accumulate


def _order_by_voxels(config: Config, frames: Sequence[ScanPair]) -> Sequence[ScanPair]:
    """Some frames, spread evenly over all, those with most LiDAR voxels first."""
    volume = Volume.from_settings(config.volume)
    pairs = [frames[number] for number in choose_frames(frames, _FRAMES)]
    return sorted(pairs, key=lambda pair: -count_voxels(pair, volume)["LiDAR at stride 1"])


def _describe_voxels(config: Config, frames: Sequence[ScanPair]) -> list[str]:
    volume = Volume.from_settings(config.volume)
    counts = [count_voxels(frames[n], volume) for n in choose_frames(frames, _FRAMES)]
    return [
        f"voxels per frame, mean of {len(counts)} frames:",
        *(f"  {name:18s} {count:12,.0f}" for name, count in mean_voxels(counts).items()),
    ]


def _describe_parts(stage: Stage) -> list[str]:
    parts = dict(stage.network.named_children())
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    frozen = {
        name: not any(p.requires_grad for p in part.parameters()) for name, part in parts.items()
    }
    return [
        f"  {name:18s} {count:12,d}" + (" (frozen)" if frozen[name] else "")
        for name, count in counts.items()
    ]


def _describe_peak(config: Config, estimates: StepEstimates) -> list[str]:
    typical, batch_size = estimates.typical, config.train.batch_size
    peak, most = typical.peak(batch_size), estimates.largest.peak(batch_size)
    resident = {
        "weights": typical.parameters,
        "moments of AdamW": typical.moments,
        "moving average": typical.average,
    }
    parts = {**resident, "the step itself": peak - sum(resident.values())}
    return [
        f"estimated peak of one step on {estimates.device}, {batch_size} frames at once:"
        f" {peak / GIB:.3f} GiB; {most / GIB:.3f} GiB if all were as large as the largest frame",
        *(f"  {name:18s} {part / GIB:12.3f} GiB" for name, part in parts.items()),
    ]
