"""A stage with everything that changes while it trains."""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import chain
from typing import Any, NamedTuple, NoReturn

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from torch.profiler import record_function

from radarsparse.config import Config, TrainSettings
from radarsparse.errors import InputError
from radarsparse.files import count_of
from radarsparse.geometry import Volume
from radarsparse.models.losses.by_level import divide_by_shares
from radarsparse.scan import ScanPair
from radarsparse.training.devices import gather, is_so_anywhere, rank_of, refuse_together
from radarsparse.training.half import HalfStage
from radarsparse.training.loader import Microbatch, Window, window_samples
from radarsparse.training.random import SampleRandom, TrainingBatch, derive_seed
from radarsparse.training.stages import Stage
from radarsparse.voxels.batch import Batch, make_batch

# Names by which a profile shows the parts of a step.
LOAD, FORWARD, BACKWARD, OPTIMISE = "load", "forward", "backward", "optimise"

# Source: Smith and Topin 2018, Super-Convergence: rise over the first part, then anneal to nothing.
_ONE_CYCLE_RISE = 0.3
_ONE_CYCLE_START = 1 / 25


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
    """A microbatch, its frames, the volume they were voxelised in, and losses by name."""

    microbatch: Microbatch
    pairs: Sequence[ScanPair]
    volume: Volume
    terms: dict[str, Tensor]


class MovingAverage(AveragedModel):
    """A copy of a network whose weights and buffers follow in few launches.

    torch's own waits for a GPU at every step; its state is the same. A step keeps the share
    `decay` of the average.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, use_buffers=True)
        self._decay = decay
        self._ours, self._theirs = (
            [tensor.detach() for tensor in chain(module.parameters(), module.buffers())]
            for module in (self.module, network)
        )

    @torch.no_grad()
    def follow(self) -> None:
        """Move towards what the network is now; the first time, all the way."""
        if self.n_averaged == 0:
            torch._foreach_copy_(self._ours, self._theirs)  # pyright: ignore[reportPrivateImportUsage]
        else:
            torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
                self._ours, self._theirs, 1.0 - self._decay
            )
        self.n_averaged += 1


def rate_share(seen: int, settings: TrainSettings) -> float:
    """Share of the full learning rate that a schedule gives after some samples."""
    progress = min(1.0, seen / settings.samples)
    if settings.schedule == "one_cycle":
        if progress >= _ONE_CYCLE_RISE:
            return _fall((progress - _ONE_CYCLE_RISE) / (1.0 - _ONE_CYCLE_RISE))
        risen = 1.0 - _fall(progress / _ONE_CYCLE_RISE)
        return _ONE_CYCLE_START + (1.0 - _ONE_CYCLE_START) * risen
    warmup = min(1.0, (seen + 1) / settings.warmup_samples)
    if settings.schedule == "constant":
        return warmup
    if settings.schedule == "cosine":
        return warmup * _fall(progress)
    return warmup * math.sqrt(settings.warmup_samples / max(seen, settings.warmup_samples))


def _fall(progress: float) -> float:
    """Half a cosine from 1 to 0."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


