import copy
from itertools import chain, islice
from pathlib import Path

import pytest
import torch
from torch import Tensor

from radarsparse.config import validate_config
from radarsparse.errors import InputError
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.training.devices import Rank, start_fabric
from radarsparse.training.loader import TrainingSamples, load_batches, plan_windows
from radarsparse.training.random import SampleRandom
from radarsparse.training.stages import TrainingBatch, VaeStage, make_stage
from radarsparse.training.trainer import LackOfMemoryError, Trainer
from radarsparse.voxels.batch import Batch
from tests.conftest import tiny_config, tiny_pair


class Cliff(VaeStage):
    """Its loss is finite; where it is steep, its gradient isn't."""

    steep = False

    def forward(self, training: TrainingBatch) -> dict[str, Tensor]:
        terms = super().forward(training)
        more = (0.0 * terms["total"]).sqrt() if self.steep else 0.0
        return {**terms, "total": terms["total"] + more}


class Greedy(VaeStage):
    """Asks the allocator for more than there is."""

    def forward(self, training: TrainingBatch) -> dict[str, Tensor]:
        return {"total": torch.empty(2**50)}


def test_what_does_not_fit_into_memory_is_told_with_a_way_out(frames: Path) -> None:
    config = tiny_config(frames, "vae")
    window = next(plan_windows(config, 0, Rank()))
    samples = TrainingSamples(PreparedFrames.open(frames, "train"), config)
    batches = load_batches(samples, chain(window.microbatches), 0)
    trainer = Trainer(Greedy(config), config, start_fabric("32"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(LackOfMemoryError, match=r"memory .+ for 2 frames with \d+ voxels; take"):
        trainer.step(window, batches)


@pytest.mark.parametrize("place", ["to", "_update"])
def test_lack_of_memory_is_told_wherever_it_shows(
    frames: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError

    config = tiny_config(frames, "vae")
    window = next(plan_windows(config, 0, Rank()))
    samples = TrainingSamples(PreparedFrames.open(frames, "train"), config)
    trainer = Trainer(VaeStage(config), config, start_fabric("32"))  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(Batch if place == "to" else Trainer, place, fail)
    with pytest.raises(LackOfMemoryError, match="memory doesn't suffice for"):
        trainer.step(window, load_batches(samples, chain(window.microbatches), 0))


def test_sums_of_a_run_on_another_device_come_to_this_one(
    frames: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(frames, "vae")
    trainer = Trainer(VaeStage(config), config, start_fabric("32"))  # pyright: ignore[reportArgumentType]
    state = trainer.state() | {"sums": {"total": torch.tensor(2.0)}, "summed": 1}
    device = property(lambda _: torch.device("meta"))
    monkeypatch.setattr(type(trainer.fabric), "device", device)
    trainer.restore(state)
    assert trainer.state()["sums"]["total"].is_meta


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
        batches = load_batches(samples, chain.from_iterable(w.microbatches for w in windows), 0)
        totals = []
        for window in windows:
            trainer.step(window, batches)
            totals.append(trainer.report()["total"])
        losses[precision] = totals
    # A bfloat16 has 8 bits: each of some ten layers adds a few thousandths.
    assert losses["bf16-mixed"] == pytest.approx(losses["32"], rel=0.05)
    assert losses["bf16-mixed"] != losses["32"]


def test_a_gradient_that_is_not_finite_stops_before_the_step(frames: Path) -> None:
    config = tiny_config(frames, "vae")
    update = {"batch_size": 1, "accumulate": 2}
    config = config.model_copy(update={"train": config.train.model_copy(update=update)})
    stage = Cliff(config)  # pyright: ignore[reportArgumentType]
    trainer = Trainer(stage, config, start_fabric("32"))
    first, second = islice(plan_windows(config, 0, Rank()), 2)
    samples = TrainingSamples(PreparedFrames.open(frames, "train"), config)
    batches = load_batches(samples, chain(first.microbatches, second.microbatches), 0)
    trainer.step(first, batches)
    before, stage.steep = copy.deepcopy(trainer.state()), True
    words = r"after 2 samples: (frame \d{6}: the gradient is not finite; ){2}a lower train"
    with pytest.raises(InputError, match=words):
        trainer.step(second, batches)
    torch.testing.assert_close(trainer.state(), before, rtol=0, atol=0)
    assert all(parameter.grad is None for parameter in stage.parameters())


@pytest.mark.parametrize("share", [0.3, 3.0])
def test_a_gradient_above_the_limit_is_shortened_to_it_and_one_below_is_not(share: float) -> None:
    config = tiny_config(Path(), "vae")
    pairs, random = [tiny_pair(0), tiny_pair(1)], SampleRandom(0, (0, 1), torch.device("cpu"))
    samples = TrainingSamples(pairs, config)
    window = next(plan_windows(config, 0, Rank()))
    (batch,) = load_batches(samples, iter(window.microbatches), 0)
    stage = make_stage(config)[0]
    stage(TrainingBatch(batch, random))["total"].backward()
    gradients = [p.grad for p in stage.parameters() if p.grad is not None]
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
    train = config.train.model_copy(update={"gradient_norm_max": share * norm})
    config = config.model_copy(update={"train": train})
    trainer = Trainer(make_stage(config)[0], config, start_fabric("32"))
    trainer.step(window, iter([batch]))
    moments = trainer.state()["optimizer"]["state"].values()
    # Its first mean after one step is a tenth of the gradient that the optimiser saw.
    for gradient, moment in zip(gradients, moments, strict=True):
        expected = min(share, 1.0) * gradient
        torch.testing.assert_close(10.0 * moment["exp_avg"], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
def test_the_one_frame_of_a_window_that_spoils_it_is_named(precision: str) -> None:
    pairs = [tiny_pair(number) for number in range(4)]
    pairs[2].radar[:, 3] = 3.4e38  # a driver's "no value" in place of a Doppler
    raw = tiny_config(Path(), "vae").model_dump(mode="json")
    raw["train"] |= {"accumulate": 2, "precision": precision}
    config = validate_config(raw, "test")
    trainer = Trainer(make_stage(config)[0], config, start_fabric(config.train.precision))
    before = copy.deepcopy(trainer.state())
    window = next(plan_windows(config, 0, Rank()))
    batches = load_batches(TrainingSamples(pairs, config), iter(window.microbatches), 0)
    with pytest.raises(InputError, match="after 0 samples: frame 000002: the loss is") as caught:
        trainer.step(window, batches)
    assert str(caught.value).count("frame") == 1
    torch.testing.assert_close(trainer.state(), before, rtol=0, atol=0)


class Heavy(VaeStage):
    """Its gradient is finite in each frame, and not in the sum over frames."""

    def forward(self, training: TrainingBatch) -> dict[str, Tensor]:
        (parameter, *_) = self.parameters()
        return {"total": 1.2e19 * parameter.flatten()[0] * training.frames.lidar.batch_size}


def test_frames_that_are_too_much_together_are_all_named() -> None:
    config = tiny_config(Path(), "vae")
    trainer = Trainer(Heavy(config), config, start_fabric("32"))  # pyright: ignore[reportArgumentType]
    window = next(plan_windows(config, 0, Rank()))
    pairs = [tiny_pair(number) for number in range(2)]
    batches = load_batches(TrainingSamples(pairs, config), iter(window.microbatches), 0)
    with pytest.raises(InputError, match="frames 000000, 000001: their sum is not finite"):
        trainer.step(window, batches)
