import math
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from radarsparse.errors import InputError
from radarsparse.training.loop import make_stage
from radarsparse.training.planning.memory import (
    GIB,
    StepProbe,
    find_batch_size,
    largest_that_fits,
    peak_bytes,
)
from radarsparse.training.stages import VaeStage
from radarsparse.voxels.scene import lattice
from tests.conftest import tiny_config, tiny_pair

ROOT = Path(__file__).parents[2]


def _probe(config, **train):
    config = config.model_copy(update={"train": config.train.model_copy(update=train)})
    return StepProbe(make_stage(config)[0], config)


def test_peak_is_the_most_that_was_held_at_once():
    kept = []

    def call():
        kept.append(torch.empty(1000, 1000))  # 4 MB that stay
        torch.empty(2000, 1000)  # 8 MB that go again
        kept.append(torch.empty(1000, 1000))

    assert peak_bytes(call) == 12_000_000


def test_the_peak_is_found_without_a_profiler_of_cycles(monkeypatch):
    def warn(_):
        raise UserWarning  # as torch 2.10 and 2.11 do, whether there are cycles or not

    monkeypatch.setattr(torch.profiler.profile, "prepare_trace", warn)
    assert peak_bytes(lambda: torch.empty(1000)) == 4000


def test_the_monitor_sees_what_the_process_takes():
    # In a process of its own: this one may hold freed memory that is taken without a trace.
    code = (
        "import torch; from radarsparse.training.planning.memory import read_peak_gib as read\n"
        "cpu = torch.device('cpu'); before = read(cpu)\n"
        "taken = torch.ones(2**28); during = read(cpu); del taken\n"
        "print(during - before, read(cpu) - before)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    # What was loaded before may have needed more for a moment.
    during, after = map(float, result.stdout.split())
    assert 0.5 < during < 1.1
    # The system counts pages in bundles.
    assert after == pytest.approx(during, abs=0.01)


@pytest.mark.parametrize(("accumulate", "checkpointing"), [(1, False), (3, True)])
def test_the_estimate_holds_for_larger_batches(frames, accumulate, checkpointing):
    config = tiny_config(frames, "vae", channels=[24, 48, 64, 96])
    train = {"accumulate": accumulate, "checkpoint_activations": checkpointing}
    probe = _probe(config, batch_size=6, **train)
    estimate = probe.estimate(tiny_pair(0))
    # Buffers of convolutions over few voxels don't grow along a line.
    measured = probe.peak([tiny_pair(0)] * 6)
    assert estimate.peak(6) == pytest.approx(measured, rel=0.1)


def test_an_estimate_names_what_is_held_between_steps(frames, vae_run):
    config = tiny_config(frames, "edm", vae=str(vae_run))
    stage, _ = make_stage(config)
    estimate = StepProbe(stage, config).estimate(tiny_pair(0))
    trained = 4 * sum(p.numel() for p in stage.network.denoiser.parameters())
    frozen = 4 * sum(p.numel() for p in stage.network.vae.parameters())
    frozen += sum(buffer.nbytes for buffer in stage.network.vae.buffers())
    assert (estimate.weights, estimate.moments) == (trained + frozen, 2 * trained)
    assert estimate.per_frame > 0


def test_steps_of_a_probe_with_more_parts_need_room_for_gradients(frames):
    # Wide, so that gradients are most of what a step adds.
    config = tiny_config(frames, "vae", channels=[8, 8, 8, 128])
    peaks = [_probe(config, accumulate=n).peak([tiny_pair(0)]) for n in (1, 2, 4)]
    assert peaks[0] < peaks[1] == peaks[2]


@given(limit=st.integers(0, 300), most=st.integers(1, 200))
def test_the_search_ends_on_the_largest_size_that_fits(limit, most):
    asked = []

    def fits(size):
        asked.append(size)
        return size <= limit

    assert largest_that_fits(fits, most) == min(limit, most)
    assert all(1 <= size <= most for size in asked)
    assert len(asked) == len(set(asked)) <= 2 * math.log2(most) + 2


def test_the_batch_that_is_found_fits_and_the_next_one_does_not(frames):
    probe = _probe(tiny_config(frames, "vae"))
    pairs = [tiny_pair(0), tiny_pair(1)]
    budget = (probe.peak([*pairs, *pairs, pairs[0]]) + probe.peak([*pairs] * 3)) / 2
    size, peak = find_batch_size(probe, pairs, 100, budget / GIB)
    assert size == 5
    assert peak <= budget < probe.peak([*pairs] * 3)
    assert find_batch_size(probe, pairs, 3, budget / GIB)[0] == 3


def test_a_budget_that_nothing_fits_is_refused(frames):
    probe = _probe(tiny_config(frames, "vae"))
    with pytest.raises(InputError, match=r"one frame needs .* GiB, there are 1e-06"):
        find_batch_size(probe, [tiny_pair(0)], 4, 1e-6)
    with pytest.raises(InputError, match="on the CPU it needs --memory-gib"):
        find_batch_size(probe, [tiny_pair(0)], 4, None)


class _Hungry(VaeStage):
    """Asks the allocator for more than there is if there are too many frames."""

    def __init__(self, config, frames_most):
        super().__init__(config)
        self.frames_most, self.held = frames_most, []

    def forward(self, training):
        assert [held() for held in self.held] == [None] * len(self.held)
        activations = torch.ones(10)
        cycle = [activations]
        cycle.append(cycle)  # as networks and what they recompute leave some
        self.held.append(weakref.ref(activations))
        if len(training.frames.pairs) > self.frames_most:
            torch.empty(2**50)
        return super().forward(training)


@pytest.mark.parametrize(("budget_gib", "most", "size"), [(50.0, 11, 3), (50.0, 2, 2)])
def test_lack_of_memory_ends_the_search_and_leaves_nothing(frames, budget_gib, most, size):
    config = tiny_config(frames, "vae")
    stage = _Hungry(config, 3)
    found, peak = find_batch_size(StepProbe(stage, config), [tiny_pair(0)], most, budget_gib)
    assert found == size
    assert 0 < peak < GIB
    assert not any(p.grad is not None for p in stage.parameters())


def test_a_device_too_small_for_one_frame_is_refused(frames):
    config = tiny_config(frames, "vae")
    probe = StepProbe(_Hungry(config, 0), config)
    with pytest.raises(InputError, match="one frame doesn't fit into the memory of cpu; take"):
        find_batch_size(probe, [tiny_pair(0)], 100, 50.0)


def test_every_batch_pays_for_its_lattice_whatever_was_tried_before(frames):
    probe = _probe(tiny_config(frames, "vae"))
    lattice.cache_clear()
    peaks = [probe.peak([tiny_pair(0)] * size) for size in (2, 1, 2)]
    assert peaks[0] == peaks[2]