class Trainer:
    """Steps of the optimiser, and the moving average of the weights.

    Attributes:
        mark: makes what stands around a part of a step, which a profile shows by its name.
    """

    def __init__(self, stage: Stage, config: Config, fabric: Fabric) -> None:
        settings = config.train
        trained = [p for p in stage.parameters() if p.requires_grad]
        self._scales, on_cuda = settings.precision == "16-mixed", fabric.device.type == "cuda"
        # One launch on a GPU; Fabric can't clip what a fused optimiser has yet to unscale.
        self._fused = True if on_cuda and not self._scales else None
        optimizer = torch.optim.AdamW(
            trained, lr=settings.learning_rate, betas=(0.9, 0.99), fused=self._fused
        )
        self.config, self.fabric, self.stage = config, fabric, stage
        # What autocast on CUDA runs fastest; convolutions on the CPU stay in single precision.
        half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(settings.precision)
        module = HalfStage(stage, half) if half and on_cuda else stage
        self._module, self._stepper = fabric.setup(module, optimizer)
        self._optimizer = optimizer
        window = window_samples(settings, rank_of(fabric))
        self._schedule = LambdaLR(optimizer, lambda step: rate_share(step * window, settings))
        self.average = MovingAverage(stage, decay=0.5 ** (window / settings.ema_samples))
        self.mark: Callable[[str], AbstractContextManager[object]] = record_function
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
            window: this device's microbatches.
            batches: gives the batch of each of them.

        Raises:
            LackOfMemoryError: memory doesn't suffice.
            InputError: a loss or a gradient isn't finite; nothing is changed.
        """
        self.stage.train()
        learnt: list[_Learnt] = []
        for number, microbatch in enumerate(window.microbatches):
            with self.mark(LOAD):
                loaded = next(batches)
                frames, voxels = len(loaded.pairs), len(loaded.lidar.coords)
                what = f"{count_of(frames, 'frame')} with {voxels:,} voxels"
                with _naming_lack_of_memory(what):
                    batch = loaded.to(self.fabric.device)
            # Of what belongs to no sample, such as dropout; after loading, whose first call draws.
            place = window.seen, self.fabric.global_rank, number
            torch.manual_seed(derive_seed(self.config.seed, 2, *place))
            more = number + 1 < len(window.microbatches)
            sync = self.fabric.no_backward_sync(self._module, enabled=more)
            with sync, _naming_lack_of_memory(what):
                learnt.append(self._learn(microbatch, batch))
        with self.mark(OPTIMISE), _naming_lack_of_memory("the optimiser's step"):
            self._update(learnt)
        self.seen = window.seen + window.count

    def _learn(self, microbatch: Microbatch, batch: Batch) -> _Learnt:
        random = SampleRandom(self.config.seed, microbatch.samples, self.fabric.device)
        with self.mark(FORWARD):
            terms = self._module(TrainingBatch(batch, random))
        with self.mark(BACKWARD):
            self.fabric.backward(terms["total"] * microbatch.weight)
        terms = {name: value.detach() for name, value in terms.items()}
        return _Learnt(microbatch, batch.pairs, batch.volume, terms)

    def _update(self, learnt: Sequence[_Learnt]) -> None:
        limit = self.config.train.gradient_norm_max
        norm = self.fabric.clip_gradients(
            self._module, self._stepper, max_norm=limit, error_if_nonfinite=False
        )
        assert norm is not None
        # A GPU is waited for here, once a window.
        *totals, size = torch.stack([*(each.terms["total"] for each in learnt), norm]).tolist()
        # Where gradients are scaled, the scaler leaves out steps of those that overflow.
        finite = all(map(math.isfinite, totals)) and (self._scales or math.isfinite(size))
        if is_so_anywhere(not finite, self.fabric):
            self._refuse(learnt)
        self.stage.end_window()
        self._stepper.step()
        self._stepper.zero_grad()
        with warnings.catch_warnings():
            # Where the scaler leaves out the very first step, torch thinks it forgotten.
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
            self._schedule.step()
        self.average.follow()
        self._sum_up(learnt)

    def _refuse(self, learnt: Sequence[_Learnt]) -> NoReturn:
        """End the run before the step, and name the frames whose loss or gradient isn't finite."""
        self._stepper.zero_grad()
        rank = rank_of(self.fabric)
        faults = gather(chain.from_iterable(map(self._faults, learnt)), rank)
        if not faults:  # what each frame has alone is finite, their sum isn't
            names = gather((pair.name for each in learnt for pair in each.pairs), rank)
            faults = [f"frames {', '.join(sorted(set(names)))}: their sum is not finite"]
        found = f"after {count_of(self.seen, 'sample')}: {'; '.join(sorted(set(faults)))}"
        refuse_together(f"{found}; a lower train.learning_rate may help", rank)

    def _faults(self, learnt: _Learnt) -> Iterator[str]:
        """Learn from each frame alone, and say what of it isn't finite."""
        trained = [p for p in self.stage.parameters() if p.requires_grad]
        for sample, pair in zip(learnt.microbatch.samples, learnt.pairs, strict=True):
            rings_deg = self.config.lidar.rings_deg
            batch = make_batch([pair], learnt.volume, rings_deg).to(self.fabric.device)
            random = SampleRandom(self.config.seed, [sample], self.fabric.device)
            with self.fabric.autocast():
                terms = self.stage(TrainingBatch(batch, random))
            # Not by `backward`, at which all processes would have to take part.
            gradients = torch.autograd.grad(terms["total"], trained, allow_unused=True)
            norm = torch.stack([g.norm() for g in gradients if g is not None]).norm()
            if lost := [name for name, value in terms.items() if not value.isfinite()]:
                yield f"frame {pair.name}: the loss is not finite ({', '.join(lost)})"
            elif not norm.isfinite() and not self._scales:
                yield f"frame {pair.name}: the gradient is not finite"

    def _sum_up(self, learnt: Sequence[_Learnt]) -> None:
        """Add to the sums of which reports are made."""
        for each in learnt:
            shares = torch._foreach_mul(  # pyright: ignore[reportPrivateImportUsage]
                list(each.terms.values()), each.microbatch.weight / self.fabric.world_size
            )
            if self._sums:
                torch._foreach_add_(  # pyright: ignore[reportPrivateImportUsage]
                    [self._sums[name] for name in each.terms], shares
                )
            else:
                self._sums = dict(zip(each.terms, shares, strict=True))
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
