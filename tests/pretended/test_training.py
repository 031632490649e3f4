"""Steps of training on the pretended device: every stage in every precision, and what they cost."""

import copy
import math
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from radarsparse.config import Config, LidarSettings, PrecisionName
from radarsparse.geometry import Volume
from radarsparse.training.devices import rank_of, start_fabric
from radarsparse.training.half import HalfStage
from radarsparse.training.loader import TrainingSamples, load_batches, plan_windows
from radarsparse.training.loop import make_stage
from radarsparse.training.random import SampleRandom
from radarsparse.training.stages import TrainingBatch
from radarsparse.training.trainer import Trainer
from radarsparse.voxels.batch import make_batch
from tests.conftest import tiny_config, tiny_pair
from tests.pretended.kernels import pretended_gpu

# Of the second step in float32: launches, waits, copies; they may only fall.
MOST_PER_STEP = {
    "vae": (1076, 19, 10),
    "edm": (964, 7, 14),
    "ect": (1138, 7, 17),
    "distill": (1538, 7, 19),
}
# Of the second step in bfloat16.
LAUNCHES_IN_HALF_MOST = {"vae": 1207, "edm": 1118, "ect": 1341, "distill": 1859}
# Sums run in another order there.
TOLERANCE = 1e-3
LIDAR = LidarSettings(rings_deg=(-12.0, -5.0, 3.0))
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
        return config.model_copy(update={"train": train, "lidar": LIDAR})

    return make


def start(config: Config, state: dict[str, Any] | None = None) -> tuple[Trainer, Iterator[None]]:
    """A trainer, from a state where there is one, and its steps."""
    fabric = start_fabric(config.train.precision)
    trainer = Trainer(make_stage(config)[0], config, fabric)
    if state is not None:
        trainer.restore(state)

    def steps() -> Iterator[None]:
        windows = list(plan_windows(config, trainer.seen, rank_of(fabric)))
        microbatches = chain.from_iterable(window.microbatches for window in windows)
        batches = load_batches(TrainingSamples(PAIRS, config), microbatches, 0)
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


def test_a_run_goes_on_on_another_device_with_the_optimiser_of_that_one(
    make_config: MakeConfig, library: Path
) -> None:
    config = make_config("edm", "32")
    expected, steps = start(config)
    next(steps)
    state = copy.deepcopy(expected.state())
    next(steps)
    with pretended_gpu(library) as device:
        found, steps = start(config, state)
        device.reset()
        next(steps)
        assert sum("_fused_adamw_" in place for place in device.launches.elements()) == 1
        groups = found.state()["optimizer"]["param_groups"]
        ours, theirs = found.report(), expected.report()
    assert ours["total"] == pytest.approx(theirs["total"], rel=TOLERANCE)
    state = expected.state()
    state["optimizer"]["param_groups"] = groups
    back, steps = start(config, copy.deepcopy(state))
    next(steps)
    next_one = start(config, expected.state())
    next(next_one[1])
    assert back.report()["total"] == next_one[0].report()["total"]


@pytest.mark.parametrize("precision", get_args(PrecisionName))
@pytest.mark.parametrize("stage", list(MOST_PER_STEP))
def test_every_stage_learns_and_predicts_in_every_precision(
    make_config: MakeConfig, stage: str, precision: str, library: Path
) -> None:
    config = make_config(stage, precision)
    with pretended_gpu(library) as device:
        trainer, steps = start(config)
        before = [parameter.detach().cpu() for parameter in trainer.stage.parameters()]
        next(steps)
        device.reset()
        next(steps)
        if precision == "bf16-mixed":
            assert device.launches.total() <= LAUNCHES_IN_HALF_MOST[stage], device.show()
        after = [parameter.detach().cpu() for parameter in trainer.stage.parameters()]
        assert any((a != b).any() for a, b in zip(after, before, strict=True))
        assert all(parameter.isfinite().all() for parameter in after)
        assert math.isfinite(trainer.report()["total"])
        cloud = trainer.averaged_stage.predict(PAIRS[0])
    assert cloud.shape[1] == 4


@pytest.mark.parametrize("checkpointed", [False, True])
@pytest.mark.parametrize("stage", list(MOST_PER_STEP))
def test_weights_cast_together_learn_what_autocast_alone_learns(
    make_config: MakeConfig, stage: str, checkpointed: bool, library: Path
) -> None:
    config, cuda = make_config(stage, "bf16-mixed"), torch.device("cuda")
    train = config.train.model_copy(update={"checkpoint_activations": checkpointed})
    config = config.model_copy(update={"train": train})
    batch, found = make_batch(PAIRS, Volume.from_settings(config.volume)), []
    with pretended_gpu(library):
        for in_half in (False, True):
            plain = make_stage(config)[0].to(cuda)
            run = HalfStage(plain, torch.bfloat16) if in_half else plain
            training = TrainingBatch(batch.to(cuda), SampleRandom(0, range(len(PAIRS)), cuda))
            torch.manual_seed(0)
            with torch.autocast("cuda", torch.bfloat16):
                terms = run(training)
            terms["total"].backward()
            gradients = {
                name: p.grad.cpu() for name, p in plain.named_parameters() if p.grad is not None
            }
            found.append(({name: value.item() for name, value in terms.items()}, gradients))
    (expected_terms, expected), (terms, gradients) = found
    assert terms == expected_terms
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        # A weight that is used twice has its gradients added in half precision.
        torch.testing.assert_close(gradient, expected[name], rtol=0.02, atol=1e-4, msg=name)
