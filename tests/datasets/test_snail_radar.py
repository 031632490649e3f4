"""The SNAIL-Radar loader, on tiny files in the native layout."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from radarsparse.datasets.snail_radar import PLACES, open_snail_radar
from radarsparse.errors import InputError
from tests.formats.test_tables import ASCII_PCD, frame_of, fuzz, write_pcd

RADAR_NAMES = ("x", "y", "z", "Doppler", "Range", "Power", "Alpha", "Beta", "denoiseFlag")
RADAR = np.array(
    [[10, 1, 0.5, -3.5, 10.1, 21, -5, 2, 0], [20, -2, 1, 0.25, 20.2, 9, 5, 2, 1]], dtype=np.float32
)
LIDAR_DTYPE = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")]
LIDAR_DTYPE += [("timestamp", "<f8"), ("ring", "<u2")]
# The LiDAR's y points to the right of the car when its x points left of it: -y is forward.
LIDAR = [(0.0, -5.0, 0.0, 7.0, 1.7e9, 3), (2.0, 0.0, 0.5, 255.0, 1.7e9, 4)]
RADAR_FILE = "eagleg7/enhanced/{}.pcd"
LIDAR_FILE = "xt32/{}.pcd"
STAMP = "1700000000.000000000"


def write_lidar(path: Path, rows: Sequence[tuple[float, ...]] = LIDAR) -> None:
    """Write a sweep as the authors' converter does: packed rows of mixed types."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = (
        "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\n"
        "FIELDS x y z intensity timestamp ring\nSIZE 4 4 4 4 8 2\nTYPE F F F F F U\n"
        f"COUNT 1 1 1 1 1 1\nWIDTH {len(rows)}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\n"
        f"POINTS {len(rows)}\nDATA binary\n"
    )
    path.write_bytes(header.encode() + np.array(rows, dtype=LIDAR_DTYPE).tobytes())


def write_native(
    recording: Path, radar: Sequence[str] = (STAMP,), lidar: Sequence[str] = (STAMP,)
) -> Path:
    for stamp in radar:
        write_pcd(recording / RADAR_FILE.format(stamp), RADAR, RADAR_NAMES)
    for stamp in lidar:
        write_lidar(recording / LIDAR_FILE.format(stamp))
    return recording


def test_a_native_frame_is_read(tmp_path: Path) -> None:
    frame = frame_of(open_snail_radar(write_native(tmp_path / "20240113/data5")), "000000")
    np.testing.assert_array_equal(frame.radar, RADAR[:, [0, 1, 2, 3, 5]])
    np.testing.assert_array_equal(frame.lidar, [[0, -5, 0, 7], [2, 0, 0.5, 255]])


def test_the_lidar_is_turned_forward(tmp_path: Path) -> None:
    frame = frame_of(open_snail_radar(write_native(tmp_path / "20240113/data5")), "000000")
    # 5 m ahead and 2 m to the left; the radar stands 7 cm ahead, 11.5 cm below, turned by 2 deg
    np.testing.assert_allclose(
        frame.lidar_in_radar_frame[:, :3], [[5 - 0.07, 0, 0.115], [-0.07, 2, 0.615]], atol=0.1
    )
    np.testing.assert_allclose(frame.lidar_origin_m, [-0.07, 0, 0.115], atol=0.01)


def test_sweeps_are_paired_with_the_nearest_radar_cloud(tmp_path: Path) -> None:
    radar = ("1700000000.000000000", "1700000000.070000000", "1700000000.500000000")
    lidar = (
        "1699999999.980000000",  # 20 ms before the first
        "1700000000.036000000",  # nearer to the second
        "1700000000.100000000",  # 30 ms after the second
        "1700000000.300000000",  # 200 ms from any
        "1700000000.549000000",  # 49 ms after the last
        "1700000000.551000000",  # 51 ms after the last
    )
    source = open_snail_radar(write_native(tmp_path / "20240113_5", radar, lidar))
    assert source.names == ("000000", "000001", "000002", "000003")
    gaps_s = [frame.time_gap_s for frame in source.read(source.names)]  # pyright: ignore
    np.testing.assert_allclose(gaps_s, [0.020, 0.034, 0.030, 0.049], atol=1e-6)
    (tmp_path / "20240113_5" / RADAR_FILE.format(radar[1])).write_text("")
    reads = [frame.__class__.__name__ for frame in source.read(source.names)]
    assert reads == ["ScanPair", "Unusable", "Unusable", "ScanPair"]


