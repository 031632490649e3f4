"""The training loop: lengths in samples, resumable, deterministic."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from radarsparse.config import Config, VaeConfig
from radarsparse.errors import InputError
from radarsparse.files import count_of
from radarsparse.models.weights import save_model
from radarsparse.sparse import use_engine
from radarsparse.training.beginning import begin
from radarsparse.training.checkpoint import STATE_FILE, load_state, save_state
from radarsparse.training.devices import is_so_anywhere, rank_of, refuse_together, start_fabric
from radarsparse.training.loader import (
    TrainingSamples,
    Window,
    load_batches,
    open_splits,
    plan_windows,
)
from radarsparse.training.planning.memory import read_peak_gib
from radarsparse.training.run_folder import RunFolder, claimed
from radarsparse.training.stages import make_stage
from radarsparse.training.trainer import Trainer
from radarsparse.training.validate import Render, Validator

BEST_FOLDER = "best"
_log = logging.getLogger("radarsparse")
EXIT_TERMINATED = 128 + signal.SIGTERM


def train(config: Config, folder: Path, render: Render) -> int:
    """Train the stage that the config names, from the folder's last checkpoint if it has one.

    `render` draws radar, output and LiDAR at every validation.

    Returns:
        Samples that the run has seen.

    Raises:
        InputError: data, folder, checkpoint or the run that `init` names can't be used, or a loss
            or gradient is not finite.
        SystemExit: SIGTERM was received and a checkpoint was written, or another process of this
            run says what is wrong.
    """
    with use_engine(config.engine):
        fabric, frames = start_fabric(config.train.precision), open_splits(config)
        stage, vae_config = make_stage(config)
        # Before the folder is claimed: a run that can't begin leaves none.
        begun = begin(stage.network, config, folder)
        if begun and rank_of(fabric).number == 0:
            _log.info("%s", begun)
        data = {split: part.fingerprint for split, part in frames.items()}
        with claimed(folder, config, data, rank_of(fabric)):
            trainer, validator = Trainer(stage, config, fabric), None
            if config.train.validation:
                unseen = frames[config.data.val_split]
                validator = Validator(unseen, config, rank_of(fabric), render)
            session = Session(trainer, folder, vae_config, validator)
            session.run(TrainingSamples(frames[config.data.train_split], config))
    return trainer.seen


class Session:
    """One process's part in a run, whose folder is claimed, from its last state to the end.

    Raises:
        InputError: the last state can't be used.
    """

    def __init__(
        self, trainer: Trainer, folder: Path, vae_config: VaeConfig, validator: Validator | None
    ) -> None:
        self.config, self.fabric, self.trainer = trainer.config, trainer.fabric, trainer
        self._folder, self._vae_config, self._validator = folder, vae_config, validator
        state = load_state(folder)
        try:
            if state is not None:
                trainer.restore(state)
                if validator:
                    validator.best.restore(state["best"])
        except torch.OutOfMemoryError:
            raise
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            fault = "is no state of this run"
            raise InputError(f"{folder / STATE_FILE}: {fault}; delete it to start anew") from error
        # The leading process writes for all.
        self._written = RunFolder(folder, trainer.seen) if self.fabric.is_global_zero else None

    def run(self, samples: TrainingSamples) -> None:
        """Train until the run ends, no longer improves, or SIGTERM is received."""
        config, seen, fabric = self.config, self.trainer.seen, self.fabric
        plan = partial(plan_windows, config, seen, rank_of(fabric))
        microbatches = chain.from_iterable(window.microbatches for window in plan())
        batches = load_batches(samples, microbatches, config.train.workers)
        shown = {"desc": f"train {config.stage}", "disable": None if self._written else True}
        bar = tqdm(total=config.train.samples, initial=seen, unit="frame", **shown)
        with bar, _noticing_termination() as asked:
            if seen == 0:  # to see that it works, and what a network without training does
                self._validate()
            for window in plan():
                if self._validator and self._validator.best.is_stale(window.seen):
                    break
                self.trainer.step(window, batches)
                bar.update(window.count)
                self._look_after(window, bar)
                if is_so_anywhere(bool(asked), fabric):
                    self._save()
                    raise SystemExit(EXIT_TERMINATED)
        self._save()
        if self._written:
            self._written.close()

    def _look_after(self, window: Window, bar: "tqdm[Any]") -> None:
        """Report, validate and save where it is due after a window."""
        settings, seen = self.config.train, self.trainer.seen
        last = seen == settings.samples

        def due(every: int) -> bool:
            return seen // every > window.seen // every

        if due(settings.report_every_samples):
            entry = self.trainer.report()
            entry["peak_memory_gib"] = read_peak_gib(self.fabric.device)
            if self._written:
                self._written.record(entry)
            bar.set_postfix(loss=f"{entry['total']:.3f}")
        if settings.validation and (last or due(settings.validation.every_samples)):
            self._validate()
        if due(settings.checkpoint_every_samples) and not last:
            self._save()

    def _validate(self) -> None:
        if not self._validator:
            return
        seen, stage = self.trainer.seen, self.trainer.averaged_stage
        scores = self._validator.score(stage)
        better = self._validator.best.improves(scores, seen)
        if self._written:
            entry = {"samples": float(seen)}
            self._written.record(entry | {f"val/{name}": value for name, value in scores.items()})
            self._written.show_picture(self._validator.draw(stage, seen), seen)
            if better:
                network = stage.network
                save_model(self._folder / BEST_FOLDER, network, self.config, self._vae_config)

    def _save(self) -> None:
        network = self.trainer.averaged_stage.network
        tensors = network.state_dict().values()
        if not torch.stack([tensor.isfinite().all() for tensor in tensors]).all():
            fault = f"weights are not finite after {count_of(self.trainer.seen, 'sample')}"
            refuse_together(f"{fault}; take a lower train.learning_rate", rank_of(self.fabric))
        if self._written:
            state = self.trainer.state()
            state["best"] = self._validator.best.state() if self._validator else {}
            save_model(self._folder, network, self.config, self._vae_config)
            save_state(self._folder, state)
        self.fabric.barrier()


@contextmanager
def _noticing_termination() -> Iterator[list[int]]:
    """A list that grows by every SIGTERM within the block, so that the step at hand ends first."""
    asked: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)
