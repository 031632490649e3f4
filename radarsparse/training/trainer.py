"""A stage with everything that changes while it trains."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.profiler import record_function

from radarsparse.config import Config
from radarsparse.data.batch import Batch
from radarsparse.errors import InputError
from radarsparse.models.losses.noise import divide_by_shares
from radarsparse.training.devices import rank_of
from radarsparse.training.loader import Part, Window, window_samples
from radarsparse.training.random import SampleRandom, derive_seed
from radarsparse.training.schedules import rate_share
from radarsparse.training.stages import Stage, TrainingBatch

# Names by which a profile shows the parts of a step.
LOAD, FORWARD, BACKWARD, OPTIMISE = "load", "forward", "backward", "optimise"


class LackOfMemoryError(InputError):
    """A step doesn't fit into a device's memory."""


@contextmanager
def _naming_lack_of_memory(what: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # On the CPU there is no type of its own for it.
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise LackOfMemoryError(
            f"memory doesn't suffice for {what}; take a smaller train.batch_size with a larger"
            " train.accumulate, or train.checkpoint_activations"
        ) from error


class Trainer:
    """Steps of the optimiser, and the moving average of the weights.

    Args:
        stage: what is trained.
        config: of the run.
        fabric: the devices.
    """

    def __init__(self, stage: Stage, config: Config, fabric: Fabric) -> None:
        settings = config.train
        trained = [p for p in stage.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=settings.learning_rate, betas=(0.9, 0.99))
        self.config, self.fabric, self.stage = config, fabric, stage
        self._module, self._stepper = fabric.setup(stage, optimizer)
        self._optimizer = optimizer
        window = window_samples(settings, rank_of(fabric))
        self._schedule = LambdaLR(optimizer, lambda step: rate_share(step * window, settings))
        decay = 0.5 ** (window / settings.ema_samples)
        self.average = AveragedModel(
            stage, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True
        )
        self.seen = 0
        self._sums: dict[str, Tensor] = {}
        self._summed, self._since = 0, time.monotonic()

    @property
    def averaged_stage(self) -> Stage:
        """The stage with the moving average of the weights, for use."""
        return self.average.module  # pyright: ignore[reportReturnType] (a copy of the stage)

    def step(self, window: Window, batches: Iterator[Batch]) -> None:
        """Learn from the samples of a window.

        Args:
            window: this device's parts.
            batches: gives the batch of each part.

        Raises:
            LackOfMemoryError: memory doesn't suffice.
            InputError: a loss isn't finite; nothing is changed.
        """
        self.stage.train()
        for number, part in enumerate(window.parts):
            with self.part(LOAD):
                loaded = next(batches)
                frames, voxels = len(loaded.pairs), len(loaded.lidar.coords)
                what = f"{frames} frames with {voxels:,} voxels"
                with _naming_lack_of_memory(what):
                    batch = loaded.to(self.fabric.device)
            # Of what belongs to no sample, such as dropout; after loading, whose first call draws.
            place = window.seen, self.fabric.global_rank, number
            torch.manual_seed(derive_seed(self.config.seed, 2, *place))
            more = number + 1 < len(window.parts)
            sync = self.fabric.no_backward_sync(self._module, enabled=more)
            with sync, _naming_lack_of_memory(what):
                self._learn(part, batch)
        with self.part(OPTIMISE), _naming_lack_of_memory("the optimiser's step"):
            self.stage.end_window()
            self._update()
        self._summed += 1
        self.seen = window.seen + window.count

    def part(self, name: str) -> AbstractContextManager[object]:
        """Around a part of a step, which a profile shows by this name."""
        return record_function(name)

    def _learn(self, part: Part, batch: Batch) -> None:
        random = SampleRandom(self.config.seed, part.samples, self.fabric.device)
        with self.part(FORWARD):
            terms = self._module(TrainingBatch(batch, random))
        if not torch.isfinite(terms["total"]):
            self._stepper.zero_grad()
            names = ", ".join(pair.name for pair in batch.pairs)
            found = ", ".join(f"{name} {value.item():g}" for name, value in terms.items())
            raise InputError(
                f"the loss is not finite after {self.seen} samples, frames {names}: {found};"
                " a lower train.learning_rate may help"
            )
        with self.part(BACKWARD):
            self.fabric.backward(terms["total"] * part.weight)
        for name, value in terms.items():
            share = value.detach() * (part.weight / self.fabric.world_size)
            self._sums[name] = self._sums.get(name, torch.zeros_like(share)) + share

    def _update(self) -> None:
        limit = self.config.train.gradient_norm_max
        self.fabric.clip_gradients(
            self._module, self._stepper, max_norm=limit, error_if_nonfinite=False
        )
        self._stepper.step()
        self._stepper.zero_grad()
        self._schedule.step()
        self.average.update_parameters(self.stage)

    def report(self) -> dict[str, float]:
        """Means since the last report, over all devices."""
        names = sorted(self._sums)
        sums = torch.stack([self._sums[name].float() for name in names])
        if self.fabric.world_size > 1:
            torch.distributed.all_reduce(sums)
        now = time.monotonic()
        entry = {"samples": float(self.seen), "learning_rate": self._schedule.get_last_lr()[0]}
        means = dict(zip(names, (sums / self._summed).tolist(), strict=True))
        entry |= divide_by_shares(means)
        entry["seconds"] = now - self._since
        self._sums, self._summed, self._since = {}, 0, now
        return entry

    def state(self) -> dict[str, Any]:
        """What resuming needs."""
        return {
            "seen": self.seen,
            "stage": self.stage.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "precision": self.fabric.strategy.precision.state_dict(),
            "sums": self._sums,
            "summed": self._summed,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state, whatever device its run was on."""
        self.seen = state["seen"]
        self.stage.load_state_dict(state["stage"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        device = self.fabric.device
        self._sums = {name: value.to(device) for name, value in state["sums"].items()}
        self._summed = state["summed"]
