"""The Astyx loader, on tiny files in the native layout and on the real ones where they are."""

import json
from pathlib import Path

import numpy as np
import pytest

from radarsparse.datasets.astyx import open_astyx
from radarsparse.errors import InputError
from radarsparse.formats.prepared import read_frame
from radarsparse.formats.rings import VLP_16_DEG
from radarsparse.scan import ScanPair
from tests.formats.test_tables import frame_of

ASTYX = Path(__file__).resolve().parents[3] / "shared/data/astyx"

RADAR = "\nX Y Z V_r Mag\n10 1 0.5 -3.5 46.5\n20.25 -2 1 0.25 97\n"
LIDAR_ROWS = (
    (5.0, 0.0, 0.0, 7.0),  # ahead
    (0.9, 0.0, 0.0, 7.0),  # 1 m from the LiDAR, 0.9 m + 0.5 m from the radar
    (-5.0, 0.0, 0.0, 7.0),  # behind
    (1.0, 9.0, 0.0, 7.0),  # 80 deg to the left
    (1.0, -3.0, 0.0, 7.0),  # 63 deg to the right of the radar, 72 deg of the LiDAR
    (0.3, 0.0, 0.0, 7.0),  # too near
)


NAME = "000012"


def read(root: Path) -> ScanPair:
    return frame_of(open_astyx(root), NAME)


def write_native(root: Path, name: str = NAME) -> Path:
    T_ref_lidar = np.eye(4)
    T_ref_lidar[0, 3] = 0.5
    files = {
        f"radar_6455/{name}.txt": RADAR,
        f"lidar_vlp16/{name}.txt": "X Y Z Reflectivity LaserID Timestamp \n"
        + "".join(" ".join(map(str, row)) + " 3 720552646\n" for row in LIDAR_ROWS),
        f"calibration/{name}.json": json.dumps(
            {
                "sensors": [
                    {"sensor_uid": uid, "calib_data": {"T_to_ref_COS": transform.tolist()}}
                    for uid, transform in (("radar_6455", np.eye(4)), ("lidar_vlp16", T_ref_lidar))
                ]
            }
        ),
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_a_native_frame_is_read_and_cropped(tmp_path: Path) -> None:
    pair = read(write_native(tmp_path))
    assert pair.name == "000012"
    np.testing.assert_array_equal(pair.radar, [[10, 1, 0.5, -3.5, 46.5], [20.25, -2, 1, 0.25, 97]])
    np.testing.assert_array_equal(pair.lidar, np.array(LIDAR_ROWS, dtype=np.float32)[[0, 1, 4]])
    np.testing.assert_array_equal(pair.T_radar_lidar[:3, 3], [0.5, 0, 0])


def test_the_radar_pose_is_taken_off(tmp_path: Path) -> None:
    path = write_native(tmp_path) / "calibration/000012.json"
    calibration = json.loads(path.read_text())
    calibration["sensors"][0]["calib_data"]["T_to_ref_COS"][0][3] = 2.0
    path.write_text(json.dumps(calibration))
    assert read(tmp_path).T_radar_lidar[0, 3] == pytest.approx(-1.5)


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("radar_6455/000012.txt", "X Y Z V_r\n1 2 3 4\n", "has no column Mag; there are: X"),
        ("radar_6455/000012.txt", "\nX Y Z V_r Mag\n", "no usable point of 0"),
        ("radar_6455/000012.txt", "\nX Y Z V_r Mag\n1 2 3\n", "row 0 is '1 2 3'; must be 5"),
        ("lidar_vlp16/000012.txt", "", "holds no line of names"),
        ("lidar_vlp16/000012.txt", "X Y Z Reflectivity\n-3 0 0 1\n", "no usable point"),
        ("lidar_vlp16/000012.txt", "X Y Z Reflectivity\n1e300 inf 0 1\n", "no usable point"),
        ("lidar_vlp16/000012.txt", "X Y Z Reflectivity\n3 0 0 256\n", "intensity: lies in 256"),
        ("calibration/000012.json", "{", "lacks T_to_ref_COS"),
        ("calibration/000012.json", "[" * 9999, "lacks T_to_ref_COS"),
        ("calibration/000012.json", "9" * 9999, "lacks T_to_ref_COS"),
        ("calibration/000012.json", '{"sensors": []}', "lacks T_to_ref_COS of radar_6455"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, path: str, text: str, message: str) -> None:
    write_native(tmp_path)
    (tmp_path / path).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path)
    assert path in str(caught.value)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="radar_6455: no such folder"):
        open_astyx(tmp_path)
    write_native(tmp_path, "000012")
    write_native(tmp_path, "000003")
    assert open_astyx(tmp_path).names == ("000003", "000012")
    assert open_astyx(tmp_path).card.lidar_rings_deg == VLP_16_DEG
    for path in ("lidar_vlp16/000003.txt", "calibration/000003.json"):
        (tmp_path / path).rename(tmp_path / "away")
        with pytest.raises(InputError, match=f"{path}: no such file"):
            frame_of(open_astyx(tmp_path), "000003")
        (tmp_path / "away").rename(tmp_path / path)
    read(tmp_path)


@pytest.mark.data
@pytest.mark.skipif(not ASTYX.is_dir(), reason=f"the Astyx frames are not at {ASTYX}")
def test_the_real_frames_equal_their_prepared_twins() -> None:
    source = open_astyx(ASTYX / "native")
    for name in source.names:
        own = frame_of(source, name)
        twin = read_frame(ASTYX / f"frames/{name}.npz")
        np.testing.assert_array_equal(own.radar, twin.radar)
        np.testing.assert_array_equal(own.lidar, twin.lidar)
        np.testing.assert_array_equal(own.T_radar_lidar, twin.T_radar_lidar)
