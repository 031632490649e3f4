"""A step that one process can't take; torchrun starts this as a script in a test.

Argument: what isn't finite, for the sample of the second process alone.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from radarsparse.cli import Command, run
from radarsparse.training.devices import rank_of, start_fabric
from radarsparse.training.loader import TrainingSamples, load_batches, plan_windows
from radarsparse.training.stages import TrainingBatch, VaeStage
from radarsparse.training.trainer import Trainer
from tests.conftest import tiny_config, tiny_pair

PAIRS = [tiny_pair(number) for number in range(2)]


class Spoilt(VaeStage):
    """Learns nothing from frame 000001."""

    def forward(self, training: TrainingBatch) -> dict[str, Tensor]:
        terms = super().forward(training)
        if "000001" in [pair.name for pair in training.frames.pairs]:
            # A loss that is infinite may have a finite gradient, and the other way round.
            more = torch.inf if sys.argv[1] == "loss" else (0.0 * terms["total"]).sqrt()
            terms["total"] = terms["total"] + more
        return terms


def step(_: argparse.Namespace) -> Mapping[str, Any]:
    """Take one step with one frame for each process."""
    config, fabric = tiny_config(Path(), "vae"), start_fabric("32")
    train = config.train.model_copy(update={"batch_size": 1})
    config = config.model_copy(update={"train": train})
    trainer = Trainer(Spoilt(config), config, fabric)  # pyright: ignore[reportArgumentType]
    window = next(plan_windows(config, 0, rank_of(fabric)))
    trainer.step(window, load_batches(TrainingSamples(PAIRS, config), iter(window.microbatches), 0))
    return {}


if __name__ == "__main__":
    run(Command("step", "", "", lambda _: None, step), [])
