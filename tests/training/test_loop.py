import json
from pathlib import Path

import pytest
import torch

from radarsparse.config import config_to_yaml, validate_config
from radarsparse.errors import InputError
from radarsparse.models.weights import load_diffusion, load_vae, save_model
from radarsparse.training.checkpoint import load_state
from radarsparse.training.loop import train
from radarsparse.viewer.plots import render_clouds
from tests.conftest import tiny_config


def _lengthened(config, samples):
    return config.model_copy(update={"train": config.train.model_copy(update={"samples": samples})})


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_run_folder_tells_what_was_run(vae_run):
    names = {file.name for file in vae_run.iterdir()}
    expected = {"config.yaml", "command.txt", "versions.yaml", "model.safetensors", "state.pt"}
    assert expected <= names
    assert not [name for name in names if name.endswith(".part")]


def test_equal_models_are_equal_files(vae_run, tmp_path):
    network, config = load_vae(vae_run)
    written = set()
    for index in range(6):
        folder = tmp_path / str(index)
        folder.mkdir()
        save_model(folder, network, config, config)
        written.add((folder / "model.safetensors").read_bytes())
    assert len(written) == 1


def test_loss_falls_on_frames_seen_often(frames, tmp_path):
    config = tiny_config(frames, "vae")
    config = _lengthened(config, 120)
    settings = {"report_every_samples": 40, "warmup_samples": 10, "learning_rate": 3e-3}
    config = config.model_copy(update={"train": config.train.model_copy(update=settings)})
    train(config, tmp_path / "run", render_clouds)
    lines = (tmp_path / "run/stats.jsonl").read_text().splitlines()
    totals = [json.loads(line)["total"] for line in lines]
    assert len(totals) == 3
    assert totals[-1] < 0.85 * totals[0]


def test_resumed_training_equals_straight_training_bit_for_bit(frames, tmp_path, monkeypatch):
    config = tiny_config(frames, "vae")
    train(config, tmp_path / "straight", render_clouds)

    def stop(*_):
        raise KeyboardInterrupt

    folder = tmp_path / "resumed"
    monkeypatch.setattr("radarsparse.training.trainer.Trainer.report", stop)
    short = {"report_every_samples": 6}
    config = config.model_copy(update={"train": config.train.model_copy(update=short)})
    with pytest.raises(KeyboardInterrupt):
        train(config, folder, render_clouds)
    monkeypatch.undo()
    state = load_state(folder)
    assert state is not None
    assert state["seen"] == 4
    train(config, folder, render_clouds)
    straight, resumed = load_vae(tmp_path / "straight")[0], load_vae(folder)[0]
    assert _same(straight.state_dict(), resumed.state_dict())


def test_a_run_can_start_with_coarse_voxels(frames, tmp_path):
    raw = tiny_config(frames, "vae").model_dump(mode="json")
    raw["train"]["voxel_steps"] = [{"voxel_size_m": 0.4, "until_samples": 5}]
    train(validate_config(raw, "test"), tmp_path / "coarse", render_clouds)
    train(tiny_config(frames, "vae"), tmp_path / "plain", render_clouds)
    states = [load_state(tmp_path / name) for name in ("coarse", "plain")]
    assert [state["seen"] for state in states if state] == [8, 8]
    # The coarse run takes one step more, for no window mixes two voxel sizes.
    assert [state["schedule"]["last_epoch"] for state in states if state] == [5, 4]
    coarse, plain = (load_vae(tmp_path / name)[0].state_dict() for name in ("coarse", "plain"))
    assert not _same(coarse, plain)


def test_a_finished_run_can_be_called_again(vae_run, frames):
    before = load_vae(vae_run)[0].state_dict()
    train(tiny_config(frames, "vae"), vae_run, render_clouds)
    assert _same(load_vae(vae_run)[0].state_dict(), before)


def test_edm_checkpoint_holds_the_vae_it_was_trained_on(vae_run, edm_run):
    network, config = load_diffusion(edm_run)
    assert config.stage == "edm"
    assert _same(network.vae.state_dict(), load_vae(vae_run)[0].state_dict())
    assert not any(p.requires_grad for p in network.vae.parameters())


def test_a_folder_with_another_config_is_refused_and_kept(vae_run, frames):
    config = tiny_config(frames, "vae", latent_channels=5)
    before = (vae_run / "config.yaml").read_text()
    with pytest.raises(InputError, match=r"model.latent_channels was 32, is now 5"):
        train(config, vae_run, render_clouds)
    assert (vae_run / "config.yaml").read_text() == before


def test_a_folder_with_other_contents_is_refused(frames, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"exists with other contents \(notes.txt\)"):
        train(tiny_config(frames, "vae"), tmp_path, render_clouds)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "notes.txt").rename(tmp_path / ".notes")
    with pytest.raises(InputError, match=r"exists with other contents \(.notes\)"):
        train(tiny_config(frames, "vae"), tmp_path, render_clouds)


def test_an_edm_stage_refuses_a_vae_of_another_volume(frames, vae_run, tmp_path):
    config = tiny_config(frames, "edm", vae=str(vae_run))
    volume = config.volume.model_copy(update={"azimuth_max_deg": 30.0})
    with pytest.raises(InputError, match="volume"):
        train(config.model_copy(update={"volume": volume}), tmp_path / "run", render_clouds)
    assert not (tmp_path / "run").exists()


def test_checkpoints_of_other_kinds_are_refused(vae_run, edm_run, tmp_path):
    with pytest.raises(InputError, match="is of stage 'edm', needed is 'vae'"):
        load_vae(edm_run)
    with pytest.raises(InputError, match="is of stage 'vae', needed is 'edm'"):
        load_diffusion(vae_run)
    with pytest.raises(InputError, match="no such file"):
        load_vae(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="can't be read"):
        load_vae(tmp_path)


def test_a_checkpoint_of_another_format_is_refused(vae_run, tmp_path: Path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes((vae_run / "model.safetensors").read_bytes())
    monkeypatch.setattr("radarsparse.models.weights.FORMAT", "9")
    with pytest.raises(InputError, match=r"format '4' .*needed is '1' to '9'"):
        load_vae(tmp_path)


def test_resolved_config_reads_back(vae_run, frames):
    assert (vae_run / "config.yaml").read_text() == config_to_yaml(tiny_config(frames, "vae"))
