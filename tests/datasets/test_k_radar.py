"""The K-Radar loader, on tiny files in the native layout."""

from pathlib import Path

import numpy as np
import pytest

from radarsparse.datasets.k_radar import open_k_radar
from radarsparse.errors import InputError
from tests.formats.test_tables import frame_of, fuzz

# x, y, z, power (linear)
RADAR = np.array([[10.2, 1.0, 0.6, 100.0], [20.2, -2.2, 1.0, 0.5]])
LIDAR = (
    "5 0 0 7 0 100 3 2 5000",
    "0 0 0 0 10 0 0 0 0",  # no return
    "-5 0.005 1 1300 20 200 4 2 5001",  # a strong reflector
    "0.02 0.005 1 9 30 200 5 2 5001",
)
PCD = (
    "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\n"
    "FIELDS x y z intensity t reflectivity ring ambient range\nSIZE 4 4 4 4 4 2 1 2 4\n"
    "TYPE F F F F U U U U U\nCOUNT 1 1 1 1 1 1 1 1 1\nWIDTH 4\nHEIGHT 1\n"
    "VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 4\nDATA ascii\n" + "\n".join(LIDAR) + "\n"
)
FRAME = "010033"
LIDAR_FILE = "1/os2-64/os2-64_00001.pcd"
CALIBRATION_FILE = "1/info_calib/calib_radar_lidar.txt"
RADAR_FILE = "rtnh_wider_1p_1/1/sprdr_00033.npy"


def write_native(root: Path, folder: str = "1", radar: int = 33, lidar: int = 1) -> Path:
    recording, number = root / folder, Path(folder).name
    files = {
        recording / f"info_label/{radar:05d}_{lidar:05d}.txt": "* idx(...)\n",
        recording / f"os2-64/os2-64_{lidar:05d}.pcd": PCD,
        recording / "info_calib/calib_radar_lidar.txt": "frame difference,x,y\n32,-2.54,0.3\n",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    write_npy(root / f"rtnh_wider_1p_1/{number}/sprdr_{radar:05d}.npy", RADAR)
    return root


def write_npy(path: Path, rows: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, rows)


def test_a_native_frame_is_read(tmp_path: Path) -> None:
    frame = frame_of(open_k_radar(write_native(tmp_path)), FRAME)
    expected = [[10.2, 1, 0.6, 0, 20], [20.2, -2.2, 1, 0, 10 * np.log10(0.5)]]
    np.testing.assert_allclose(frame.radar, expected, rtol=1e-6)
    np.testing.assert_allclose(
        frame.lidar, [[5, 0, 0, 7], [-5, 0.005, 1, 255], [0.02, 0.005, 1, 9]], rtol=1e-6
    )
    np.testing.assert_array_equal(frame.T_radar_lidar[:3, :3], np.eye(3))
    np.testing.assert_array_equal(frame.lidar_origin_m, [-2.54, 0.3, 0.7])


def test_clouds_with_doppler_are_preferred(tmp_path: Path) -> None:
    write_native(tmp_path)
    path = tmp_path / "wide/rtnh_wider_1p_1_doppler/1/rdr_sparse_doppler_00033.npy"
    write_npy(path, np.c_[RADAR, [-1.5, 0.25]])
    frame = frame_of(open_k_radar(tmp_path), FRAME)
    np.testing.assert_array_equal(frame.radar[:, 3], [-1.5, 0.25])
    np.testing.assert_allclose(frame.radar[:, 4], [20, 10 * np.log10(0.5)], rtol=1e-6)


def test_numbers_come_from_recording_and_radar_frame(tmp_path: Path) -> None:
    write_native(tmp_path, "dir_38to58/58", 9, 2)
    write_native(tmp_path, "dir_1to20/10", 700, 3)
    before = open_k_radar(write_native(tmp_path))
    assert before.names == ("010033", "100700", "580009")
    after = open_k_radar(write_native(tmp_path, "dir_1to20/2"))
    assert after.names == ("010033", "020033", "100700", "580009")
    assert before.card != after.card
    frame_of(after, "580009")


def test_the_split_cuts_no_recording_and_counts_each_once(tmp_path: Path) -> None:
    split = open_k_radar(write_native(tmp_path)).split
    assert {name: len(ranges) for name, ranges in split.items()} == {
        "train": 41,
        "val": 6,
        "test": 11,
    }
    ranges = sorted(bounds for listed in split.values() for bounds in listed)
    assert ranges == [(n * 10_000, n * 10_000 + 9_999) for n in range(1, 59)]
    assert (50_000, 59_999) in split["test"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (RADAR[:, :3], r"has shape \(2, 3\); must be \(n, 4 or 5\)"),
        (RADAR[:0], "no usable point of 0"),
        (RADAR * np.nan, "no usable point of 2"),
        (-RADAR, r"column power: lies in -100 \.\."),
        (RADAR * (1, 1, 1, 0), "no usable point of 2"),
    ],
)
def test_malformed_radar_is_named(tmp_path: Path, rows: np.ndarray, message: str) -> None:
    np.save(write_native(tmp_path) / RADAR_FILE, rows)
    with pytest.raises(InputError, match=rf"sprdr_00033\.npy: {message}"):
        frame_of(open_k_radar(tmp_path), FRAME)


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        (LIDAR_FILE, "", "has no line that begins DATA"),
        (LIDAR_FILE, PCD.replace("intensity", "i"), "has no column intensity"),
        (LIDAR_FILE, PCD[:-30], "is cut off: holds 3 points; must hold 4|can't be read"),
        (LIDAR_FILE, PCD.replace(LIDAR[0], "0 0 0"), "can't be read"),
        (CALIBRATION_FILE, "", "offset of line 2, 'frame offset,x,y': ''; must be 2 finite"),
        (CALIBRATION_FILE, "frame difference,x,y\n32,-2.54\n", "offset .*: '-2.54'; must be 2"),
        (CALIBRATION_FILE, "frame difference,x,y\n32,-2.54,z\n", "offset .*: '-2.54 z'; must"),
        (CALIBRATION_FILE, "frame difference,x,y\n32,-2.54,nan\n", "offset .*: '-2.54 nan'"),
        (
            CALIBRATION_FILE,
            "frame difference,x,y\n32,-254,0.3\n",
            r"offset .*: lies in -254 \.\. 0\.3; must lie in -10 \.\. 10",
        ),
    ],
)
def test_malformed_texts_are_named(tmp_path: Path, path: str, text: str, message: str) -> None:
    (write_native(tmp_path) / path).write_text(text)
    with pytest.raises(InputError, match=rf"{path}: ({message})"):
        frame_of(open_k_radar(tmp_path), FRAME)


