"""Memory of training steps: the estimate beside what a run's own steps need."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice, product
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

from radarsparse.benchmark.measure import find_device, name_device, seconds
from radarsparse.config import Config, EdmConfig, VaeConfig
from radarsparse.models.vae import Vae
from radarsparse.models.weights import save_model
from radarsparse.scan import ScanPair
from radarsparse.sparse import use_engine
from radarsparse.training.devices import rank_of, start_fabric
from radarsparse.training.loader import TrainingSamples, load_batches, plan_windows
from radarsparse.training.loop import make_stage
from radarsparse.training.planning.dry_run import estimate_steps
from radarsparse.training.planning.memory import GIB, held_bytes, peak_bytes
from radarsparse.training.trainer import Trainer

# The first step makes the optimiser's moments.
_WARM_UP = 1


def time_memory(
    vae: VaeConfig,
    edm: EdmConfig,
    frames: Sequence[ScanPair],
    batch_sizes: Sequence[int],
    steps: int,
) -> Iterator[dict[str, Any]]:
    """Rows of a table: both stages, each batch size, with and without activation checkpointing.

    Args:
        vae: of the first stage; the second one has it untrained.
        edm: of the second stage, over the same volume.
        frames: to train on.
        batch_sizes: frames of a batch.
        steps: whose memory and time count.

    Yields:
        The device, estimated and measured peaks in GiB (mean and largest over steps), those of the
        step alone, without weights, moments and moving average, and the median time of a step.
    """
    with TemporaryDirectory() as folder:
        save_model(Path(folder), Vae(vae.model), vae, vae)
        model = edm.model.model_copy(update={"vae": folder})
        for config in (vae, edm.model_copy(update={"model": model})):
            for batch_size, checkpointing in product(batch_sizes, (False, True)):
                changes = {"batch_size": batch_size, "checkpoint_activations": checkpointing}
                train = config.train.model_copy(update=changes)
                yield _row(config.model_copy(update={"train": train}), frames, steps)


def _row(config: Config, frames: Sequence[ScanPair], steps: int) -> dict[str, float | str]:
    with use_engine(config.engine):
        estimate = estimate_steps(config, frames).typical.peak(config.train.batch_size)
        peaks, held = _measured(config, frames, steps)
        times = [seconds(step) for step in _start(config, frames, steps)[1]]
    return {
        "device": name_device(find_device()),
        "stage": config.stage,
        "batch_size": config.train.batch_size,
        "checkpoint_activations": config.train.checkpoint_activations,
        "estimated_gib": estimate / GIB,
        "measured_gib": (fmean(peaks) + held) / GIB,
        "measured_largest_gib": (max(peaks) + held) / GIB,
        "step_alone_gib": fmean(peaks) / GIB,
        "step_s": median(times[_WARM_UP:]),
    }


def _measured(config: Config, frames: Sequence[ScanPair], steps: int) -> tuple[list[int], int]:
    """Peaks of a run's first steps above what is held between them, and that."""
    trainer, run = _start(config, frames, steps)
    peaks = [peak_bytes(step, trainer.fabric.device) for step in run]
    return peaks[_WARM_UP:], held_bytes(trainer)


def _start(
    config: Config, frames: Sequence[ScanPair], steps: int
) -> tuple[Trainer, list[Callable[[], None]]]:
    """A trainer, and the first steps of its run."""
    trainer = Trainer(make_stage(config)[0], config, start_fabric(config.train.precision))
    plan = plan_windows(config, 0, rank_of(trainer.fabric))
    windows = list(islice(plan, steps + _WARM_UP))
    microbatches = chain.from_iterable(window.microbatches for window in windows)
    batches = iter(list(load_batches(TrainingSamples(frames, config), microbatches, 0)))
    return trainer, [lambda window=window: trainer.step(window, batches) for window in windows]
