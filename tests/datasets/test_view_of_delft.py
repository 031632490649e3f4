"""The View-of-Delft loader, on tiny files in the native layout."""

from pathlib import Path

import numpy as np
import pytest

from radarsparse.datasets.view_of_delft import open_view_of_delft
from radarsparse.errors import InputError
from radarsparse.formats.prepared import read_split, write_split
from radarsparse.formats.rings import HDL_64_DEG
from tests.formats.test_tables import frame_of, fuzz, write_float32

#        x     y     z    RCS    v_r  v_r_compensated  time
RADAR = [[10.0, 1.0, 0.5, -12.5, -3.5, 0.25, 0.0], [20.25, -2.0, 1.0, 4.0, 2.0, 0.0, 0.0]]
LIDAR = [[5.0, 0.0, 0.0, 7.0], [-5.0, 1.0, 0.5, 255.0]]
# Both sensors look along x; the camera looks along its z, x to the right.
CALIBRATION = (
    "R0_rect: 1 0 0 0 1 0 0 0 1\nTr_velo_to_cam: 0 -1 0 {} 0 0 -1 {} 1 0 0 {}\nTr_imu_to_velo:\n"
)
FILES = ("velodyne/00012.bin", "calib/00012.txt")


def write_native(root: Path, number: int = 12) -> Path:
    radar, lidar = root / "radar/training", root / "lidar/training"
    write_float32(radar / f"velodyne/{number:05d}.bin", RADAR)
    write_float32(lidar / f"velodyne/{number:05d}.bin", np.repeat(LIDAR, 2, axis=0))
    for folder, offset in ((radar, (0.0, 1.0, 2.0)), (lidar, (0.25, 0.5, -0.5))):
        (folder / "calib").mkdir(exist_ok=True)
        (folder / f"calib/{number:05d}.txt").write_text(CALIBRATION.format(*offset))
    return root


def test_a_native_frame_is_read(tmp_path: Path) -> None:
    frame = frame_of(open_view_of_delft(write_native(tmp_path)), "000012")
    np.testing.assert_array_equal(
        frame.radar, [[10, 1, 0.5, -3.5, -12.5], [20.25, -2, 1, 2, 4]], "Doppler, then power"
    )
    np.testing.assert_array_equal(frame.lidar, LIDAR, "each point once")


def test_the_lidar_is_moved_over_the_camera_into_the_radar_frame(tmp_path: Path) -> None:
    frame = frame_of(open_view_of_delft(write_native(tmp_path)), "000012")
    # In the camera's axes the LiDAR stands (0.25, -0.5, -2.5) m from the radar.
    np.testing.assert_allclose(frame.T_radar_lidar[:3, :3], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(frame.T_radar_lidar[:3, 3], [-2.5, -0.25, 0.5], atol=1e-12)


def test_the_split_is_the_official_one(tmp_path: Path) -> None:
    source = open_view_of_delft(write_native(tmp_path))
    frames = {name: sum(b - a + 1 for a, b in ranges) for name, ranges in source.split.items()}
    assert frames == {"train": 5139, "val": 1296, "test": 2247}
    members = [n for ranges in source.split.values() for a, b in ranges for n in range(a, b + 1)]
    assert len(members) == len(set(members))
    assert (0, 543) in source.split["val"]
    write_split(tmp_path, source.split)
    assert read_split(tmp_path)["test"][0] == [2532, 2797]


def test_frames_are_named_and_the_card_tells_them_apart(tmp_path: Path) -> None:
    one = open_view_of_delft(write_native(tmp_path))
    two = open_view_of_delft(write_native(tmp_path, 3))
    assert one.names == ("000012",)
    assert two.names == ("000003", "000012")
    assert one.card != two.card
    assert one.card.licence.startswith("View-of-Delft licence: research institutions only")
    assert one.card.lidar_rings_deg == HDL_64_DEG


@pytest.mark.parametrize(
    ("path", "rows", "message"),
    [
        ("radar/training/velodyne/00012.bin", LIDAR, "holds 8 float32; must be a multiple of 7"),
        ("radar/training/velodyne/00012.bin", np.zeros((0, 7)), "no usable point of 0"),
        ("radar/training/velodyne/00012.bin", np.full((2, 7), np.nan), "no usable point of 2"),
        ("radar/training/velodyne/00012.bin", LIDAR * 7, "column time: lies in"),
        ("lidar/training/velodyne/00012.bin", RADAR, "holds 14 float32; must be a multiple of 4"),
        ("lidar/training/velodyne/00012.bin", RADAR * 4, "intensity: lies in"),
        ("lidar/training/velodyne/00012.bin", np.diag([np.inf] * 4), "no usable point of 4"),
    ],
)
def test_malformed_clouds_are_named(tmp_path: Path, path: str, rows: list, message: str) -> None:
    write_float32(write_native(tmp_path) / path, rows)
    with pytest.raises(InputError, match=rf"{path}.*{message}"):
        frame_of(open_view_of_delft(tmp_path), "000012")


@pytest.mark.parametrize("folder", ["radar", "lidar"])
@pytest.mark.parametrize("text", ["", "Tr_velo_to_cam:\n", "Tr_velo_to_cam: 1 2 3\n"])
def test_malformed_calibrations_are_named(tmp_path: Path, folder: str, text: str) -> None:
    (write_native(tmp_path) / folder / "training/calib/00012.txt").write_text(text)
    with pytest.raises(InputError, match=rf"{folder}/training/calib/00012\.txt: .*Tr_velo_to_cam"):
        frame_of(open_view_of_delft(tmp_path), "000012")


@pytest.mark.parametrize("folder", ["radar", "lidar"])
@pytest.mark.parametrize("file", FILES)
def test_missing_files_are_named(tmp_path: Path, folder: str, file: str) -> None:
    write_native(tmp_path, 3)
    source = open_view_of_delft(write_native(tmp_path))
    (tmp_path / folder / "training" / file).unlink()
    with pytest.raises(InputError, match=f"{folder}/training/{file}: no such file"):
        frame_of(source, "000012")
    frame_of(source, "000003")


def test_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lidar/training/velodyne: no such folder"):
        open_view_of_delft(tmp_path)
    (tmp_path / "lidar/training/velodyne").mkdir(parents=True)
    with pytest.raises(InputError, match="radar/training/velodyne: no such folder"):
        open_view_of_delft(tmp_path)
    (tmp_path / "radar/training/velodyne").mkdir(parents=True)
    with pytest.raises(InputError, match=r"holds no file such as 00000\.bin"):
        open_view_of_delft(tmp_path)


def test_damaged_files_give_a_frame_or_an_input_error(tmp_path: Path) -> None:
    source = open_view_of_delft(write_native(tmp_path))
    files = [tmp_path / part / "training" / file for part in ("radar", "lidar") for file in FILES]
    read_well, refused = fuzz(files, lambda: frame_of(source, "000012"), 400)
    assert read_well > 0
    assert refused > 0
