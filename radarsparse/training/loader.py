"""Which samples each step sees, and their batches, made ahead by worker processes."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from radarsparse.config import Config, TrainSettings
from radarsparse.errors import InputError
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.geometry import Volume
from radarsparse.scan import ScanPair
from radarsparse.simulator.pairs import SimulatedFrames
from radarsparse.training.devices import Rank
from radarsparse.voxels.augment import augment, mix
from radarsparse.voxels.batch import Batch, make_batch
from radarsparse.voxels.cache import VoxelCache

_log = logging.getLogger("radarsparse")


class Microbatch(NamedTuple):
    """What one device sees at once.

    Attributes:
        samples: the run's numbers of the samples.
        voxel_size_m: at which they are voxelised.
        weight: of its loss, so that devices' mean gradients add up to the mean over the window.
    """

    samples: tuple[int, ...]
    voxel_size_m: float
    weight: float


@dataclass(frozen=True)
class Window:
    """The samples between two steps of the optimiser.

    Attributes:
        seen: samples that came before.
        count: samples of all devices together.
        microbatches: this device's share, in order; never empty.
    """

    seen: int
    count: int
    microbatches: tuple[Microbatch, ...]


def window_samples(settings: TrainSettings, rank: Rank) -> int:
    """Samples of a full window, all devices together."""
    return settings.batch_size * settings.accumulate * rank.world_size


def plan_windows(config: Config, seen: int, rank: Rank) -> Iterator[Window]:
    """The windows of the rest of a run; the last one of each voxel size may be smaller.

    Their microbatches are the share of `rank`, their bounds are those of every rank.
    """
    settings, size = config.train, config.train.batch_size
    steps = [(step.voxel_size_m, step.until_samples) for step in settings.voxel_steps]
    for voxel_size_m, until in [*steps, (config.volume.voxel_size_m, settings.samples)]:
        while seen < until:
            count = min(window_samples(settings, rank), until - seen)
            own = range(seen + rank.number, seen + count, rank.world_size)
            groups = [tuple(own[start : start + size]) for start in range(0, len(own), size)]
            shares = [len(group) * rank.world_size / count for group in groups]
            dealt = tuple(map(Microbatch, groups, repeat(voxel_size_m), shares))
            # Every device must take part in the sum of gradients: one without samples with nothing.
            yield Window(seen, count, dealt or (Microbatch((seen,), voxel_size_m, 0.0),))
            seen += count


def open_splits(config: Config) -> dict[str, PreparedFrames | SimulatedFrames]:
    """The frames to train on, and those to validate on if the config asks for it, by split.

    Raises:
        InputError: the data can't be used.
    """
    data, root = config.data, Path(config.data.root)
    unseen = [data.val_split] if config.train.validation else []
    if data.scenes_seed is None:
        names = dict.fromkeys([data.train_split, *unseen])
        return {split: PreparedFrames.open(root, split, data.split) for split in names}
    splits = {split: PreparedFrames.open(root, split, data.split) for split in unseen}
    if data.train_split in splits:
        raise InputError(
            f"data.val_split = {data.val_split!r}: must differ from data.train_split, whose frames"
            " are simulated by data.scenes_seed"
        )
    return {data.train_split: SimulatedFrames(data.scenes_seed), **splits}


class TrainingSamples(Dataset["Batch | InputError"]):
    """Augmented frames by the run's number of a sample: a pure function of the seed."""

    def __init__(self, frames: Sequence[ScanPair], config: Config) -> None:
        self._frames, self._config = frames, config
        self._cache, settings = None, config.data
        if settings.cache is not None and not settings.augment.is_off:
            what = "is not used, since data.augment makes every frame a new one"
            _log.warning("data.cache = %s: %s", settings.cache, what)
        elif settings.cache is not None and isinstance(frames, PreparedFrames):
            self._cache = VoxelCache(Path(settings.cache), frames)

    def __getitem__(self, microbatch: Microbatch) -> Batch | InputError:
        """A microbatch's batch; an error is handed over, since raising in a worker blurs it."""
        volume = Volume.from_settings(self._config.volume.at(microbatch.voxel_size_m))
        rings_deg = self._config.lidar.rings_deg
        try:
            if self._cache:
                numbers = [self._number(n) for n in microbatch.samples]
                return self._cache.make_batch(numbers, volume, rings_deg)
            pairs = [self.draw_pair(n, volume) for n in microbatch.samples]
            batch = make_batch(pairs, volume, rings_deg)
            if self._config.stage != "vae":
                _ = batch.observed, batch.footprint  # found here, where no step waits for them
        except InputError as error:
            return error
        return batch

    def _number(self, sample: int) -> int:
        epoch, position = divmod(sample, len(self._frames))
        return int(_order(self._config.seed, epoch, len(self._frames))[position])

    def draw_pair(self, sample: int, volume: Volume) -> ScanPair:
        """The augmented frame of the run's number of a sample.

        Raises:
            InputError: the frame can't be used.
        """
        settings, frames, number = self._config.data.augment, self._frames, self._number(sample)
        if settings.is_off:
            return frames[number]
        # Of two generators, so that mixing changes nothing in how a sample is moved.
        moving, mixing = (np.random.default_rng([self._config.seed, i, sample]) for i in (1, 2))
        mixed = mixing.random() < settings.mixup
        other = int(mixing.integers(len(frames))) if mixed else number
        pair = frames[number]
        if other != number:
            pair = mix(pair, frames[other], volume)
        return augment(pair, settings, volume, moving)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """In which order an epoch sees the frames."""
    return np.random.default_rng([seed, 0, epoch]).permutation(count)


def load_batches(
    samples: TrainingSamples, microbatches: Iterator[Microbatch], workers: int
) -> Iterator[Batch]:
    """The batches of microbatches, in order, made ahead by worker processes.

    Where there is a GPU they lie in pinned memory, which it copies from while others work. There
    are no more workers than cores; with 0 every batch is made when it is asked for.

    Raises:
        InputError: a frame can't be used, or a worker died.
    """
    workers = min(workers, len(os.sched_getaffinity(0)))
    loader = DataLoader(
        samples,
        batch_size=None,
        sampler=microbatches,  # pyright: ignore[reportArgumentType] (it asks for nothing but an iterator)
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )
    try:
        for made in loader:
            if isinstance(made, InputError):
                raise made
            yield made
    except RuntimeError as error:
        if "worker" not in str(error):
            raise
        raise InputError(
            f"a process that loads data died ({error}); train.workers = 0 shows why"
        ) from error
