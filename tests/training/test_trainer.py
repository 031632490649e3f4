from itertools import chain
from pathlib import Path

import pytest
import torch
from torch import Tensor

from radarsparse.data.prepared import PreparedFrames
from radarsparse.errors import InputError
from radarsparse.training.devices import start_fabric
from radarsparse.training.loader import Rank, TrainingSamples, load_parts, plan_windows
from radarsparse.training.stages import TrainingBatch, VaeStage
from radarsparse.training.trainer import Trainer
from tests.conftest import tiny_config


class Greedy(VaeStage):
    """Asks the allocator for more than there is."""

    def forward(self, training: TrainingBatch) -> dict[str, Tensor]:
        return {"total": torch.empty(2**50)}


def test_what_does_not_fit_into_memory_is_told_with_a_way_out(frames: Path) -> None:
    config = tiny_config(frames, "vae")
    window = next(plan_windows(config, 0, Rank()))
    samples = TrainingSamples(PreparedFrames.open(frames, "train"), config)
    batches = load_parts(samples, chain(window.parts), 0)
    trainer = Trainer(Greedy(config), config, start_fabric("32"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"2 frames with \d+ voxels don't fit into memory; take"):
        trainer.step(window, batches)


def test_bfloat16_learns_what_float32_learns(frames: Path) -> None:
    losses = {}
    for precision in ("32", "bf16-mixed"):
        config = tiny_config(frames, "vae")
        train = config.train.model_copy(update={"precision": precision, "learning_rate": 1e-2})
        config = config.model_copy(update={"train": train})
        torch.manual_seed(0)
        trainer = Trainer(VaeStage(config), config, start_fabric(precision))
        samples = TrainingSamples(PreparedFrames.open(frames, "train"), config)
        windows = list(plan_windows(config, 0, Rank()))
        batches = load_parts(samples, chain.from_iterable(w.parts for w in windows), 0)
        totals = []
        for window in windows:
            trainer.step(window, batches)
            totals.append(trainer.report()["total"])
        losses[precision] = totals
    # A bfloat16 has 8 bits: each of some ten layers adds a few thousandths.
    assert losses["bf16-mixed"] == pytest.approx(losses["32"], rel=0.05)
    assert losses["bf16-mixed"] != losses["32"]
