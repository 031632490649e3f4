"""Training on scenes that are simulated as they are needed."""

from pathlib import Path

import numpy as np
import pytest

from radarsparse.config import Config, VolumeSettings
from radarsparse.errors import InputError
from radarsparse.geometry import Volume
from radarsparse.simulator.pairs import SimulatedFrames, simulate_pair
from radarsparse.training.loader import Microbatch, TrainingSamples
from radarsparse.training.loop import open_splits, train
from radarsparse.viewer.plots import render_clouds
from tests.conftest import tiny_config


def with_scenes(config: Config, **data: object) -> Config:
    settings = config.data.model_copy(update={"scenes_seed": 3, **data})
    return config.model_copy(update={"data": settings, "volume": VolumeSettings()})


def test_frames_are_those_of_the_simulator() -> None:
    frames = SimulatedFrames(3)
    np.testing.assert_array_equal(frames[7].radar, simulate_pair(3, 7).radar)
    assert len({frames.fingerprint, SimulatedFrames(4).fingerprint}) == 2


def test_every_sample_is_a_scene_of_its_own_and_the_same_one_again(tmp_path: Path) -> None:
    config = with_scenes(tiny_config(tmp_path / "no data", "vae"))
    volume = Volume.from_settings(config.volume)
    samples = TrainingSamples(open_splits(config)["train"], config)
    seen = [samples[Microbatch((number,), volume.voxel_size_m, 1.0)] for number in (0, 1, 2, 0)]
    names = [batch.pairs[0].name for batch in seen if not isinstance(batch, InputError)]
    assert len(set(names)) == 3
    assert names[0] == names[3]


def test_a_run_needs_no_frames_on_disk(tmp_path: Path) -> None:
    config = with_scenes(tiny_config(tmp_path / "no data", "vae"))
    short = config.train.model_copy(update={"samples": 2, "batch_size": 1})
    train(config.model_copy(update={"train": short}), tmp_path / "run", render_clouds)
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert SimulatedFrames(3).fingerprint in (tmp_path / "run" / "data.yaml").read_text()


def test_validation_frames_are_on_disk_in_a_split_of_their_own(frames: Path) -> None:
    raw = tiny_config(frames, "vae")
    validated = raw.train.model_copy(update={"validation": {"every_samples": 4, "frames": 2}})
    config = with_scenes(raw).model_copy(update={"train": validated})
    assert len(open_splits(config)["val"]) == 2
    same = config.data.model_copy(update={"val_split": "train"})
    with pytest.raises(InputError, match=r"data\.val_split = 'train': must differ"):
        open_splits(config.model_copy(update={"data": same}))
