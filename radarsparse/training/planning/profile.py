"""Where the time of a training step goes."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

from lightning_fabric import Fabric

# Not that of torch.profiler, which warns of cycles in some versions.
from torch.autograd.profiler import profile

from radarsparse.config import Config
from radarsparse.errors import InputError
from radarsparse.files import replacing
from radarsparse.sparse import use_engine
from radarsparse.training.devices import rank_of, start_fabric, wait_for
from radarsparse.training.loader import TrainingSamples, load_parts, plan_windows
from radarsparse.training.loop import make_stage, open_splits
from radarsparse.training.stages import Stage
from radarsparse.training.trainer import Trainer

# The first steps fill caches and start workers.
_WARM_UP = 4
_STEPS = 8


def profile_steps(config: Config, trace: Path) -> dict[str, float]:
    """Train a few steps that are thrown away, and write a trace of them.

    On CUDA the end of every part is waited for, so that its time is what the part itself takes; a
    run waits less often, and its steps may take less.

    Args:
        config: of the run.
        trace: file to write; chrome://tracing and ui.perfetto.dev show it.

    Returns:
        Milliseconds of wall time per step of each of its parts, and of the whole step as `step`.

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
        trainer.seconds.clear()
        device = "cuda" if trainer.fabric.device.type == "cuda" else None
        recorded = profile(use_device=device, use_kineto=True)
        with recorded:
            for _ in islice(steps, _STEPS):
                pass
    with replacing(trace) as part:
        recorded.export_chrome_trace(str(part))
    return {name: 1e3 * seconds / _STEPS for name, seconds in trainer.seconds.items()}


class TimedTrainer(Trainer):
    """Measures how long every part takes.

    Attributes:
        seconds: wall time by part, summed over its calls.
    """

    def __init__(self, stage: Stage, config: Config, fabric: Fabric) -> None:
        super().__init__(stage, config, fabric)
        self.seconds = defaultdict[str, float](float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Around a part; waits for its end on the device."""
        start = time.perf_counter()
        with super().part(name):
            yield
            wait_for(self.fabric.device)
        self.seconds[name] += time.perf_counter() - start


def _prepare(config: Config) -> tuple[TimedTrainer, Iterator[None]]:
    """A trainer, and an iterator that takes one step at a time."""
    fabric = start_fabric(config.train.precision)
    frames = open_splits(config)[config.data.train_split]
    trainer = TimedTrainer(make_stage(config)[0], config, fabric)
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
            with trainer.part("step"):
                trainer.step(window, batches)
            yield

    return trainer, steps()