def test_a_sweep_without_any_return_is_refused(tmp_path: Path) -> None:
    pulses = "\n".join([LIDAR[1]] * 4)
    (write_native(tmp_path) / LIDAR_FILE).write_text(PCD.replace("\n".join(LIDAR), pulses))
    with pytest.raises(InputError, match=rf"{LIDAR_FILE}: no usable point of 4"):
        frame_of(open_k_radar(tmp_path), FRAME)


@pytest.mark.parametrize("path", [RADAR_FILE, LIDAR_FILE, CALIBRATION_FILE])
def test_missing_files_are_named(tmp_path: Path, path: str) -> None:
    source = open_k_radar(write_native(tmp_path))
    (tmp_path / path).unlink()
    with pytest.raises(InputError, match=f"{path}: no such file"):
        frame_of(source, FRAME)


def test_other_layouts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no folder rtnh_wider_1p_1"):
        open_k_radar(tmp_path)
    (tmp_path / "rtnh_wider_1p_1").mkdir()
    with pytest.raises(InputError, match=r"holds no file such as 1/info_label/00033_00001\.txt"):
        open_k_radar(tmp_path)
    write_native(tmp_path, radar=10_000)
    with pytest.raises(InputError, match="has radar frame 10000; must be below 10000"):
        open_k_radar(tmp_path)


def test_unknown_recordings_are_refused(tmp_path: Path) -> None:
    write_native(tmp_path, "59")
    with pytest.raises(InputError, match=r"59: is no recording of K-Radar; they are 1 \.\. 58"):
        open_k_radar(tmp_path)


def test_damaged_files_give_a_frame_or_an_input_error(tmp_path: Path) -> None:
    source = open_k_radar(write_native(tmp_path))
    files = [tmp_path / path for path in (RADAR_FILE, LIDAR_FILE, CALIBRATION_FILE)]
    read_well, refused = fuzz(files, lambda: frame_of(source, FRAME), 400)
    assert read_well > 0
    assert refused > 0
