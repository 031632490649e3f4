"""The config of a run on a user's own frames: held back, taken on, refused."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radarsparse.config import VaeConfig
from radarsparse.config.settings import DataSettings
from radarsparse.errors import InputError
from radarsparse.formats.prepared import (
    DatasetCard,
    PreparedFrames,
    write_dataset_card,
    write_frame,
    write_split,
)
from radarsparse.geometry import pose
from radarsparse.models.weights import load_diffusion
from radarsparse.training.adapting import (
    Adaptation,
    check_frames,
    check_rig,
    hold_back,
    plan_adaptation,
    samples_for,
)
from radarsparse.training.loop import train
from radarsparse.viewer.plots import render_clouds
from tests.conftest import tiny_config, tiny_pair

CARD = DatasetCard("x", "radar", "lidar", (110.0, 10.0), 13.0, 10.0, "none", "none")


def folder(root: Path, numbers: Sequence[int]) -> Path:
    for number in numbers:
        write_frame(root, tiny_pair(number))
    return root


def names_of(data: DataSettings) -> tuple[list[int], list[int]]:
    """Frames to train on and frames held back."""
    opened = [
        PreparedFrames.open(Path(data.root), split, data.split)
        for split in (data.train_split, data.val_split)
    ]
    train_numbers, held = ([int(name) for name in frames.names] for frames in opened)
    return train_numbers, held


def plan(root: Path, checkpoint: object = "weights", *overrides: str) -> Adaptation:
    return plan_adaptation(root, str(checkpoint), None, overrides)


@pytest.mark.parametrize(
    ("numbers", "split", "held"),
    [
        (range(3), None, [2]),
        (range(10), None, [8, 9]),
        (range(20), None, [17, 18, 19]),
        (range(0, 40, 4), None, [32, 36]),
        (range(10), {"train": [[0, 6]], "test": [[7, 9]]}, [6]),
        (range(20), {"train": [[12, 19], [0, 3]], "test": [[4, 11]]}, [18, 19]),
    ],
)
def test_the_last_frames_are_held_back(tmp_path, numbers, split, held) -> None:
    root = folder(tmp_path, numbers)
    if split:
        write_split(root, split)
    ranges = split["train"] if split else [[0, 99]]
    usable = [n for n in numbers if any(first <= n <= last for first, last in ranges)]
    before = sorted(tmp_path.rglob("*"))
    train_numbers, found = names_of(hold_back(DataSettings(root=str(root))))
    assert found == held
    assert train_numbers == [n for n in usable if n not in held]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_split_to_validate_on_stays(frames: Path, tmp_path: Path) -> None:
    data = DataSettings(root=str(frames))
    assert hold_back(data) == data
    named = DataSettings(root=str(frames), split={"train": ((0, 2),), "val": ((5, 5),)})
    assert names_of(hold_back(named)) == ([0, 1, 2], [5])
    first = DataSettings(root=str(frames), split={"train": ((0, 4),)})
    assert names_of(hold_back(first)) == ([0, 1, 2, 3], [4])
    write_split(folder(tmp_path, [0]), {"test": [[0, 0]]})
    with pytest.raises(InputError, match=r"no split 'train'; there are: test"):
        hold_back(DataSettings(root=str(tmp_path)))


def test_length_by_number_of_frames() -> None:
    table = {2: 2000, 66: 2000, 67: 2010, 100: 3000, 200: 6000, 201: 6000}
    assert {frames: samples_for(frames) for frames in table} == table


def test_what_the_checkpoint_has_is_taken_on(frames: Path, edm_run: Path) -> None:
    start = load_diffusion(edm_run)[1]
    config = plan(frames, edm_run, "train.batch_size=3", "data.augment.mirror=0").config
    for block in ("volume", "sampling", "model", "lidar"):
        assert getattr(config, block) == getattr(start, block), block
    assert (config.init, config.data.root, config.stage) == (str(edm_run), str(frames), "edm")
    assert (config.train.batch_size, config.data.augment.mirror) == (3, 0.0)
    assert config.data.augment.yaw_max_deg == DataSettings(root="").augment.yaw_max_deg
    assert config.train.samples == 2000


def test_the_lidar_is_that_of_the_card_or_that_of_the_weights(tmp_path: Path) -> None:
    T_radar_lidar = pose(np.radians([4.0, 0.0, 0.0]), np.array([-0.2, 0.0, 0.5]))
    for number in range(4):
        write_frame(tmp_path, replace(tiny_pair(number), T_radar_lidar=T_radar_lidar))
    adapted, lines = plan(tmp_path)
    assert adapted.model.vae == "weights"
    assert adapted.lidar.rings_deg == tuple(range(-15, 16, 2))
    assert adapted.lidar.position_m == (-0.2, 0.0, 0.5)
    assert adapted.lidar.yaw_pitch_roll_deg == (4.0, 0.0, 0.0)
    assert "16 rings of the weights, since no card" in lines[-2]
    write_dataset_card(tmp_path, replace(CARD, lidar_rings_deg=(-8.0, -2.0)))
    adapted, lines = plan(tmp_path)
    assert adapted.lidar.rings_deg == (-8.0, -2.0)
    assert "2 rings of the data's card" in lines[-2]


def test_few_frames_are_said_to_be_few(tmp_path: Path, frames: Path, edm_run: Path) -> None:
    few = plan(folder(tmp_path, range(3)), edm_run).lines
    assert few[0] == (
        "2 frames to train on for 2,000 samples, 1 held back (000002 to 000002, since 'val' is no"
        " split of the folder)"
    )
    assert few[1].startswith("2 frames are few")
    many = plan(folder(tmp_path, range(35)), edm_run).lines
    assert [line for line in many if "few" in line] == []
    assert plan(frames, edm_run).lines[0].endswith("2 held back (000006 to 000007)")


def test_what_is_no_set_of_prepared_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there are none; `radarsparse prepare` makes them"):
        plan(tmp_path)
    file = tmp_path / "frames" / "000000.npz"
    file.parent.mkdir()
    np.savez(file, radar=np.zeros((3, 5)))
    with pytest.raises(InputError, match=r"000000.npz holds radar; `radarsparse prepare` makes"):
        plan(tmp_path)


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1, "holds 1 frame; must be 3 or more, 1 is held back"),
        (2, "leaves 1 frame to train on beside 1 held back; must be 2 or more"),
    ],
)
def test_too_few_frames_are_refused(tmp_path, edm_run, count, message) -> None:
    with pytest.raises(InputError, match=message):
        plan(folder(tmp_path, range(count)), edm_run)


def test_a_run_of_another_stage_is_refused(frames, edm_run, vae_run, tmp_path) -> None:
    with pytest.raises(InputError, match="is of stage 'vae'"):
        plan(frames, vae_run)
    few_step = tiny_config(frames, "ect", str(edm_run), vae=str(vae_run))
    assert not isinstance(few_step, VaeConfig)
    train(few_step, tmp_path / "ect", render_clouds)
    with pytest.raises(InputError, match="is of stage 'ect', needed is 'edm'"):
        plan(frames, tmp_path / "ect")
    with pytest.raises(InputError, match="--set stage=ect: must stay 'edm'"):
        plan(frames, edm_run, "stage=ect", f"teacher={edm_run}")


@pytest.mark.parametrize(
    ("yaw_deg", "shift_m", "message"),
    [
        (4.9, 0.0, None),
        (0.0, 0.49, None),
        (5.1, 0.0, "000000 and 000003 differ by 0.00 m and 5.1 deg"),
        (0.0, 0.51, "000000 and 000003 differ by 0.51 m and 0.0 deg"),
        (180.0, 0.3, "000000 and 000003 differ by 0.30 m and 180.0 deg"),
    ],
)
def test_frames_of_two_rigs_are_refused(yaw_deg, shift_m, message) -> None:
    T_radar_lidar = pose(np.radians([yaw_deg, 0.0, 0.0]), np.array([0.0, shift_m, 0.0]))
    other = replace(tiny_pair(3), T_radar_lidar=T_radar_lidar)
    if message is None:
        check_rig(tiny_pair(0), other)
    else:
        with pytest.raises(InputError, match=message):
            check_rig(tiny_pair(0), other)


def test_each_frame_is_checked_before_training(tmp_path: Path, edm_run: Path) -> None:
    config = plan(folder(tmp_path, range(5)), edm_run).config
    check_frames(config)
    far = tiny_pair(4)
    write_frame(tmp_path, replace(far, T_radar_lidar=pose(np.zeros(3), np.array([0.0, 0.0, 3.0]))))
    with pytest.raises(InputError, match=r"000000 and 000004 differ by 3\.00 m"):
        check_frames(config)
    radar = far.radar.copy()
    radar[:, 0] += 50
    write_frame(tmp_path, replace(far, radar=radar))
    with pytest.raises(InputError, match="frame 000004: no radar point lies in the volume"):
        check_frames(config)
