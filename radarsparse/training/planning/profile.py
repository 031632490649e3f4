"""Where the time of a training step goes."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path

import torch

# Not that of torch.profiler, which warns of cycles in some versions.
from torch.autograd.profiler import profile, record_function

from radarsparse.config import Config
from radarsparse.errors import InputError
from radarsparse.files import check_file, count_of, replacing
from radarsparse.sparse import use_engine
from radarsparse.training.devices import rank_of, start_fabric, wait_for
from radarsparse.training.loader import TrainingSamples, load_batches, open_splits, plan_windows
from radarsparse.training.stages import make_stage
from radarsparse.training.trainer import Trainer

# The first steps fill caches and start workers.
_WARM_UP = 4
_STEPS = 8


def profile_steps(config: Config, trace: Path) -> dict[str, float]:
    """Train a few steps that are thrown away, and write a trace of them.

    On CUDA the end of every part is waited for, so that its time is what the part itself takes; a
    run waits less often, and its steps may take less. chrome://tracing and ui.perfetto.dev show
    the file `trace`.

    Returns:
        Milliseconds of wall time per step of each of its parts, and of the whole step as `step`.

    Raises:
        InputError: data, checkpoint or the trace's folder can't be used, or the run has too few
            steps.
    """
    check_file(trace)
    seconds = defaultdict[str, float](float)
    with use_engine(config.engine):
        fabric = start_fabric(config.train.precision)
        samples = TrainingSamples(open_splits(config)[config.data.train_split], config)
        trainer = Trainer(make_stage(config)[0], config, fabric)
        trainer.mark = partial(_timed_part, seconds, fabric.device)
        windows = list(islice(plan_windows(config, 0, rank_of(fabric)), _WARM_UP + _STEPS))
        if len(windows) < _WARM_UP + _STEPS:
            raise InputError(
                f"train.samples = {config.train.samples}: makes {count_of(len(windows), 'step')};"
                f" --profile needs {_WARM_UP + _STEPS}"
            )
        microbatches = chain.from_iterable(window.microbatches for window in windows)
        batches = load_batches(samples, microbatches, config.train.workers)
        for window in windows[:_WARM_UP]:
            trainer.step(window, batches)
        seconds.clear()
        device = "cuda" if fabric.device.type == "cuda" else None
        recorded = profile(use_device=device, use_kineto=True)
        with recorded:
            for window in windows[_WARM_UP:]:
                with trainer.mark("step"):
                    trainer.step(window, batches)
    with replacing(trace) as part:
        recorded.export_chrome_trace(str(part))
    return {name: 1e3 * total / _STEPS for name, total in seconds.items()}


@contextmanager
def _timed_part(seconds: dict[str, float], device: torch.device, name: str) -> Iterator[None]:
    """Around a part of a step: waits for its end on the device, and adds up its wall time."""
    start = time.perf_counter()
    with record_function(name):
        yield
        wait_for(device)
    seconds[name] += time.perf_counter() - start
