"""Runs that begin with the tensors of another one, by `init`, and what they say of it."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from radarsparse.config import Config, EdmConfig, VaeConfig
from radarsparse.errors import InputError
from radarsparse.models.weights import SHIPPED, load_vae_of, save_model
from radarsparse.training.beginning import begin
from radarsparse.training.loop import train
from radarsparse.training.planning.dry_run import check
from radarsparse.training.stages import make_stage
from radarsparse.viewer.plots import render_clouds
from tests.conftest import tiny_config


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def config_from(run: Path, frames: Path, stage: str, **model: object) -> Config:
    return tiny_config(frames, stage, **model).model_copy(update={"init": str(run)})


def test_tensors_that_fit_are_taken_over_and_the_rest_is_counted(
    frames: Path, vae_run: Path, edm_run: Path, tmp_path: Path
) -> None:
    config = config_from(edm_run, frames, "edm", vae=str(vae_run), channels=[8, 12, 20])
    network, theirs = make_stage(config)[0].network, tensors_of(edm_run)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    said = begin(network, config, tmp_path / "run")
    after = network.state_dict()
    own = [name for name in after if not name.startswith("vae.")]
    fitting = {name for name in own if name in theirs and theirs[name].shape == after[name].shape}
    assert 8 < len(fitting) < len(own) - 8
    for name in after:
        assert torch.equal(after[name], theirs[name] if name in fitting else before[name])
    assert said == (
        f"init {edm_run}: {len(fitting)} of {len(own)} tensors taken over;"
        f" {len(own) - len(fitting)} new; {len(theirs) - len(fitting)} of that run left out"
    )


def test_few_tensors_are_named(frames: Path, vae_run: Path, tmp_path: Path) -> None:
    config = config_from(tmp_path / "other", frames, "vae")
    assert isinstance(config, VaeConfig)
    network, (other, _) = make_stage(config)[0].network, load_vae_of(str(vae_run))
    count = len(network.state_dict())
    network.add_module("fresh", torch.nn.Linear(2, 2))
    other.add_module("old", torch.nn.Linear(2, 2))
    save_model(tmp_path / "other", other, config, config)
    assert begin(network, config, tmp_path / "run") == (
        f"init {tmp_path / 'other'}: {count} of {count + 2} tensors taken over;"
        " 2 new (fresh.bias, fresh.weight); 2 of that run left out (old.bias, old.weight)"
    )


def test_a_vae_begins_with_that_of_a_later_stage(
    frames: Path, edm_run: Path, tmp_path: Path
) -> None:
    config, theirs = config_from(edm_run, frames, "vae"), tensors_of(edm_run)
    network = make_stage(config)[0].network
    own = network.state_dict()
    said = begin(network, config, tmp_path / "run")
    assert said == (
        f"init {edm_run}: {len(own)} of {len(own)} tensors taken over;"
        f" {len(theirs) - len(own)} of that run left out"
    )
    assert all(torch.equal(tensor, theirs[f"vae.{name}"]) for name, tensor in own.items())


def test_without_init_nothing_is_done(frames: Path, tmp_path: Path) -> None:
    config = tiny_config(frames, "vae")
    assert begin(make_stage(config)[0].network, config, tmp_path / "run") is None


def test_a_run_of_which_nothing_fits_is_refused(
    frames: Path, vae_run: Path, tmp_path: Path
) -> None:
    config = config_from(vae_run, frames, "edm", vae=str(vae_run))
    with pytest.raises(InputError, match=r"has none of the \d+ tensors that stage 'edm' trains"):
        begin(make_stage(config)[0].network, config, tmp_path / "run")


def test_numbers_that_cannot_be_used_change_nothing(
    frames: Path, vae_run: Path, tmp_path: Path
) -> None:
    config = config_from(tmp_path / "spoilt", frames, "vae")
    vae, vae_config = load_vae_of(str(vae_run))
    name = sorted(vae.state_dict())[-1]
    vae.state_dict()[name].view(-1)[0] = torch.nan
    save_model(tmp_path / "spoilt", vae, vae_config, vae_config)
    network = make_stage(config)[0].network
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(InputError, match=f"'{name}' holds numbers that are not finite"):
        begin(network, config, tmp_path / "run")
    assert all(torch.equal(tensor, before[n]) for n, tensor in network.state_dict().items())


def test_a_dry_run_says_what_the_run_will_say(
    frames: Path, edm_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "radarsparse")
    config = config_from(edm_run, frames, "vae")
    promised = [line for line in check(config, tmp_path / "run").splitlines() if "init" in line]
    assert not (tmp_path / "run").exists()
    train(config, tmp_path / "run", render_clouds)
    said = [line for line in caplog.messages if line.startswith("init ")]
    assert promised == said != []


def test_an_init_that_is_not_there_is_refused_alike_and_leaves_no_folder(
    frames: Path, tmp_path: Path
) -> None:
    config = config_from(tmp_path / "none", frames, "vae")
    faults = []
    for act in (check, lambda *run: train(*run, render_clouds)):
        with pytest.raises(InputError) as caught:
            act(config, tmp_path / "run")
        faults.append(str(caught.value))
        assert not (tmp_path / "run").exists()
    file = tmp_path / "none" / "model.safetensors"
    needed = "no such file; needed is a run folder of tools/train.py"
    assert faults == [f"init {tmp_path / 'none'}: {file}: {needed}"] * 2


def test_a_run_that_goes_on_does_not_begin_again(
    frames: Path, vae_run: Path, tmp_path: Path
) -> None:
    begun, run = tmp_path / "begun", tmp_path / "run"
    shutil.copytree(vae_run, begun)
    config = config_from(begun, frames, "vae")
    train(config, run, render_clouds)
    first = tensors_of(run)
    shutil.rmtree(begun)
    assert f"init {begun}: nothing taken over, since {run} goes on" in check(config, run)
    train(config, run, render_clouds)
    assert all(torch.equal(tensor, first[name]) for name, tensor in tensors_of(run).items())


def test_a_denoiser_is_built_on_the_vae_that_ships(frames: Path) -> None:
    vae, config = load_vae_of(SHIPPED)
    edm = tiny_config(frames, "edm", vae=SHIPPED)
    edm = edm.model_copy(update={"volume": config.volume, "lidar": config.lidar})
    assert isinstance(edm, EdmConfig)
    built = make_stage(edm)[0].network.state_dict()
    assert all(
        torch.equal(built[f"vae.{name}"], tensor) for name, tensor in vae.state_dict().items()
    )
