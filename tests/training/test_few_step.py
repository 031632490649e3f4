import copy

import pytest
import torch

from radarsparse.config import DistillConfig, EctConfig
from radarsparse.data.batch import make_batch
from radarsparse.enhancer import Enhancer
from radarsparse.errors import InputError
from radarsparse.geometry import Volume
from radarsparse.training.checkpoint import load_diffusion, load_run
from radarsparse.training.loop import make_stage, train
from radarsparse.training.random import SampleRandom
from radarsparse.training.stages import DistillStage, EctStage, FewStepStage, TrainingBatch
from radarsparse.view import render_clouds
from tests.conftest import tiny_config, tiny_pair

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
    condition = stage.network.read_radar(training.frames.radar, training.frames.cells)
    dropped = torch.zeros(len(training.frames.pairs), dtype=torch.bool)
    return clean, stage.set_task(clean, condition.seen, dropped, training)


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
    condition = stage.network.read_radar(training.frames.radar, training.frames.cells)
    levels = task.sigma - task.sigma / task.weight
    expected = stage.network.denoise(clean + earlier * ray, levels, condition.seen)
    assert (task.weight > 1).all()
    torch.testing.assert_close(task.target, expected, rtol=1e-3, atol=1e-3)


def test_the_teacher_leads_and_never_learns(frames, vae_run, edm_run):
    config = _config("distill", frames, vae_run, edm_run)
    stage = _stage(config).train()
    assert isinstance(stage, DistillStage)
    assert not stage.teacher.training
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
    for name, value in runs[0].network.state_dict().items():
        assert torch.equal(value, runs[1].network.state_dict()[name]), name
    assert isinstance(runs[0].config, EctConfig | DistillConfig)
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
    with pytest.raises(InputError, match=r"model = .*they must be equal"):
        make_stage(wider)


def test_a_few_step_run_is_no_teacher(config, tmp_path):
    train(config, tmp_path / "run", render_clouds)
    with pytest.raises(InputError, match="needed is a run of stage 'edm'"):
        make_stage(config.model_copy(update={"teacher": str(tmp_path / "run")}))
