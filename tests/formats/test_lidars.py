import re
from pathlib import Path

import pytest

from radarsparse.config import LidarSettings
from radarsparse.errors import InputError
from radarsparse.formats.lidars import LIDARS, read_lidar

MOUNTED = LidarSettings(
    rings_deg=(1.0,), position_m=(-0.1, 0.2, 0.3), yaw_pitch_roll_deg=(1.0, 2.0, 3.0)
)


@pytest.mark.parametrize(("name", "rings"), [("vlp16", 16), ("hdl64", 64), ("os1-128", 128)])
def test_a_known_lidar_stands_where_the_other_one_did(name: str, rings: int) -> None:
    found = read_lidar(name, MOUNTED)
    assert len(found.rings_deg) == rings
    assert found.azimuth_step_deg == LIDARS[name].azimuth_step_deg
    assert found.position_m == MOUNTED.position_m
    assert found.yaw_pitch_roll_deg == MOUNTED.yaw_pitch_roll_deg


def test_a_file_states_rings_and_may_state_the_mount(tmp_path: Path) -> None:
    file = tmp_path / "lidar.yaml"
    file.write_text("rings_deg: [-3, 0, 2.5]\nposition_m: [0, 0, 1]\n")
    found = read_lidar(str(file), MOUNTED)
    assert found.rings_deg == (-3.0, 0.0, 2.5)
    assert found.position_m == (0.0, 0.0, 1.0)
    assert found.yaw_pitch_roll_deg == MOUNTED.yaw_pitch_roll_deg


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("position_m: [0, 0, 1]", "states no rings_deg"),
        ("rings_deg: [100]", "rings_deg"),
        ("rings: [1, 2]", "rings"),
        ("[1, 2]", "lidar.yaml"),
    ],
)
def test_a_table_that_is_none_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "lidar.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_lidar(str(file), MOUNTED)
    assert str(file) in str(caught.value)


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(InputError, match="'sonar': neither a file nor one of vlp16, hdl64"):
        read_lidar("sonar", MOUNTED)
