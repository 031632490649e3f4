import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from radarsparse.config import EdmConfig, LidarSettings, VaeConfig
from radarsparse.errors import InputError
from radarsparse.geometry import Volume
from radarsparse.models.weights import load_vae, save_model
from radarsparse.sparse import SparseTensor
from radarsparse.training.random import SampleRandom
from radarsparse.training.stages import EdmStage, TrainingBatch, VaeStage, make_stage
from radarsparse.training.stages.denoiser_stage import Task
from radarsparse.voxels.batch import make_batch
from tests.conftest import tiny_config, tiny_pair

WEIGHTS = {
    "split_weight": 0.7,
    "focal_weight": 0.6,
    "dice_weight": 0.5,
    "offset_weight": 1.1,
    "intensity_weight": 0.4,
    "neighbour_weight": 0.3,
    "normal_weight": 0.2,
    "perceptual_weight": 0.9,
    "kl_weight": 0.01,
}
BINS = ("sigma_0_0.3", "sigma_0.3_0.7", "sigma_0.7_1.5", "sigma_1.5_inf", "regression")


def _vae_stage(**model: object) -> VaeStage:
    config = tiny_config(Path(), "vae", **model)
    assert isinstance(config, VaeConfig)
    torch.manual_seed(0)
    return VaeStage(config)


def _edm_stage(vae_run: Path) -> EdmStage:
    config = tiny_config(Path(), "edm", vae=str(vae_run))
    assert isinstance(config, EdmConfig)
    torch.manual_seed(0)
    return EdmStage(config, load_vae(vae_run)[0])


def _training(*samples: int) -> TrainingBatch:
    """Some samples; each is drawn and disturbed in its own way whatever it is batched with."""
    volume = Volume.from_settings(tiny_config(Path(), "vae").volume)
    batch = make_batch([tiny_pair(sample) for sample in samples], volume)
    return TrainingBatch(batch, SampleRandom(0, samples, torch.device("cpu")))


def _weight_of(name: str) -> float:
    return WEIGHTS[name.rstrip("248") + "_weight"]


def test_by_default_no_loss_is_computed_that_has_not_earned_its_place():
    terms = _vae_stage()(_training(0))
    expected = {"split8", "split4", "split2", "offset", "intensity", "kl", "total"}
    assert terms.keys() == expected


def test_the_total_of_the_vae_is_the_sum_by_named_weights():
    terms = _vae_stage(**WEIGHTS)(_training(0, 1))
    total = terms.pop("total").item()
    assert len(terms) == 15
    expected = sum(_weight_of(name) * value.item() for name, value in terms.items())
    assert total == pytest.approx(expected, rel=1e-5)
    assert all(value.item() > 0 for value in terms.values())


def test_every_loss_of_the_vae_is_the_mean_of_those_of_its_samples():
    stage = _vae_stage(**WEIGHTS)
    together = copy.deepcopy(stage)(_training(0, 3))
    alone = [copy.deepcopy(stage)(_training(sample)) for sample in (0, 3)]
    for name, value in together.items():
        expected = 0.5 * (alone[0][name] + alone[1][name])
        # Sums over other numbers of rows may round differently in float32.
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)


def test_all_losses_together_give_every_trained_weight_a_finite_gradient():
    stage = _vae_stage(**WEIGHTS)
    stage(_training(0, 1))["total"].backward()
    for parameter in stage.network.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()
    assert stage.perceptual is not None
    assert not any(p.requires_grad for p in stage.perceptual.parameters())


def test_under_autocast_losses_and_the_frozen_network_keep_single_precision():
    stage, dtypes = _vae_stage(**WEIGHTS), []
    assert stage.perceptual is not None
    stage.perceptual.pyramid.register_forward_hook(
        lambda _module, _inputs, levels: dtypes.extend(level.feats.dtype for level in levels)
    )
    with torch.autocast("cpu", torch.bfloat16):
        terms = stage(_training(0, 1))
    assert {value.dtype for value in terms.values()} == {torch.float32}
    assert dtypes == [torch.float32] * 8
    terms["total"].backward()
    assert all(torch.isfinite(p.grad).all() for p in stage.network.parameters())


