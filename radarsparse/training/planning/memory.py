"""How much memory a training step needs, and the largest batch that fits."""

import gc
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

# Not that of torch.profiler, which warns of cycles in some versions.
from torch.autograd.profiler import profile

from radarsparse.config import Config
from radarsparse.errors import InputError
from radarsparse.geometry import Volume
from radarsparse.scan import ScanPair
from radarsparse.training.devices import start_fabric
from radarsparse.training.loader import Microbatch, Window
from radarsparse.training.stages import Stage
from radarsparse.training.trainer import LackOfMemoryError, Trainer
from radarsparse.voxels.batch import make_batch
from radarsparse.voxels.scene import lattice

GIB = 2**30
_CPU = torch.device("cpu")


def peak_bytes(call: Callable[[], object], device: torch.device = _CPU) -> int:
    """Most memory that torch held on a device during a call above what it held before."""
    _collect_garbage()
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return torch.cuda.max_memory_allocated(device) - before
    recorded: Any = profile(profile_memory=True)  # its events' type lacks their size
    with recorded:
        call()
    events = [e for e in recorded.kineto_results.events() if e.name() == "[memory]"]
    held = accumulate(e.nbytes() for e in sorted(events, key=lambda e: e.start_ns()))
    return max(held, default=0)


def _collect_garbage() -> None:
    """Free what nobody can use: networks lie in reference cycles, and so may failed steps."""
    gc.collect()
    torch.cuda.empty_cache()


def read_peak_gib(device: torch.device) -> float:
    """Most memory in use so far, cheap enough to be read at every report.

    Returns:
        On CUDA what torch held since the last call, on the CPU what the process held since it
        began.
    """
    if device.type != "cuda":
        # Not getrusage: its peak may be that of the process which started this one.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / GIB
    peak = torch.cuda.max_memory_allocated(device) / GIB
    torch.cuda.reset_peak_memory_stats(device)
    return peak


class MemoryEstimate(NamedTuple):
    """What a training step needs on one device, in bytes.

    Attributes:
        weights: of the network, buffers too; their moving average takes as much.
        moments: of the optimiser.
        fixed: what a step adds, whatever the batch; together with `per_frame` it holds activations,
            plans and gradients.
        per_frame: what each frame of a batch adds.
    """

    weights: int
    moments: int
    fixed: int
    per_frame: int

    def peak(self, batch_size: int) -> int:
        """Most bytes that torch holds during a step with that many frames in a batch."""
        return 2 * self.weights + self.moments + self.fixed + batch_size * self.per_frame


class StepProbe:
    """Takes real training steps that are thrown away, and says how much memory they need.

    The stage is trained, so it must not be used otherwise.
    """

    def __init__(self, stage: Stage, config: Config) -> None:
        self._trainer = Trainer(stage, config, start_fabric(config.train.precision))
        self.device, self._volume = self._trainer.fabric.device, Volume.from_settings(config.volume)
        # All microbatches after the second find memory as the second does.
        self._accumulate = min(config.train.accumulate, 2)

    def peak(self, pairs: Sequence[ScanPair]) -> int:
        """Most bytes that torch holds during a step whose every batch is made of these pairs.

        Raises:
            LackOfMemoryError: they don't fit.
        """
        if not self._trainer.seen:
            self._step(pairs[:1])  # makes the optimiser's moments
        lattice.cache_clear()  # a run's batches share one lattice, whatever sizes were tried before
        held = held_bytes(self._trainer)
        return held + peak_bytes(lambda: self._step(pairs), self.device)

    def estimate(self, pair: ScanPair) -> MemoryEstimate:
        """Measure steps with 2 and with 4 frames like this one; others follow a line.

        A run whose batches have 1 or 2 frames is measured with those.
        """
        few = 1 if self._trainer.config.train.batch_size <= 2 else 2
        smaller, larger = self.peak([pair] * few), self.peak([pair] * (2 * few))
        per_frame, stage = (larger - smaller) // few, self._trainer.stage
        weights = _bytes(stage.state_dict().values())
        moments = 2 * _bytes(p for p in stage.parameters() if p.requires_grad)
        fixed = smaller - few * per_frame - 2 * weights - moments
        return MemoryEstimate(weights, moments, fixed, per_frame)

    def _step(self, pairs: Sequence[ScanPair]) -> None:
        trainer = self._trainer
        count = len(pairs) * self._accumulate
        samples = tuple(range(len(pairs)))
        microbatch = Microbatch(samples, self._volume.voxel_size_m, 1.0 / self._accumulate)
        rings_deg = trainer.config.lidar.rings_deg
        try:
            # Each made anew, so that its plans are, too.
            batches = (make_batch(pairs, self._volume, rings_deg) for _ in range(self._accumulate))
            trainer.step(Window(trainer.seen, count, (microbatch,) * self._accumulate), batches)
            trainer.report()  # forgets the step's losses
        finally:
            trainer.stage.zero_grad()


def held_bytes(trainer: Trainer) -> int:
    """What torch holds between steps: weights, moments, moving average; on CUDA all there is."""
    if trainer.fabric.device.type == "cuda":
        _collect_garbage()
        return torch.cuda.memory_allocated(trainer.fabric.device)
    state = trainer.state()
    moments = chain.from_iterable(each.values() for each in state["optimizer"]["state"].values())
    return _bytes([*state["stage"].values(), *state["average"].values(), *moments])


def find_batch_size(
    probe: StepProbe, pairs: Sequence[ScanPair], most: int, budget_gib: float | None
) -> tuple[int, int]:
    """The largest batch that fits, by real steps.

    Args:
        probe: takes the steps.
        pairs: what batches are made of, the ones with most voxels first; used over and over.
        most: size at which the search ends.
        budget_gib: memory that a step may need; without it, what a CUDA device has.

    Returns:
        The size, and the peak of its step in bytes.

    Raises:
        InputError: not even one frame fits, or the CPU was given no budget.
    """
    if budget_gib is None and probe.device.type != "cuda":
        raise InputError("--find-batch-size: on the CPU it needs --memory-gib")
    budget = math.inf if budget_gib is None else budget_gib * GIB
    peaks: dict[int, float] = {}

    def fits(size: int) -> bool:
        batch = [pairs[number % len(pairs)] for number in range(size)]
        try:
            peaks[size] = probe.peak(batch)
        except LackOfMemoryError:
            return False
        return peaks[size] <= budget

    size = largest_that_fits(fits, most)
    if size == 0:
        fault = f"doesn't fit into the memory of {probe.device}"
        if peaks:
            fault = f"needs {peaks[1] / GIB:.3g} GiB, there are {budget / GIB:.3g}"
        raise InputError(
            f"one frame {fault}; take train.checkpoint_activations = true, fewer channels or a"
            " coarser volume.voxel_size_m"
        )
    return size, int(peaks[size])


def largest_that_fits(fits: Callable[[int], bool], most: int) -> int:
    """The largest of 1 .. `most` that fits, 0 if none does; what fits must fit when smaller, too.

    Sizes are doubled until one is too large; bisection finds the last that isn't.
    """
    low, size = 0, 1
    while size <= most and fits(size):
        low, size = size, 2 * size
    between = range(low + 1, min(size, most + 1))
    return low + bisect_left(between, True, key=lambda size: not fits(size))


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
