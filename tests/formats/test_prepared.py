"""Prepared frames: what is written is read back, and what can't be used is named."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.formats.prepared import (
    DatasetCard,
    PreparedFrames,
    read_frame,
    read_split,
    write_frame,
    write_split,
)
from radarsparse.scan import ScanPair

FAR = np.eye(4)
FAR[0, 3] = 1e30
CARD = DatasetCard("x", "radar", "lidar", (110.0, 10.0), 13.0, 10.0, "none", "none", {"seed": 1})


def make_pair(name: str = "000003") -> ScanPair:
    rng = np.random.default_rng(int(name))
    transform = np.eye(4)
    transform[:3, 3] = (0.1, 0.2, 0.3)
    return ScanPair(
        name,
        rng.normal(size=(7, 5)).astype(np.float32),
        rng.normal(size=(9, 4)).astype(np.float32),
        transform,
    )


def write_arrays(path: Path, **changes: Any) -> Path:
    pair = make_pair()
    arrays: dict[str, Any] = {
        "radar": pair.radar,
        "lidar": pair.lidar,
        "T_radar_lidar": pair.T_radar_lidar,
    }
    kept = {key: value for key, value in (arrays | changes).items() if value is not None}
    np.savez(path, **kept)
    return path


def test_a_frame_comes_back_unchanged(tmp_path: Path) -> None:
    pair = make_pair()
    write_frame(tmp_path, pair)
    back = read_frame(tmp_path / "frames/000003.npz")
    assert back.name == "000003"
    assert back.radar.dtype == back.lidar.dtype == np.float32
    np.testing.assert_array_equal(back.radar, pair.radar)
    np.testing.assert_array_equal(back.lidar, pair.lidar)
    np.testing.assert_array_equal(back.T_radar_lidar, pair.T_radar_lidar)
    assert back.time_gap_s is None
    assert [path.name for path in (tmp_path / "frames").iterdir()] == ["000003.npz"]
    write_frame(tmp_path, replace(pair, time_gap_s=0.02))
    assert read_frame(tmp_path / "frames/000003.npz").time_gap_s == 0.02
    assert back.rings_deg is None
    write_frame(tmp_path, replace(pair, rings_deg=(-3.0, 1.5)))
    assert read_frame(tmp_path / "frames/000003.npz").rings_deg == (-3.0, 1.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lidar": None}, "lidar"),
        ({"radar": np.zeros((3, 4))}, r"radar has shape \(3, 4\); must be \(n, 5\)"),
        ({"lidar": np.zeros(4)}, r"lidar has shape \(4,\)"),
        ({"radar": np.zeros((0, 5))}, "radar: no usable point of 0"),
        ({"radar": np.full((2, 5), np.nan)}, "radar: no usable point of 2"),
        ({"lidar": np.full((2, 4), "a")}, "must be real numbers"),
        ({"T_radar_lidar": np.eye(3)}, r"T_radar_lidar: has shape \(3, 3\); must be \(4, 4\)"),
        ({"T_radar_lidar": 2 * np.eye(4)}, "not rigid"),
        ({"T_radar_lidar": np.diag([1.0, 1.0, -1.0, 1.0])}, "not rigid"),
        ({"T_radar_lidar": np.full((4, 4), np.nan)}, "not rigid"),
        ({"T_radar_lidar": FAR}, r"T_radar_lidar: moves by 1e\+30 m; must be at most 10000 m"),
        ({"time_gap_s": np.array(2e6)}, r"time_gap_s = 2000000\.0; must be .*, 0 to 1e\+06"),
        ({"time_gap_s": np.array(-0.1)}, r"time_gap_s = -0\.1; must be one number of seconds"),
        ({"time_gap_s": np.array(np.nan)}, "time_gap_s = nan; must be one number of seconds"),
        ({"lidar_rings_deg": np.zeros((2, 2))}, "lidar_rings_deg = .*must be 1 to 1024 elevations"),
        ({"lidar_rings_deg": np.zeros(0)}, r"lidar_rings_deg = \[\]; must be 1 to 1024"),
        ({"lidar_rings_deg": np.array([1.0, 91.0])}, "must be .*, -90 to 90 degrees"),
        ({"lidar_rings_deg": np.array([np.nan])}, "must be .*, -90 to 90 degrees"),
        ({"time_gap_s": np.zeros(2)}, r"time_gap_s = \[0\. 0\.\]; must be one number"),
    ],
)
def test_unusable_arrays_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_arrays(tmp_path / "000000.npz", **changes)
    with pytest.raises(InputError, match=message) as caught:
        read_frame(path)
    assert str(path) in str(caught.value)


def test_what_no_sensor_measures_is_dropped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair = make_pair()
    radar, lidar = pair.radar.copy(), pair.lidar.copy()
    radar[1, 3], lidar[2, :3] = 3.4e38, 0
    back = read_frame(write_arrays(tmp_path / "000000.npz", radar=radar, lidar=lidar))
    np.testing.assert_array_equal(back.radar, np.delete(pair.radar, 1, axis=0))
    np.testing.assert_array_equal(back.lidar, np.delete(pair.lidar, 2, axis=0))
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "radar: dropped 1 of 7 points: doppler_mps 3.4e+38 beyond -200 .. 200",
        "lidar: dropped 1 of 9 points: no return, at the origin",
    ]
    radar[:, 4] = 1e6
    with pytest.raises(InputError, match=r"radar: power_db 1e\+06 beyond -200 \.\. 200 in 7 of 7"):
        read_frame(write_arrays(tmp_path / "000000.npz", radar=radar))


def test_rows_with_nan_are_dropped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    radar = make_pair().radar.copy()
    radar[0, 3], radar[2, 0] = np.nan, np.inf
    path = write_arrays(tmp_path / "000000.npz", radar=radar)
    with caplog.at_level(logging.WARNING, logger="radarsparse"):
        back = read_frame(path)
    np.testing.assert_array_equal(back.radar, radar[[1, 3, 4, 5, 6]])
    assert "dropped 2 of 7" in caplog.text


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 broken"])
def test_corrupt_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "000000.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"000000\.npz"):
        read_frame(path)


def test_a_cut_off_file_is_named(tmp_path: Path) -> None:
    write_frame(tmp_path, make_pair())
    path = tmp_path / "frames/000003.npz"
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"000003\.npz"):
        read_frame(path)


def test_a_bare_array_and_a_missing_file_are_named(tmp_path: Path) -> None:
    with (tmp_path / "000000.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(
        InputError, match=r"000000\.npz: can't be read: damaged, cut off or no .npz"
    ):
        read_frame(tmp_path / "000000.npz")
    with pytest.raises(InputError, match="no such file"):
        read_frame(tmp_path / "000001.npz")


def test_a_split_holds_the_existing_frames_of_its_ranges(tmp_path: Path) -> None:
    for name in ("000007", "000001", "000003", "000009"):
        write_frame(tmp_path, make_pair(name))
    write_split(tmp_path, {"train": [[0, 3], [9, 20]], "val": [[4, 8]], "none": [[30, 40]]})
    frames = PreparedFrames.open(tmp_path, "train")
    assert frames.names == ("000001", "000003", "000009")
    assert len(frames) == 3
    np.testing.assert_array_equal(frames[1].radar, make_pair("000003").radar)
    assert PreparedFrames.open(tmp_path, "val").names == ("000007",)
    with pytest.raises(InputError, match="holds none"):
        PreparedFrames.open(tmp_path, "none")
    with pytest.raises(InputError, match=r"no split 'test'; there are: train, val, none"):
        PreparedFrames.open(tmp_path, "test")


def test_other_ranges_may_stand_in_the_place_of_those_of_the_folder(tmp_path: Path) -> None:
    for name in ("000001", "000003", "000007"):
        write_frame(tmp_path, make_pair(name))
    ranges = {"train": [(3, 9)], "none": [(30, 40)]}
    assert PreparedFrames.open(tmp_path, "train", ranges).names == ("000003", "000007")
    write_split(tmp_path, {"train": [[0, 1]], "val": [[7, 7]]})
    assert PreparedFrames.open(tmp_path, "train", ranges).names == ("000003", "000007")
    with pytest.raises(InputError, match="holds none"):
        PreparedFrames.open(tmp_path, "none", ranges)
    with pytest.raises(InputError, match=r"data\.split: no split 'val'; there are: train, none"):
        PreparedFrames.open(tmp_path, "val", ranges)


def test_missing_parts_of_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        PreparedFrames.open(tmp_path / "nowhere", "train")
    with pytest.raises(InputError, match=r"frames: no such folder"):
        PreparedFrames.open(tmp_path, "train")
    write_frame(tmp_path, make_pair())
    with pytest.raises(InputError, match=r"split\.yaml: no such file"):
        PreparedFrames.open(tmp_path, "train")


@pytest.mark.parametrize("text", ["3", "[3, 1]", "[[3, 1]]", "[[0]]", "[[0, 1.5]]", "[[-1, 1]]"])
def test_malformed_ranges_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "split.yaml").write_text(f"train: {text}\n")
    with pytest.raises(InputError, match=r"split\.yaml: train"):
        read_split(tmp_path)


def test_all_frames_are_found_whatever_their_split(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        PreparedFrames.open_all(tmp_path)
    for name in ("000003", "000007"):
        write_frame(tmp_path, make_pair(name))
    assert PreparedFrames.open_all(tmp_path).names == ("000003", "000007")
