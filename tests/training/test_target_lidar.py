"""Which LiDAR a run imitates: the one that its config names, else that of the training data."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from radarsparse import Enhancer
from radarsparse.config import Config, load_config, validate_config
from radarsparse.errors import InputError
from radarsparse.formats.prepared import DatasetCard, write_dataset_card, write_frame, write_split
from radarsparse.geometry import pose
from radarsparse.simulator.lidar_models import VLP_16
from radarsparse.simulator.pairs import SimulatedFrames
from radarsparse.training.source_radar import tell_radar
from radarsparse.training.target_lidar import tell_lidar
from radarsparse.voxels.batch import make_batch
from tests.conftest import tiny_config, tiny_pair
from tests.tools.test_run import call

CARD = DatasetCard("x", "radar", "lidar", (110.0, 10.0), 13.0, 10.0, "none", "none")
RINGS_DEG = (-20.0, -8.0, -2.0, 3.0)
ANGLES_DEG = (5.0, -2.5, 1.25)
POSITION_M = (-0.2, 0.05, 0.3)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Frames whose LiDAR stands elsewhere in each."""
    root = tmp_path / "data"
    for index in range(8):
        mount = pose(np.radians(ANGLES_DEG), np.array(POSITION_M) + 0.1 * (index - 2))
        write_frame(root, replace(tiny_pair(index), T_radar_lidar=mount))
    write_split(root, {"train": [[2, 5]], "val": [[6, 7]]})
    return root


def silent(root: Path, stage: str = "vae", **model: object) -> dict[str, Any]:
    """A tiny config that says nothing of sensors."""
    raw = tiny_config(root, stage, **model).model_dump(mode="json")
    del raw["lidar"], raw["radar"]
    return raw


def tell(raw: dict[str, Any]) -> tuple[Config, str | None]:
    return tell_lidar(validate_config(raw, "test"))


def test_the_rings_are_those_of_the_card_and_the_mount_that_of_the_first_frame(data: Path) -> None:
    write_dataset_card(data, replace(CARD, lidar_rings_deg=RINGS_DEG))
    config, line = tell(silent(data))
    assert config.lidar.rings_deg == RINGS_DEG
    assert config.lidar.position_m == POSITION_M
    assert config.lidar.yaw_pitch_roll_deg == ANGLES_DEG
    assert line == (
        "lidar: 4 rings of the data's card, mounted as in frame 000002 at [-0.2, 0.05, 0.3] m,"
        " [5.0, -2.5, 1.25] deg"
    )
    assert tell_lidar(config) == (config, None)


def test_what_the_config_says_stays(data: Path) -> None:
    write_dataset_card(data, replace(CARD, lidar_rings_deg=RINGS_DEG))
    for rings_deg in ([], [1.0]):
        raw = silent(data) | {"lidar": {"rings_deg": rings_deg}}
        assert tell(raw) == (validate_config(raw, "test"), None)
    config, _ = tell(silent(data) | {"lidar": {"position_m": [1.0, 2.0, 3.0]}})
    assert config.lidar.position_m == (1.0, 2.0, 3.0)
    assert (config.lidar.rings_deg, config.lidar.yaw_pitch_roll_deg) == (RINGS_DEG, ANGLES_DEG)


def test_nothing_is_told_where_the_data_say_nothing(data: Path) -> None:
    untold = validate_config(silent(data), "test")
    assert tell_lidar(untold) == (untold, None)
    write_dataset_card(data, CARD)
    assert tell_lidar(untold) == (untold, None)
    card = yaml.safe_load((data / "dataset.yaml").read_text())
    del card["lidar_rings_deg"]
    (data / "dataset.yaml").write_text(yaml.safe_dump(card))
    assert tell_lidar(untold) == (untold, None)


@pytest.mark.parametrize(
    ("rings", "words"),
    [
        ("[91]", r"lidar_rings_deg.0 = 91: must be less than or equal to 90"),
        ("seven", r"lidar_rings_deg = 'seven': must be a valid array"),
    ],
)
def test_rings_of_no_use_are_named(data: Path, rings: str, words: str) -> None:
    (data / "dataset.yaml").write_text(f"lidar_rings_deg: {rings}\n")
    with pytest.raises(InputError, match=f"dataset.yaml: {words}"):
        tell(silent(data))


def test_a_mount_of_no_use_is_named(data: Path) -> None:
    write_dataset_card(data, replace(CARD, lidar_rings_deg=RINGS_DEG))
    far = pose((0.0, 0.0, 0.0), (500.0, 0.0, 0.0))
    write_frame(data, replace(tiny_pair(2), T_radar_lidar=far))
    with pytest.raises(InputError, match=r"frame 000002: lidar.position_m.0 = 500.0: must be"):
        tell(silent(data))


def test_endless_scenes_are_of_the_simulated_lidar(data: Path) -> None:
    raw = silent(data)
    raw["data"]["scenes_seed"] = 3
    config, _ = tell(raw)
    assert config.lidar.rings_deg == VLP_16.rings_deg
    mount = pose(np.radians(config.lidar.yaw_pitch_roll_deg), config.lidar.position_m)
    np.testing.assert_allclose(mount, SimulatedFrames(3)[0].T_radar_lidar, atol=1e-4)


def test_a_run_keeps_what_it_was_told_in_its_folder_and_its_weights(
    data: Path, vae_run: Path, tmp_path: Path
) -> None:
    write_dataset_card(data, replace(CARD, lidar_rings_deg=RINGS_DEG))
    file, out = tmp_path / "edm.yaml", tmp_path / "edm"
    file.write_text(yaml.safe_dump(silent(data, "edm", vae=str(vae_run))))
    words = "lidar: 4 rings of the data's card"
    tried = call("train", "--config", file, "--out", out, "--dry-run", "--json")
    assert tried.returncode == 0, tried.stderr
    assert tried.stderr.count(words) == 1
    expected, _ = tell_radar(tell_lidar(load_config(file)).config)
    for block in ("lidar", "radar"):
        told = getattr(expected, block).model_dump(mode="json")
        assert json.loads(tried.stdout)["config"][block] == told
    done = call("train", "--config", file, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(words) == 1
    assert load_config(out / "config.yaml") == expected
    enhancer = Enhancer.load(out)
    assert (enhancer.lidar, enhancer.radar) == (expected.lidar, expected.radar)
    assert enhancer.radar.points == (40, 40)
    pair = replace(tiny_pair(0), T_radar_lidar=pose(np.radians(ANGLES_DEG), POSITION_M))
    batch = make_batch([pair], enhancer.volume, RINGS_DEG)
    scene = enhancer.make_batch(pair)
    assert torch.equal(scene.cells.feats, batch.cells.feats)
    # It goes on as it was told.
    again = call("train", "--config", file, "--out", out, "--set", "train.samples=10")
    assert again.returncode == 0, again.stderr
