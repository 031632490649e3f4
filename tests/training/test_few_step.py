import copy
import math

import pytest
import torch

from radarsparse.config import DistillConfig, EctConfig, validate_config
from radarsparse.diffusion.schedule import sampling_sigmas
from radarsparse.enhancer import Enhancer
from radarsparse.errors import InputError
from radarsparse.geometry import Volume
from radarsparse.models.weights import load_diffusion, load_run
from radarsparse.training.loop import make_stage, train
from radarsparse.training.random import SampleRandom
from radarsparse.training.stages import (
    DistillStage,
    EctStage,
    EdmStage,
    FewStepStage,
    TrainingBatch,
)
from radarsparse.viewer.plots import render_clouds
from radarsparse.voxels.batch import make_batch
from tests.conftest import TINY_VOLUME, tiny_config, tiny_pair

STAGES = ["ect", "distill"]


def _config(stage, frames, vae_run, edm_run):
    return tiny_config(frames, stage, str(edm_run), vae=str(vae_run))


@pytest.fixture(params=STAGES)
def config(request, frames, vae_run, edm_run):
    return _config(request.param, frames, vae_run, edm_run)


def _stage(config) -> FewStepStage:
    stage = make_stage(config)[0]
    assert isinstance(stage, FewStepStage)
    return stage


def _training(config, *samples: int) -> TrainingBatch:
    volume = Volume.from_settings(config.volume)
    batch = make_batch([tiny_pair(sample) for sample in samples], volume)
    return TrainingBatch(batch, SampleRandom(0, samples, torch.device("cpu")))


def _task(stage, training):
    clean = stage.network.clean_state(training.frames)
    condition = stage.network.condition_on(training.frames.radar, training.frames.cells)
    blind = torch.zeros(len(clean), 1, dtype=torch.bool)
    return clean, stage.set_task(clean, condition.seen, blind, training)


def test_a_run_starts_as_its_teacher(config, edm_run):
    teacher = load_diffusion(edm_run)[0].state_dict()
    assert all(torch.equal(value, teacher[name]) for name, value in _state_of(config).items())


def _state_of(config):
    return _stage(config).network.state_dict()


def test_the_first_pairs_of_tuning_ask_for_the_clean_state_at_low_levels(frames, vae_run, edm_run):
    stage = _stage(_config("ect", frames, vae_run, edm_run))
    assert isinstance(stage, EctStage)
    stage.consistency = stage.consistency.model_copy(update={"p_mean": -1.0, "p_std": 0.1})
    clean, task = _task(stage, _training(tiny_config(frames, "vae"), 0, 1))
    assert torch.equal(task.target, clean)
    assert torch.equal(task.weight, torch.ones(2))


def test_both_ends_of_a_pair_share_their_noise(frames, vae_run, edm_run):
    """Late pairs are close: what is asked is what the network says a little lower on the ray."""
    stage = _stage(_config("ect", frames, vae_run, edm_run)).eval()
    assert isinstance(stage, EctStage)
    training = _training(tiny_config(frames, "vae"), 7, 7)
    stage.length = 8  # sample 7 of 8: after four halvings
    clean, task = _task(stage, training)
    sample = training.frames.lattice.coords[:, 0]
    earlier = (task.sigma - task.sigma / task.weight)[sample, None]
    ray = (task.noisy - clean) / task.sigma[sample, None]
    condition = stage.network.condition_on(training.frames.radar, training.frames.cells)
    levels = task.sigma - task.sigma / task.weight
    expected = stage.network.denoise(clean + earlier * ray, levels, condition.seen)
    assert (task.weight > 1).all()
    torch.testing.assert_close(task.target, expected, rtol=1e-3, atol=1e-3)


def test_gaps_are_halved_evenly_in_the_course_of_a_run(frames, vae_run, edm_run):
    stage = _stage(_config("ect", frames, vae_run, edm_run)).eval()
    assert isinstance(stage, EctStage)
    update = {"halvings": 3, "p_mean": 2.0, "p_std": 0.1}
    stage.consistency = stage.consistency.model_copy(update=update)
    stage.length = 8
    halved = []
    for sample in range(8):
        task = _task(stage, _training(tiny_config(frames, "vae"), sample))[1]
        widened = 1.0 + 8.0 / (1.0 + math.exp(task.sigma.item()))
        halved.append(math.log2(task.weight.item() * widened) - 1.0)
    assert halved == pytest.approx([0, 0, 1, 1, 2, 2, 3, 3], abs=1e-3)


