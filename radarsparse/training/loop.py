"""The training loop: lengths in samples, resumable, deterministic."""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from tqdm import tqdm

from radarsparse.config import Config, EctConfig, EdmConfig, FewStepConfig, VaeConfig
from radarsparse.errors import InputError
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.geometry import Volume
from radarsparse.models.blocks import checkpoint_activations
from radarsparse.models.weights import load_run, load_vae, save_model
from radarsparse.simulator.pairs import SimulatedFrames
from radarsparse.sparse import use_engine
from radarsparse.training.checkpoint import load_state, save_state
from radarsparse.training.devices import rank_of, start_fabric
from radarsparse.training.loader import TrainingSamples, Window, load_parts, plan_windows
from radarsparse.training.planning.memory import read_peak_gib
from radarsparse.training.run_folder import RunFolder, check_claim, check_data
from radarsparse.training.signals import Terminated, Termination, noticing_termination
from radarsparse.training.stages import DistillStage, EctStage, EdmStage, Stage, VaeStage
from radarsparse.training.tensorboard import Board
from radarsparse.training.trainer import Trainer
from radarsparse.training.validate import Best, Validator
from radarsparse.voxels.batch import Batch

Clouds = Mapping[str, NDArray[np.float32]]
Render = Callable[[Clouds, str], NDArray[np.uint8]]
"""Draws clouds side by side under a title: [height, width, 3]."""

BEST_FOLDER = "best"


def train(config: Config, folder: Path, render: Render) -> None:
    """Train the stage that the config names, from the folder's last checkpoint if it has one.

    Args:
        config: of the run.
        folder: the run folder.
        render: draws radar, output and LiDAR at every validation.

    Raises:
        InputError: data, folder or checkpoint can't be used, or a loss is not finite.
        Terminated: SIGTERM was received; a checkpoint was written.
    """
    with use_engine(config.engine):
        session = Session.start(config, folder, render)
        name, hidden = f"train {config.stage}", None if session.leads else True
        total, seen = config.train.samples, session.trainer.seen
        bar = tqdm(total=total, initial=seen, unit="frame", desc=name, disable=hidden)
        with bar, noticing_termination() as termination:
            session.validate_at_start()
            for window in session.windows():
                session.trainer.step(window, session.batches)
                bar.update(window.count)
                session.look_after(window, bar)
                session.leave_if_asked(termination)
        session.finish()


def make_stage(config: Config) -> tuple[Stage, VaeConfig]:
    """The stage that a config names, and the config of its VAE.

    Raises:
        InputError: the VAE's checkpoint can't be used, or its volume is another.
    """
    stage, vae_config = _build_stage(config)
    if config.train.checkpoint_activations:
        checkpoint_activations(stage)
    return stage, vae_config


def _build_stage(config: Config) -> tuple[Stage, VaeConfig]:
    torch.manual_seed(config.seed)
    if isinstance(config, VaeConfig):
        return VaeStage(config), config
    if isinstance(config, FewStepConfig):
        return _build_few_step_stage(config)
    vae, vae_config = load_vae(Path(config.model.vae))
    if vae_config.volume != config.volume:
        raise InputError(
            f"model.vae = {config.model.vae}: its volume is {vae_config.volume}, this config's is"
            f" {config.volume}; they must be equal"
        )
    return EdmStage(config, vae), vae_config


def _build_few_step_stage(config: FewStepConfig) -> tuple[Stage, VaeConfig]:
    teacher = load_run(Path(config.teacher))
    if not isinstance(teacher.config, EdmConfig):
        raise InputError(f"teacher = {config.teacher}: needed is a run of stage 'edm'")
    for name in ("volume", "model", "diffusion"):
        ours, theirs = getattr(config, name), getattr(teacher.config, name)
        if ours != theirs:
            raise InputError(
                f"{name} = {ours}: that of teacher {config.teacher} is {theirs}; they must be equal"
            )
    if isinstance(config, EctConfig):
        return EctStage(config, teacher.network), teacher.vae_config
    return DistillStage(config, teacher.network), teacher.vae_config


def open_splits(config: Config) -> dict[str, PreparedFrames | SimulatedFrames]:
    """The frames to train on, and those to validate on if the config asks for it, by split.

    Raises:
        InputError: the data can't be used.
    """
    data, root = config.data, Path(config.data.root)
    unseen = [data.val_split] if config.train.validation else []
    if data.scenes_seed is None:
        splits = [data.train_split, *unseen]
        return {split: PreparedFrames.open(root, split) for split in splits}
    if data.train_split in unseen:
        raise InputError(
            f"data.val_split = {data.val_split!r}: must differ from data.train_split, whose frames"
            " are simulated by data.scenes_seed"
        )
    scenes = {data.train_split: SimulatedFrames(data.scenes_seed)}
    return scenes | {split: PreparedFrames.open(root, split) for split in unseen}


