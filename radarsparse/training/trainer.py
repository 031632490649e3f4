"""A stage with everything that changes while it trains."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, NoReturn

import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.profiler import record_function

from radarsparse.config import Config
from radarsparse.errors import InputError
from radarsparse.models.losses.by_level import divide_by_shares
from radarsparse.training.average import MovingAverage
from radarsparse.training.devices import rank_of
from radarsparse.training.half import HalfStage
from radarsparse.training.loader import Microbatch, Window, window_samples
from radarsparse.training.random import SampleRandom, derive_seed
from radarsparse.training.schedules import rate_share
from radarsparse.training.stages import Stage, TrainingBatch
from radarsparse.voxels.batch import Batch

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


class _Learnt(NamedTuple):
    """What a part of a window had to say.

    Attributes:
        frames: names of its frames.
        weight: in the window.
        terms: losses by name.
    """

    frames: list[str]
    weight: float
    terms: dict[str, Tensor]


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
        self._scales = settings.precision == "16-mixed"
        # One launch on a GPU; Fabric can't clip what a fused optimiser has yet to unscale.
        self._fused = True if fabric.device.type == "cuda" and not self._scales else None
        optimizer = torch.optim.AdamW(
            trained, lr=settings.learning_rate, betas=(0.9, 0.99), fused=self._fused
        )
        self.config, self.fabric, self.stage = config, fabric, stage
        self._module, self._stepper = fabric.setup(_in_precision(stage, config, fabric), optimizer)
        self._optimizer = optimizer
        window = window_samples(settings, rank_of(fabric))
        self._schedule = LambdaLR(optimizer, lambda step: rate_share(step * window, settings))
        self.average = MovingAverage(stage, decay=0.5 ** (window / settings.ema_samples))
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
            InputError: a loss or a gradient isn't finite; nothing is changed.
        """
        self.stage.train()
        learnt: list[_Learnt] = []
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
                learnt.append(self._learn(part, batch))
        with self.part(OPTIMISE), _naming_lack_of_memory("the optimiser's step"):
            self._update(learnt)
        self.seen = window.seen + window.count

    def part(self, name: str) -> AbstractContextManager[object]:
        """Around a part of a step, which a profile shows by this name."""
        return record_function(name)

    def _learn(self, part: Microbatch, batch: Batch) -> _Learnt:
        random = SampleRandom(self.config.seed, part.samples, self.fabric.device)
        with self.part(FORWARD):
            terms = self._module(TrainingBatch(batch, random))
        with self.part(BACKWARD):
            self.fabric.backward(terms["total"] * part.weight)
        frames = [pair.name for pair in batch.pairs]
        return _Learnt(frames, part.weight, {name: value.detach() for name, value in terms.items()})

    def _update(self, learnt: Sequence[_Learnt]) -> None:
        limit = self.config.train.gradient_norm_max
        norm = self.fabric.clip_gradients(
            self._module, self._stepper, max_norm=limit, error_if_nonfinite=False
        )
        assert norm is not None
        self._refuse_what_is_not_finite(learnt, norm)
        self.stage.end_window()
        self._stepper.step()
        self._stepper.zero_grad()
        self._schedule.step()
        self.average.follow()
        self._sum_up(learnt)

    def _refuse_what_is_not_finite(self, learnt: Sequence[_Learnt], norm: Tensor) -> None:
        """Look at the losses and at the gradient, for which a GPU is waited for once a window."""
        *totals, size = torch.stack([*(part.terms["total"] for part in learnt), norm]).tolist()
        for part, total in zip(learnt, totals, strict=True):
            if not math.isfinite(total):
                found = (f"{name} {value.item():g}" for name, value in part.terms.items())
                self._refuse("loss", part.frames, ", ".join(found))
        # Where gradients are scaled, the scaler leaves out steps of those that overflow.
        if not math.isfinite(size) and not self._scales:
            frames = [name for part in learnt for name in part.frames]
            self._refuse("gradient", frames, f"its norm is {size:g}")

    def _refuse(self, what: str, frames: Sequence[str], found: str) -> NoReturn:
        self._stepper.zero_grad()
        raise InputError(
            f"the {what} is not finite after {self.seen} samples, frames {', '.join(frames)}:"
            f" {found}; a lower train.learning_rate may help"
        )

    def _sum_up(self, learnt: Sequence[_Learnt]) -> None:
        """Add to the sums of which reports are made."""
        for part in learnt:
            shares = torch._foreach_mul(  # pyright: ignore[reportPrivateImportUsage]
                list(part.terms.values()), part.weight / self.fabric.world_size
            )
            if self._sums:
                torch._foreach_add_(  # pyright: ignore[reportPrivateImportUsage]
                    [self._sums[name] for name in part.terms], shares
                )
            else:
                self._sums = dict(zip(part.terms, shares, strict=True))
        self._summed += 1

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
        for group in state["optimizer"]["param_groups"]:
            group["fused"] = self._fused
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.fabric.strategy.precision.load_state_dict(state["precision"])
        device = self.fabric.device
        self._sums = {name: value.to(device) for name, value in state["sums"].items()}
        self._summed = state["summed"]


def _in_precision(stage: Stage, config: Config, fabric: Fabric) -> Stage | HalfStage:
    """What autocast on CUDA runs fastest; convolutions on the CPU stay in single precision."""
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(config.train.precision)
    return stage if dtype is None or fabric.device.type != "cuda" else HalfStage(stage, dtype)