def test_the_teacher_leads_and_never_learns(frames, vae_run, edm_run):
    config = _config("distill", frames, vae_run, edm_run)
    stage = _stage(config).train()
    assert isinstance(stage, DistillStage)
    assert not stage.teacher.training
    assert not any(parameter.requires_grad for parameter in stage.teacher.parameters())
    before = copy.deepcopy(stage.teacher.state_dict())
    terms = stage(_training(config, 0, 1))
    terms["total"].backward()
    assert all(parameter.grad is None for parameter in stage.teacher.parameters())
    assert any(parameter.grad is not None for parameter in stage.network.denoiser.parameters())
    assert all(
        torch.equal(value, before[name]) for name, value in stage.teacher.state_dict().items()
    )


def test_losses_are_finite_and_named_as_those_of_the_diffusion_model(config):
    terms = _stage(config)(_training(config, 0, 1, 2))
    assert {"presence", "flag", "latent", "total"} <= terms.keys()
    assert all(torch.isfinite(value) for value in terms.values())


def test_a_run_trains_goes_on_and_enhances(config, tmp_path):
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    # Every other schedule depends on the length of the run.
    steady = config.train.model_copy(update={"schedule": "constant"})
    config = config.model_copy(update={"train": steady})
    train(config, whole, render_clouds)
    shorter = config.model_copy(update={"train": config.train.model_copy(update={"samples": 4})})
    if isinstance(config, DistillConfig):  # so do the pairs of tuning
        train(shorter, parted, render_clouds)
    train(config, parted, render_clouds)
    runs = [load_run(folder) for folder in (whole, parted)]
    for name, value in runs[0][0].state_dict().items():
        assert torch.equal(value, runs[1][0].state_dict()[name]), name
    assert isinstance(runs[0][1], EctConfig | DistillConfig)
    enhancer = Enhancer.load(whole)
    assert enhancer.sampling.steps == 2
    first, again = (enhancer(tiny_pair(6).radar, 3).table for _ in range(2))
    assert (first == again).all()


def test_a_teacher_of_another_stage_is_refused(frames, vae_run):
    with pytest.raises(InputError, match="is of stage 'vae'"):
        make_stage(_config("ect", frames, vae_run, vae_run))


def test_a_teacher_with_other_settings_is_refused(config):
    wider = config.model_copy(
        update={"model": config.model.model_copy(update={"channels": (8, 12, 20)})}
    )
    with pytest.raises(InputError, match=r"model\.channels = .*they must be equal"):
        make_stage(wider)


def test_the_vae_comes_with_the_teacher_wherever_it_once_lay(config, edm_run):
    model = config.model.model_copy(update={"vae": "moved/away"})
    found = _state_of(config.model_copy(update={"model": model}))
    teacher = load_diffusion(edm_run)[0].state_dict()
    assert all(torch.equal(value, teacher[name]) for name, value in found.items())


def test_a_few_step_run_is_no_teacher(config, tmp_path):
    train(config, tmp_path / "run", render_clouds)
    with pytest.raises(InputError, match="needed is a run of stage 'edm'"):
        make_stage(config.model_copy(update={"teacher": str(tmp_path / "run")}))