def test_the_perceptual_network_is_random_by_seed_or_that_of_a_run(vae_run):
    first, second = (_vae_stage(perceptual_weight=1.0).perceptual for _ in range(2))
    assert first is not None
    assert second is not None
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value)
    given = _vae_stage(perceptual_weight=1.0, perceptual_vae=str(vae_run)).perceptual
    assert given is not None
    encoder = load_vae(vae_run)[0].encoder
    for name, value in encoder.pyramid.state_dict().items():
        assert torch.equal(given.pyramid.state_dict()[name], value)


def test_who_builds_on_a_network_that_was_told_of_beams_must_tell_of_them(vae_run, tmp_path):
    network, config = load_vae(vae_run)
    told = config.model_copy(update={"lidar": LidarSettings(rings_deg=(-1.0, 1.0))})
    save_model(tmp_path / "told", network, told, told)
    config = tiny_config(Path(), "edm", vae=str(tmp_path / "told"))
    with pytest.raises(InputError, match=r"lidar.rings_deg = \[\]: model.vae .*told of 2 rings"):
        make_stage(config)
    other = LidarSettings(rings_deg=(0.0,))
    assert make_stage(config.model_copy(update={"lidar": other}))


def test_a_perceptual_network_does_not_change_what_training_starts_from():
    plain, seeing = _vae_stage(), _vae_stage(perceptual_weight=1.0)
    for name, value in plain.network.state_dict().items():
        assert torch.equal(seeing.network.state_dict()[name], value)


def test_a_missing_run_of_the_perceptual_network_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        _vae_stage(perceptual_weight=1.0, perceptual_vae=str(tmp_path))


def test_a_vae_that_would_not_learn_which_voxels_exist_is_refused():
    with pytest.raises(InputError, match="split_weight, focal_weight and dice_weight are all 0"):
        tiny_config(Path(), "vae", split_weight=0.0)


def _taught(patch: pytest.MonkeyPatch, **model: object) -> tuple[VaeStage, SparseTensor]:
    """A stage, and what its decoder is given to decode of samples 0 and 3."""
    stage, given = _vae_stage(**model), list[SparseTensor]()
    channels = len(stage.network.latent_mean)
    stage.network.latent_mean.copy_(torch.linspace(-1.0, 2.0, channels))
    stage.network.latent_square.copy_(stage.network.latent_mean**2 + torch.arange(1, channels + 1))
    teach = stage.network.decoder.teach

    def record(latent: SparseTensor, *others: Any) -> object:
        given.append(latent)
        return teach(latent, *others)

    patch.setattr(stage.network.decoder, "teach", record)
    stage(_training(0, 3))
    return stage, given[0]


@pytest.mark.parametrize("latent_noise", [0.2, 0.7])
def test_latents_are_blurred_by_up_to_the_given_share_of_their_spread(monkeypatch, latent_noise):
    _, clean = _taught(monkeypatch, false_parent_share=0.0, latent_noise=0.0)
    stage, noisy = _taught(monkeypatch, false_parent_share=0.0, latent_noise=latent_noise)
    training = _training(0, 3)
    frames, random = training.frames, training.random
    random.normal_rows(clean.support, clean.feats.shape[1])  # the draw of the latents
    random.uniform_rows(frames.lattice.support)  # and of the false parents
    level = random.uniform().tolist()
    noise = random.normal_rows(clean.support, clean.feats.shape[1])
    for row, sample in enumerate(clean.coords[:, 0].tolist()):
        spread = latent_noise * level[sample] * stage.network.latent_std
        expected = clean.feats[row] + spread * noise[row]
        torch.testing.assert_close(noisy.feats[row], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.2])
