"""Where the time of a training step goes."""

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from radarsparse.config import Config
from radarsparse.errors import InputError
from radarsparse.files import replacing
from radarsparse.sparse import use_engine
from radarsparse.training.devices import rank_of, start_fabric
from radarsparse.training.loader import TrainingSamples, load_parts, plan_windows
from radarsparse.training.loop import make_stage, open_splits
from radarsparse.training.trainer import PARTS_OF_A_STEP, Trainer

# The first steps fill caches and start workers.
_WARM_UP = 4
_STEPS = 8


def profile_steps(config: Config, trace: Path) -> dict[str, float]:
    """Train a few steps that are thrown away, and write a trace of them.

    Args:
        config: of the run.
        trace: file to write; chrome://tracing and ui.perfetto.dev show it.

    Returns:
        Milliseconds per step of each of its parts, and of the whole step as `step`.

    Raises:
        InputError: data, checkpoint or the trace's folder can't be used, or the run has too few
            steps.
    """
    if not trace.parent.is_dir():
        raise InputError(f"{trace}: no such folder: {trace.parent}")
    with use_engine(config.engine):
        trainer, steps = _prepare(config)
        for _ in islice(steps, _WARM_UP):
            pass
        activities = [ProfilerActivity.CPU]
        if trainer.fabric.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        with profile(activities=activities) as recorded:
            for _ in islice(steps, _STEPS):
                pass
    with replacing(trace) as part:
        recorded.export_chrome_trace(str(part))
    times_us = {event.key: event.cpu_time_total for event in recorded.key_averages()}
    names = (*PARTS_OF_A_STEP, "step")
    return {name: times_us[name] / _STEPS / 1e3 for name in names}


def _prepare(config: Config) -> tuple[Trainer, Iterator[None]]:
    """A trainer, and an iterator that takes one step at a time."""
    fabric = start_fabric(config.train.precision)
    frames = open_splits(config)[config.data.train_split]
    trainer = Trainer(make_stage(config)[0], config, fabric)
    plan = islice(plan_windows(config, 0, rank_of(fabric)), _WARM_UP + _STEPS)
    windows = list(plan)
    if len(windows) < _WARM_UP + _STEPS:
        raise InputError(
            f"train.samples = {config.train.samples}: makes {len(windows)} steps; --profile needs"
            f" {_WARM_UP + _STEPS}"
        )
    parts = chain.from_iterable(window.parts for window in windows)
    batches = load_parts(TrainingSamples(frames, config), parts, config.train.workers)

    def steps() -> Iterator[None]:
        for window in windows:
            with torch.profiler.record_function("step"):
                trainer.step(window, batches)
            yield

    return trainer, steps()
