"""The gradients of one window; torchrun starts this as a script in a test.

Arguments: the config, the file that the leading process writes.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from radarsparse.config import Config, load_config
from radarsparse.training.devices import rank_of, start_fabric
from radarsparse.training.loader import TrainingSamples, load_batches, open_splits, plan_windows
from radarsparse.training.stages import Stage, make_stage
from radarsparse.training.trainer import Trainer
from radarsparse.voxels.batch import Batch


class Gradients(Trainer):
    """Leaves the gradients where they are in place of an update."""

    def _update(self, _: object) -> None:
        self.stage.end_window()


def widen(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Float64, so that rounding doesn't hide what is to be seen."""
    for batch in batches:
        radar, lidar = (x.replace(x.feats.double()) for x in (batch.radar, batch.lidar))
        yield replace(batch, radar=radar, lidar=lidar)


def _stir(stage: Stage) -> Stage:
    """Move every weight, since those that start at zero let no gradient pass."""
    generator = torch.Generator().manual_seed(1)
    for parameter in filter(lambda p: p.requires_grad, stage.parameters()):
        noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        parameter.data += 0.05 * noise
    return stage


def window_gradients(config: Config, fabric: Fabric) -> dict[str, Tensor]:
    """Gradients and buffers after the first window, in float64."""
    frames = open_splits(config)[config.data.train_split]
    trainer = Gradients(_stir(make_stage(config)[0].double()), config, fabric)
    window = next(plan_windows(config, 0, rank_of(fabric)))
    microbatches = chain.from_iterable([window.microbatches])
    trainer.step(window, widen(load_batches(TrainingSamples(frames, config), microbatches, 0)))
    named = trainer.stage.named_parameters()
    gradients = {name: p.grad for name, p in named if p.grad is not None}
    return gradients | {f"buffer {name}": value for name, value in trainer.stage.named_buffers()}


def main() -> None:
    """Write the gradients of a config."""
    config = load_config(Path(sys.argv[1]))
    fabric = start_fabric(config.train.precision)
    found = window_gradients(config, fabric)
    if fabric.is_global_zero:
        torch.save(found, sys.argv[2])


if __name__ == "__main__":
    main()
