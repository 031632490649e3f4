"""Steps of training on the pretended device: every stage in every precision, and what they cost."""

import math
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, get_args

import pytest

from radarsparse.config import Config, PrecisionName
from radarsparse.geometry import Volume
from radarsparse.training.devices import rank_of, start_fabric
from radarsparse.training.loader import TrainingSamples, load_parts, plan_windows
from radarsparse.training.loop import make_stage
from radarsparse.training.trainer import Trainer
from tests.conftest import tiny_config, tiny_pair
from tests.pretended.kernels import pretended_gpu

# Of the second step in float32: launches, waits, copies; they may only fall.
MOST_PER_STEP = {
    "vae": (1152, 19, 11),
    "edm": (1327, 7, 14),
    "ect": (1575, 7, 15),
    "distill": (2110, 7, 15),
}
# Sums run in another order there.
TOLERANCE = 1e-3
PAIRS = [tiny_pair(number) for number in range(4)]

MakeConfig = Callable[[str, str], Config]


@pytest.fixture
def make_config(frames: Path, vae_run: Path, edm_run: Path) -> MakeConfig:
    """A tiny config by stage and precision."""

    def make(stage: str, precision: str) -> Config:
        model: dict[str, Any] = {} if stage == "vae" else {"vae": str(vae_run)}
        teacher = str(edm_run) if stage in ("ect", "distill") else None
        config = tiny_config(frames, stage, teacher, **model)
        train = config.train.model_copy(update={"precision": precision})
        return config.model_copy(update={"train": train})

    return make


def start(config: Config) -> tuple[Trainer, Iterator[None]]:
    """A trainer, and its steps."""
    fabric = start_fabric(config.train.precision)
    trainer = Trainer(make_stage(config)[0], config, fabric)

    def steps() -> Iterator[None]:
        windows = list(plan_windows(config, 0, rank_of(fabric)))
        parts = chain.from_iterable(window.parts for window in windows)
        batches = load_parts(TrainingSamples(PAIRS, config), parts, 0)
        for window in windows:
            trainer.step(window, batches)
            yield

    return trainer, steps()


@pytest.mark.parametrize("stage", list(MOST_PER_STEP))
def test_losses_are_those_of_the_cpu_at_a_bounded_cost(
    make_config: MakeConfig, stage: str, library: Path
) -> None:
    config = make_config(stage, "32")
    expected, steps = start(config)
    list(islice(steps, 2))
    with pretended_gpu(library) as device:
        found, steps = start(config)
        assert found.fabric.device.type == "cuda"
        next(steps)
        device.reset()
        next(steps)
        spent = [counter.total() for counter in (device.launches, device.waits, device.copies)]
        assert all(map(int.__le__, spent, MOST_PER_STEP[stage])), f"{spent}\n{device.show()}"
        ours, theirs = found.report(), expected.report()
    assert ours.keys() == theirs.keys()
    for name in ours.keys() - {"seconds"}:
        assert ours[name] == pytest.approx(theirs[name], rel=TOLERANCE, nan_ok=True), name


@pytest.mark.parametrize("precision", get_args(PrecisionName))
@pytest.mark.parametrize("stage", list(MOST_PER_STEP))
def test_every_stage_learns_and_predicts_in_every_precision(
    make_config: MakeConfig, stage: str, precision: str, library: Path
) -> None:
    config = make_config(stage, precision)
    with pretended_gpu(library):
        trainer, steps = start(config)
        before = [parameter.detach().cpu() for parameter in trainer.stage.parameters()]
        next(steps)
        after = [parameter.detach().cpu() for parameter in trainer.stage.parameters()]
        assert any((a != b).any() for a, b in zip(after, before, strict=True))
        assert all(parameter.isfinite().all() for parameter in after)
        assert math.isfinite(trainer.report()["total"])
        cloud = trainer.averaged_stage.predict(PAIRS[0], Volume.from_settings(config.volume))
    assert cloud.shape[1] == 4
