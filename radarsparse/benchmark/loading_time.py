"""Frames a second that the loader gives, with and without augmentation and cache."""

from collections import deque
from collections.abc import Iterator
from itertools import chain
from statistics import median
from tempfile import TemporaryDirectory

from radarsparse.benchmark.measure import seconds
from radarsparse.config import AugmentSettings, Config
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.training.loader import Rank, TrainingSamples, load_batches, plan_windows

_NO_AUGMENTATION = AugmentSettings(
    mirror=0.0, yaw_max_deg=0.0, shift_std_m=0.0, radar_dropout=0.0
)


def time_loading(
    config: Config, frames: PreparedFrames, workers: int, repeats: int
) -> Iterator[dict[str, float | str]]:
    """Rows of a table: loading, voxelising and batching, without training.

    Args:
        config: of a stage.
        frames: each is loaded once in a pass.
        workers: processes that load.
        repeats: passes whose median counts; the cache is filled in one.

    Yields:
        Stage, where the voxels come from, and frames per second.
    """
    train = {"samples": len(frames), "workers": workers}
    augmented = config.model_copy(update={"train": config.train.model_copy(update=train)})
    plain = _with_data(augmented, augment=_NO_AUGMENTATION)
    with TemporaryDirectory() as folder:
        cached = _with_data(plain, cache=folder)
        passes = {
            "augmented": (augmented, repeats),
            "without augmentation": (plain, repeats),
            "filling the cache": (cached, 1),
            "from the cache": (cached, repeats),
        }
        for name, (run, count) in passes.items():
            pass_s = median(_pass_seconds(run, frames) for _ in range(count))
            yield {"stage": config.stage, "voxels": name, "frames_per_s": len(frames) / pass_s}


def _with_data(config: Config, **changes: object) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update=changes)})


def _pass_seconds(config: Config, frames: PreparedFrames) -> float:
    microbatches = chain.from_iterable(
        window.microbatches for window in plan_windows(config, 0, Rank())
    )
    batches = load_batches(TrainingSamples(frames, config), microbatches, config.train.workers)
    return seconds(lambda: deque(batches, maxlen=0))