def test_frames_are_numbered_by_date_and_run_and_split_by_place(tmp_path: Path) -> None:
    two = ("1700000000.000000000", "1700000000.100000000")
    write_native(tmp_path / "20240116/data5", two, two)
    write_native(tmp_path / "20240116/2", two, two)
    write_native(tmp_path / "20240116_eve_3")
    write_native(tmp_path / "ss/20231109_4")
    source = open_snail_radar(tmp_path)
    assert source.names == tuple(f"{number:06d}" for number in range(6))
    assert source.split == {"val": [(0, 0)], "test": [(1, 2), (5, 5)], "train": [(3, 4)]}
    assert source.card.licence.startswith("ODbL")


@pytest.mark.parametrize("name", ["2024/data5", "20240113/data9", "20240113_late/data5", "other"])
def test_unknown_recordings_are_refused(tmp_path: Path, name: str) -> None:
    write_native(tmp_path / name)
    with pytest.raises(InputError, match=f"{name}: is none of the 44 recordings"):
        open_snail_radar(tmp_path)


def test_each_of_the_44_recordings_has_one_place() -> None:
    listed = [key for keys in PLACES.values() for key in keys.split()]
    assert len(listed) == len(set(listed)) == 44


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        (RADAR_FILE, ASCII_PCD, "has no column Doppler"),
        (RADAR_FILE, "", "has no line that begins DATA"),
        (LIDAR_FILE, ASCII_PCD, "has no column intensity"),
        (LIDAR_FILE, ASCII_PCD.replace("Power", "intensity").replace("30", "300"), "lies in 12"),
        (LIDAR_FILE, ASCII_PCD.replace("Power", "intensity").replace("4 5", "4"), "can't be read"),
    ],
)
def test_malformed_clouds_are_named(tmp_path: Path, path: str, text: str, message: str) -> None:
    recording = write_native(tmp_path / "20240113/data5")
    (recording / path.format(STAMP)).write_text(text)
    with pytest.raises(InputError, match=rf"{path.format(STAMP)}.*{message}"):
        frame_of(open_snail_radar(tmp_path), "000000")


def test_empty_cut_off_and_nan_clouds_are_named(tmp_path: Path) -> None:
    path = write_native(tmp_path / "20240113/data5") / LIDAR_FILE.format(STAMP)
    source = open_snail_radar(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=f"{path}: .*is cut off"):
        frame_of(source, "000000")
    write_lidar(path, [])
    with pytest.raises(InputError, match=f"{path}: no usable point of 0"):
        frame_of(source, "000000")
    write_lidar(path, [(np.nan, 1, 1, 1, 1, 1)])
    with pytest.raises(InputError, match=f"{path}: no usable point of 1"):
        frame_of(source, "000000")
    path.unlink()
    with pytest.raises(InputError, match=f"{path}: no such file"):
        frame_of(source, "000000")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no folder eagleg7/enhanced"):
        open_snail_radar(tmp_path)
    recording = write_native(tmp_path / "20240113/data5", lidar=())
    with pytest.raises(InputError, match=r"xt32: holds no file such as"):
        open_snail_radar(tmp_path)
    write_native(recording, lidar=["1700000001.000000000"])
    with pytest.raises(InputError, match=r"no LiDAR sweep has a radar cloud within 0\.05 s"):
        open_snail_radar(tmp_path)
    write_native(recording, lidar=["first"])
    with pytest.raises(InputError, match=r"first\.pcd: isn't named by its stamp"):
        open_snail_radar(tmp_path)


def test_damaged_files_give_a_frame_or_an_input_error(tmp_path: Path) -> None:
    recording = write_native(tmp_path / "20240113/data5")
    source = open_snail_radar(tmp_path)
    files = [recording / path.format(STAMP) for path in (RADAR_FILE, LIDAR_FILE)]
    read_well, refused = fuzz(files, lambda: frame_of(source, "000000"), 400)
    assert read_well > 0
    assert refused > 0