def _plain_loss(stage, config, sample: int) -> dict[str, float]:
    """The losses of one sample by a loop over its rows in float64."""
    training = _training(config, sample)
    for _ in range(2):  # whether the radar is dropped, and whether the regression is asked
        training.random.uniform()
    clean, task = _task(stage, training)
    condition = stage.network.condition_on(training.frames.radar, training.frames.cells)
    said = stage.network.denoise_parts(task.noisy, task.sigma, condition.seen)
    latent, log_odds = (part.double() for part in said)
    channels, sigma_data = latent.shape[1], stage.settings.sigma_data
    level = task.sigma.double().item()
    scale = (level**2 + sigma_data**2) / (level * sigma_data) ** 2
    sums = dict.fromkeys(("presence", "flag", "latent"), 0.0)
    seen_sum = occupied_sum = 0.0
    for row, target in enumerate(task.target.double()):
        seen = 1.0 if training.frames.observed[row] else stage.settings.unobserved_weight
        occupied = 1.0 if clean[row, -1] > 0 else stage.settings.absent_weight
        believed = (target[channels:] + 1.0) / 2.0
        chance = log_odds[row].sigmoid()
        surprise = -(believed * chance.log() + (1.0 - believed) * (1.0 - chance).log())
        sums["presence"] += seen * surprise[-1].item()
        sums["flag"] += seen * surprise[:-1].mean().item()
        gap = latent[row] - target[:channels]
        sums["latent"] += occupied * scale * (gap * gap).mean().item()
        seen_sum, occupied_sum = seen_sum + seen, occupied_sum + occupied
    weight = task.weight.double().item()
    by_weight = {"presence": seen_sum, "flag": seen_sum, "latent": occupied_sum}
    return {name: weight * sums[name] / by_weight[name] for name in sums}


@torch.no_grad()
@pytest.mark.parametrize(("unobserved", "absent"), [(0.3, 0.1), (0.0, 0.7), (1.0, 0.0)])
def test_the_loss_of_pairs_is_that_of_a_plain_loop(config, unobserved, absent):
    stage = _stage(config).eval()
    quiet = {"condition_drop": 0.0, "regression_share": 0.0}
    weights = {"unobserved_weight": unobserved, "absent_weight": absent}
    # High levels: near 0 what is sure is beyond the precision of the loop's logarithms.
    stage.settings = stage.settings.model_copy(update={**quiet, **weights, "sigma_min": 1.0})
    if isinstance(stage, EctStage):
        late = {"halvings": 1, "p_mean": 1.5, "p_std": 0.3}
        stage.consistency = stage.consistency.model_copy(update=late)
    plain = [_plain_loss(stage, config, sample) for sample in (4, 5)]
    terms = stage(_training(config, 4, 5))
    for name in ("presence", "flag", "latent"):
        expected = math.fsum(one[name] for one in plain) / 2
        assert terms[name].item() == pytest.approx(expected, rel=1e-3), name


@torch.no_grad()
def test_the_regression_is_asked_as_by_the_diffusion_model(config, frames, vae_run):
    """Whatever pairs weigh: with regression alone both stages have the same loss."""
    few = _stage(config).eval()
    edm = make_stage(tiny_config(frames, "edm", vae=str(vae_run)))[0].eval()
    assert isinstance(edm, EdmStage)
    edm.network.load_state_dict(few.network.state_dict())
    for stage in (few, edm):
        stage.settings = stage.settings.model_copy(update={"regression_share": 1.0})
    found, expected = few(_training(config, 6, 7)), edm(_training(config, 6, 7))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@torch.no_grad()
@pytest.mark.parametrize("blind", [False, True])
def test_the_teacher_makes_one_step_and_the_student_answers_there(frames, vae_run, edm_run, blind):
    config = _config("distill", frames, vae_run, edm_run)
    stage = _stage(config).eval()
    assert isinstance(stage, DistillStage)
    for parameter in stage.network.denoiser.parameters():
        parameter.mul_(0.8)  # so that it matters who is asked
    reached_zero = set()
    stage.consistency = stage.consistency.model_copy(update={"scales": 3})
    for sample in range(6):
        training = _training(config, sample)
        clean, radar = stage.network.clean_state(training.frames), training.frames.radar
        seen = stage.network.condition_on(radar, training.frames.cells)[blind]
        task = stage.set_task(clean, seen, torch.full((len(clean), 1), blind), training)
        taught = stage.teacher.condition_on(radar, training.frames.cells)[blind]
        sigma, lower = task.sigma, _lower_level(stage, task.sigma)
        slope = (task.noisy - stage.teacher.denoise(task.noisy, sigma, taught)) / sigma
        target = task.noisy + (lower - sigma) * slope
        if lower > 0:
            there = (target - stage.teacher.denoise(target, lower, taught)) / lower
            target = task.noisy + (lower - sigma) * (slope + there) / 2
            target = stage.network.denoise(target, lower, seen)
        reached_zero.add(lower.item() == 0)
        assert task.weight.tolist() == [1.0]
        torch.testing.assert_close(task.target, target, rtol=1e-4, atol=1e-4)
    assert reached_zero == {True, False}