def test_empty_cells_are_taught_in_the_given_ratio_to_occupied_ones(monkeypatch, share):
    stage, latent = _taught(monkeypatch, false_parent_share=share, latent_noise=0.0)
    training = _training(0, 3)
    frames, random = training.frames, training.random
    occupied = stage.network.encode(frames.lidar).support
    true, lattice = set(occupied.keys.tolist()), frames.lattice.support
    random.normal_rows(occupied, latent.feats.shape[1])  # the draw of the latents
    numbers = dict(zip(lattice.keys.tolist(), random.uniform_rows(lattice).tolist(), strict=True))
    chance = share * len(true) / len(numbers)
    false = {key for key, number in numbers.items() if number < chance and key not in true}
    given = latent.support.keys.tolist()
    assert set(given) == true | false
    empty = torch.tensor([key in false for key in given])
    assert (latent.feats[empty] == stage.network.latent_mean).all()


class Watched(EdmStage):
    """Keeps what it was last asked."""

    def set_task(
        self, clean: Tensor, context: SparseTensor, blind: Tensor, training: TrainingBatch
    ) -> Task:
        self.context, self.blind = context, blind
        return super().set_task(clean, context, blind, training)


def test_the_radar_is_hidden_from_the_samples_whose_number_is_below_the_share(vae_run):
    config = tiny_config(Path(), "edm", vae=str(vae_run))
    stage = Watched(config, load_vae(vae_run)[0])  # pyright: ignore[reportArgumentType]
    samples = range(5)
    numbers = _training(*samples).random.uniform().tolist()
    for share in (0.0, *(number + 1e-6 for number in numbers), 1.0):
        stage.settings = stage.settings.model_copy(update={"condition_drop": share})
        training = _training(*samples)
        stage(training)
        frames = training.frames
        seen, nothing = stage.network.condition_on(frames.radar, frames.cells)
        for row, sample in enumerate(frames.lattice.coords[:, 0].tolist()):
            hidden = numbers[sample] < share
            assert stage.blind[row].item() == hidden
            expected = (nothing if hidden else seen).feats[row]
            assert torch.equal(stage.context.feats[row], expected)


def test_the_edm_loss_is_split_by_noise_level(vae_run):
    stage = _edm_stage(vae_run).eval()
    samples = tuple(range(12))
    terms = stage(_training(*samples))
    alone = [stage(_training(sample)) for sample in samples]
    assert terms.keys() == {
        *("presence", "flag", "latent", "total"),
        *(f"edm_{part}/{name}" for part in ("sum", "share") for name in BINS),
    }
    for name in BINS:
        inside = [one for one in alone if one[f"edm_share/{name}"].item() == 1.0]
        assert terms[f"edm_share/{name}"].item() == pytest.approx(len(inside) / len(samples))
        total = math.fsum(one["total"].item() for one in inside)
        assert terms[f"edm_sum/{name}"].item() == pytest.approx(total / len(samples), rel=1e-4)
    shares = [terms[f"edm_share/{name}"].item() for name in BINS]
    assert math.fsum(shares) == pytest.approx(1.0)
    assert sum(share > 0 for share in shares) > 2


def test_the_edm_total_is_the_sum_by_named_weights(vae_run):
    stage = _edm_stage(vae_run)
    update = {"presence_weight": 0.5, "flag_weight": 2.0, "latent_weight": 3.0}
    stage.settings = stage.settings.model_copy(update=update)
    terms = stage(_training(0, 1))
    expected = 0.5 * terms["presence"] + 2.0 * terms["flag"] + 3.0 * terms["latent"]
    torch.testing.assert_close(terms["total"], expected)


def test_under_autocast_the_edm_loss_keeps_single_precision(vae_run):
    with torch.autocast("cpu", torch.bfloat16):
        terms = _edm_stage(vae_run)(_training(0, 1))
    assert {value.dtype for value in terms.values()} == {torch.float32}
    assert all(torch.isfinite(value) for value in terms.values())