class Session:
    """One process's part in a run, from start or resumption to the end.

    Attributes:
        trainer: takes the steps.
        batches: what it learns from, part by part.
        leads: whether this process writes for all.
    """

    def __init__(
        self,
        config: Config,
        trainer: Trainer,
        run: RunFolder,
        vae_config: VaeConfig,
        validator: Validator | None,
        batches: Iterator[Batch],
    ) -> None:
        self.config, self.trainer, self.batches = config, trainer, batches
        self._run, self._vae_config, self._validator = run, vae_config, validator
        self.leads = trainer.fabric.is_global_zero
        self._board = Board(run.path, trainer.seen) if self.leads else None

    @staticmethod
    def start(config: Config, folder: Path, render: Render) -> "Session":
        """Claim the folder and take up its last state.

        Raises:
            InputError: data, folder or checkpoint can't be used.
        """
        fabric = start_fabric(config.train.precision)
        frames = open_splits(config)
        stage, vae_config = make_stage(config)
        fingerprints = {split: part.fingerprint for split, part in frames.items()}
        run = _claim(fabric, folder, config, fingerprints)
        trainer = Trainer(stage, config, fabric)
        validator = None
        if config.train.validation:
            best = Best(config.train.validation)
            volume = Volume.from_settings(config.volume)
            unseen = frames[config.data.val_split]
            validator = Validator(unseen, volume, rank_of(fabric), best, render)
        state = load_state(folder)
        if state is not None:
            trainer.restore(state)
            if validator:
                validator.best.restore(state["best"])
        if fabric.is_global_zero:
            run.truncate_records(0 if state is None else trainer.seen + 1)
        samples = TrainingSamples(frames[config.data.train_split], config)
        rest = plan_windows(config, trainer.seen, rank_of(fabric))
        parts = chain.from_iterable(window.parts for window in rest)
        batches = load_parts(samples, parts, config.train.workers)
        return Session(config, trainer, run, vae_config, validator, batches)

    def windows(self) -> Iterator[Window]:
        """What is left of the run, until it ends or no longer improves."""
        rest = plan_windows(self.config, self.trainer.seen, rank_of(self.trainer.fabric))
        for window in rest:
            if self._validator and self._validator.best.is_stale(window.seen):
                return
            yield window

    def validate_at_start(self) -> None:
        """See that validation works, and how a network without training does."""
        if self.trainer.seen == 0:
            self._validate()

    def look_after(self, window: Window, bar: "tqdm[Any]") -> None:
        """Report, validate and save where it is due after a window."""
        settings, seen = self.config.train, self.trainer.seen
        last = seen == settings.samples

        def due(every: int) -> bool:
            return seen // every > window.seen // every

        if due(settings.report_every_samples):
            entry = self.trainer.report()
            entry["peak_memory_gib"] = read_peak_gib(self.trainer.fabric.device)
            self._record(entry)
            bar.set_postfix(loss=f"{entry['total']:.3f}")
        if settings.validation and (last or due(settings.validation.every_samples)):
            self._validate()
        if due(settings.checkpoint_every_samples) and not last:
            self._save()

    def leave_if_asked(self, termination: Termination) -> None:
        """Save and end if SIGTERM was received by any process.

        Raises:
            Terminated: it was.
        """
        asked, fabric = termination.asked, self.trainer.fabric
        if fabric.world_size > 1:
            count = torch.tensor(float(asked), device=fabric.device)
            torch.distributed.all_reduce(count)
            asked = count.item() > 0
        if asked:
            self._save()
            raise Terminated

    def finish(self) -> None:
        """Save, and close what is open."""
        self._save()
        if self._board:
            self._board.close()

    def _validate(self) -> None:
        if not self._validator:
            return
        seen = self.trainer.seen
        stage = self.trainer.averaged_stage
        scores = self._validator.score(stage)
        better = self._validator.best.improves(scores, seen)
        self._record({"samples": float(seen), **{f"val/{k}": v for k, v in scores.items()}})
        if self._board:
            self._board.show_picture("val", self._validator.draw(stage, seen), seen)
        if self.leads and better:
            folder = self._run.path / BEST_FOLDER
            save_model(folder, stage.network, self.config, self._vae_config)

    def _record(self, entry: dict[str, float]) -> None:
        if self._board:
            self._run.record(entry)
            self._board.show_numbers(entry)

    def _save(self) -> None:
        if self.leads:
            state = self.trainer.state()
            state["best"] = self._validator.best.state() if self._validator else {}
            network = self.trainer.averaged_stage.network
            save_model(self._run.path, network, self.config, self._vae_config)
            save_state(self._run.path, state)
        self.trainer.fabric.barrier()


def _claim(
    fabric: Fabric, folder: Path, config: Config, fingerprints: Mapping[str, str]
) -> RunFolder:
    """The run folder, made by the leading process."""
    check_claim(folder, config)
    check_data(folder, fingerprints)
    fabric.barrier()
    if fabric.is_global_zero:
        RunFolder.claim(folder, config, fingerprints)
    fabric.barrier()
    return RunFolder(folder)
