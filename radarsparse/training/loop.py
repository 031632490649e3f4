"""The training loop: plain Python, lengths in samples, resumable, deterministic."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from radarsparse.config import Config, TrainSettings, VaeConfig
from radarsparse.data.augment import augment
from radarsparse.data.batch import make_batch
from radarsparse.data.prepared import PreparedFrames
from radarsparse.data.scan import ScanPair
from radarsparse.errors import InputError
from radarsparse.geometry import Volume
from radarsparse.sparse import use_engine
from radarsparse.training.checkpoint import load_state, load_vae, save_model, save_state
from radarsparse.training.record import RunFolder, check_claim
from radarsparse.training.stages import EdmStage, Stage, VaeStage


def train(config: Config, folder: Path) -> None:
    """Train the stage that the config names, from the folder's last checkpoint if it has one.

    Raises:
        InputError: data, folder or checkpoint can't be used.
        RuntimeError: a loss is not finite.
    """
    torch.manual_seed(config.seed)
    frames = PreparedFrames.open(Path(config.data.root), config.data.train_split)
    stage, vae_config = make_stage(config)
    run = RunFolder.claim(folder, config)
    trainer = _Trainer.start(stage, config.train)
    trainer.resume(run)
    total = config.train.samples
    name = f"train {config.stage}"
    bar = tqdm(total=total, initial=trainer.seen, unit="frame", desc=name, disable=None)
    with use_engine(config.engine), bar:
        while trainer.seen < total:
            pairs = draw_pairs(frames, config, trainer.seen)
            torch.manual_seed(_step_seed(config.seed, trainer.seen))
            trainer.step(pairs)
            bar.update(len(pairs))
            if trainer.due(config.train.report_every_samples):
                entry = trainer.report()
                run.record(entry)
                bar.set_postfix(loss=f"{entry['total']:.3f}")
            if trainer.due(config.train.checkpoint_every_samples) and trainer.seen < total:
                save_model(run.path, trainer.averaged_network(), config, vae_config)
                save_state(run.path, trainer.state())
    save_model(run.path, trainer.averaged_network(), config, vae_config)
    save_state(run.path, trainer.state())


def check(config: Config, folder: Path) -> str:
    """Check data, folder and VAE without writing anything, and say what would be trained.

    Raises:
        InputError: data, folder or checkpoint can't be used.
    """
    frames = PreparedFrames.open(Path(config.data.root), config.data.train_split)
    stage, _ = make_stage(config)
    check_claim(folder, config)
    trained = sum(p.numel() for p in stage.network.parameters() if p.requires_grad)
    return (
        f"would train {trained:,} parameters on {len(frames)} frames for"
        f" {config.train.samples:,} samples into {folder}"
    )


def make_stage(config: Config) -> tuple[Stage, VaeConfig]:
    """The stage that a config names, and the config of its VAE.

    Raises:
        InputError: the VAE's checkpoint can't be used, or its volume is another.
    """
    if isinstance(config, VaeConfig):
        return VaeStage(config), config
    vae, vae_config = load_vae(Path(config.model.vae))
    if vae_config.volume != config.volume:
        raise InputError(
            f"model.vae = {config.model.vae}: its volume is {vae_config.volume}, this config's is"
            f" {config.volume}; they must be equal"
        )
    return EdmStage(config, vae), vae_config


def draw_pairs(frames: Sequence[ScanPair], config: Config, seen: int) -> list[ScanPair]:
    """The next training pairs, augmented; a pure function of the seed and the samples seen."""
    count = min(config.train.batch_size, config.train.samples - seen)
    volume = Volume.from_settings(config.volume)
    pairs = []
    for sample in range(seen, seen + count):
        epoch, position = divmod(sample, len(frames))
        order = np.random.default_rng([config.seed, 0, epoch]).permutation(len(frames))
        random = np.random.default_rng([config.seed, 1, sample])
        frame = frames[int(order[position])]
        pairs.append(augment(frame, config.data.augment, volume, random))
    return pairs


@dataclass
class _Trainer:
    """A network with everything that changes while it trains."""

    stage: Stage
    settings: TrainSettings
    optimizer: torch.optim.Optimizer
    schedule: LambdaLR
    average: AveragedModel
    seen: int
    last_step: int
    sums: dict[str, float]
    steps: int
    started: float

    @staticmethod
    def start(stage: Stage, settings: TrainSettings) -> "_Trainer":
        trained = [p for p in stage.network.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, betas=(0.9, 0.99))
        decay = 0.5 ** (settings.batch_size / settings.ema_samples)
        average = AveragedModel(
            stage.network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True
        )
        schedule = LambdaLR(optimizer, lambda step: _rate(step * settings.batch_size, settings))
        now = time.monotonic()
        return _Trainer(stage, settings, optimizer, schedule, average, 0, 0, {}, 0, now)

    def step(self, pairs: Sequence[ScanPair]) -> None:
        self.stage.network.train()
        terms = self.stage.losses(make_batch(pairs, self.stage.volume))
        if not torch.isfinite(terms["total"]):
            names = ", ".join(pair.name for pair in pairs)
            raise RuntimeError(f"loss is not finite after {self.seen} samples, frames {names}")
        self.optimizer.zero_grad()
        terms["total"].backward()
        nn.utils.clip_grad_norm_(self.stage.network.parameters(), self.settings.gradient_norm_max)
        self.optimizer.step()
        self.schedule.step()
        self.average.update_parameters(self.stage.network)
        self._add(terms)
        self.last_step = len(pairs)
        self.seen += len(pairs)

    def due(self, every: int) -> bool:
        """Whether the last step passed a multiple of `every` samples."""
        return self.seen // every > (self.seen - self.last_step) // every

    def report(self) -> dict[str, float]:
        """Means since the last report."""
        now = time.monotonic()
        entry = {"samples": float(self.seen), "learning_rate": self.schedule.get_last_lr()[0]}
        entry |= {name: value / self.steps for name, value in self.sums.items()}
        entry["seconds"] = now - self.started
        self.sums, self.steps, self.started = {}, 0, now
        return entry

    def averaged_network(self) -> nn.Module:
        return self.average.module

    def state(self) -> dict[str, Any]:
        return {
            "seen": self.seen,
            "network": self.stage.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def resume(self, run: RunFolder) -> None:
        state = load_state(run.path)
        if state is None:
            return
        self.seen = state["seen"]
        self.stage.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        run.truncate_records(self.seen)

    def _add(self, terms: dict[str, Tensor]) -> None:
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.item()
        self.steps += 1


def _rate(seen: int, settings: TrainSettings) -> float:
    """Share of the full learning rate: linear warm-up, then a cosine down to nothing."""
    warmup = min(1.0, (seen + 1) / settings.warmup_samples)
    progress = min(1.0, seen / settings.samples)
    return warmup * 0.5 * (1.0 + math.cos(math.pi * progress))


def _step_seed(seed: int, seen: int) -> int:
    return int(np.random.SeedSequence([seed, 2, seen]).generate_state(1)[0])
