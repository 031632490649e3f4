import re

import pytest

from radarsparse.errors import InputError
from radarsparse.training.loop import make_stage
from radarsparse.training.planning.dry_run import check, suggest_batch_size, suggest_voxel_size
from tests.conftest import tiny_config


@pytest.mark.parametrize("stage", ["vae", "edm"])
def test_a_dry_run_names_parameters_voxels_and_memory(stage, frames, vae_run, tmp_path):
    model = {} if stage == "vae" else {"vae": str(vae_run)}
    config = tiny_config(frames, stage, **model)
    text = check(config, tmp_path / "run")
    network = make_stage(config)[0].network
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert f"would train {trained:,} parameters on 6 frames for 8 samples" in text
    frozen = {"vae": [], "edm": ["vae"]}[stage]
    for name, part in network.named_children():
        count = f"{sum(p.numel() for p in part.parameters()):,}"
        end = r" \(frozen\)" if name in frozen else ""
        assert re.search(rf"^  {name} +{count}{end}$", text, re.MULTILINE)
    for stride in (1, 2, 4, 8):
        assert f"LiDAR at stride {stride}" in text
    assert re.search(r"estimated peak of one step on cpu, 2 frames at once: 0\.0\d\d GiB", text)
    assert not (tmp_path / "run").exists()


def test_a_dry_run_refuses_what_a_run_would(frames, vae_run, tmp_path):
    with pytest.raises(InputError, match="latent_channels was 32, is now 5"):
        check(tiny_config(frames, "vae", latent_channels=5), vae_run)
    with pytest.raises(InputError, match="no such"):
        check(tiny_config(tmp_path / "none", "vae"), tmp_path / "run")
    (tmp_path / "notes.txt").write_text("mine")
    for folder in (tmp_path / "notes.txt", tmp_path / "notes.txt/deep/run"):
        with pytest.raises(InputError, match=r"notes\.txt: exists and is no folder"):
            check(tiny_config(frames, "vae"), folder)


def test_suggestions_are_settings_to_copy(frames):
    config = tiny_config(frames, "vae")
    text = suggest_batch_size(config, 4.0)  # more than all six frames at once need
    assert text.startswith("train.batch_size=6 train.accumulate=1\n")
    text = suggest_voxel_size(config, 10_000)  # more than there are points
    assert re.match(r"volume\.voxel_size_m=0\.05\d*\n95 % of 6 frames have at most \d+ ", text)