def _lower_level(stage, sigma: torch.Tensor) -> torch.Tensor:
    settings, scales = stage.settings, stage.consistency.scales
    walk = [*sampling_sigmas(scales, settings.sigma_max, settings).float().tolist()]
    nearest = min(range(scales), key=lambda number: abs(walk[number] - sigma.item()))
    return torch.tensor([walk[nearest + 1]])


def test_at_level_0_the_answer_is_the_state_and_nothing_learns_from_answers(config):
    stage, training = _stage(config), _training(config, 0, 1)
    condition = stage.network.condition_on(training.frames.radar, training.frames.cells).seen
    first = training.frames.lattice.coords[:, 0] == 0
    state = torch.randn(len(first), stage.network.state_channels)
    answer = stage.answer_below(state, torch.tensor([0.0, 2.0]), condition, training)
    assert torch.equal(answer[first], state[first])
    said = stage.eval().network.denoise(state, torch.tensor([1.0, 2.0]), condition)
    torch.testing.assert_close(answer[~first], said[~first])
    assert not answer.requires_grad
    assert torch.isfinite(answer).all()


def test_answers_are_without_dropout_and_training_goes_on_with_it(config):
    stage, training = _stage(config).train(), _training(config, 0)
    condition = stage.network.condition_on(training.frames.radar, training.frames.cells).seen
    state = torch.randn(len(condition.feats), stage.network.state_channels)
    first, again = (
        stage.answer_below(state, torch.tensor([2.0]), condition, training) for _ in range(2)
    )
    assert torch.equal(first, again)
    assert stage.network.denoiser.training


def test_a_run_that_lost_its_last_checkpoint_ends_as_one_that_did_not(config, tmp_path):
    for name in ("whole", "damaged"):
        train(config, tmp_path / name, render_clouds)
    (tmp_path / "damaged" / "state.pt").write_bytes(b"damaged")
    train(config, tmp_path / "damaged", render_clouds)
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "damaged")]
    assert models[0] == models[1]


def test_the_best_weights_of_a_run_can_be_used(config, tmp_path):
    raw = config.model_dump(mode="json")
    raw["train"]["validation"] = {"every_samples": 4, "frames": 1}
    train(validate_config(raw, "test"), tmp_path / "run", render_clouds)
    network, found = load_diffusion(tmp_path / "run" / "best")
    assert found.stage == config.stage
    assert len(Enhancer(network, found)(tiny_pair(6).radar).points) > 0


@pytest.mark.parametrize(
    ("block", "update"),
    [
        ("volume", {**TINY_VOLUME, "azimuth_max_deg": 50.0}),
        ("diffusion", {"sigma_max": 33.0}),
    ],
)
def test_a_teacher_in_another_volume_or_with_other_noise_is_refused(config, block, update):
    raw = {**config.model_dump(mode="json"), block: update}
    with pytest.raises(InputError, match=rf"{block}\..* = .*{config.teacher}.*they must be equal"):
        make_stage(validate_config(raw, "test"))


def test_a_missing_teacher_is_named(config, tmp_path):
    missing = tmp_path / "nothing"
    with pytest.raises(InputError, match=f"{missing}.*no such file"):
        make_stage(config.model_copy(update={"teacher": str(missing)}))


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"teacher": None}, "teacher = None"),
        ({"consistency": {"gap": 3}}, "consistency.gap = 3: is no key here"),
        ({"sampling": {"last_sigma": 0.0}}, "sampling.last_sigma = 0.0: must be greater than 0"),
        ({"stage": "edm"}, "teacher = .*: is no key here"),
    ],
)
def test_unusable_settings_are_named(config, update, words):
    raw = {**config.model_dump(mode="json"), **update}
    with pytest.raises(InputError, match=words):
        validate_config(raw, "test")


def test_two_steps_are_the_default(config):
    raw = config.model_dump(mode="json", exclude={"sampling"})
    assert validate_config(raw, "test").sampling.steps == 2
