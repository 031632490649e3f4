import re

import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.formats.prepared import write_frame, write_split
from radarsparse.geometry import Volume
from radarsparse.training.loop import make_stage
from radarsparse.training.planning.dry_run import (
    check,
    count_voxels,
    suggest_batch_size,
    suggest_voxel_size,
)
from radarsparse.training.validate import choose_frames
from tests.conftest import tiny_config, tiny_pair


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


def test_voxels_are_the_mean_of_frames_spread_over_all(tmp_path):
    pairs = [tiny_pair(index) for index in range(24)]
    for pair in pairs:
        write_frame(tmp_path / "frames", pair)
    write_split(tmp_path / "frames", {"train": [[0, 21]], "val": [[22, 23]]})
    config = tiny_config(tmp_path / "frames", "vae")
    text = check(config, tmp_path / "run")
    volume = Volume.from_settings(config.volume)
    counts = [count_voxels(pairs[number], volume) for number in choose_frames(pairs[:22], 16)]
    means = {name: np.mean([count[name] for count in counts]) for name in counts[0]}
    lines = "".join(rf"  {name} +{mean:,.0f}\n" for name, mean in means.items())
    assert re.search(rf"^voxels per frame, mean of 16 frames:\n{lines}", text, re.MULTILINE), means


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
