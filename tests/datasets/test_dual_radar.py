"""The Dual-Radar loaders, on tiny files in the native layout."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from radarsparse.datasets.build import Source
from radarsparse.datasets.dual_radar import open_dual_radar_arbe, open_dual_radar_ars548
from radarsparse.errors import InputError
from tests.formats.test_tables import frame_of, fuzz, write_float32

# x right, y forward, z up; intensity, Doppler
ARBE = [[-1.0, 10.0, 0.5, 30.0, -3.5], [2.0, 20.0, 1.0, 12.0, 0.0]]
# x forward, y left, z up; intensity, Doppler
ARS548 = [[10.0, 1.0, 0.5, 30.0, -3.5], [20.0, -2.0, 1.0, 12.0, 0.0]]
# x right, y forward, z up; intensity, ring, timestamp
LIDAR = [[0.0, 30.0, 0.0, 7.0, 3.0, 0.5], [5.0, -1.0, 0.5, 255.0, 4.0, 0.6]]

OPENERS = {"arbe": open_dual_radar_arbe, "ars548": open_dual_radar_ars548}
Open = Callable[[Path], Source]


def write_native(root: Path, part: str = "training", name: str = "000012") -> Path:
    write_float32(root / part / f"arbe/{name}.bin", ARBE)
    write_float32(root / part / f"ars548/{name}.bin", ARS548)
    write_float32(root / part / f"robosense/{name}.bin", LIDAR)
    return root


@pytest.mark.parametrize("radar", OPENERS)
def test_a_native_frame_is_read_with_x_forward_and_y_left(tmp_path: Path, radar: str) -> None:
    frame = frame_of(OPENERS[radar](write_native(tmp_path)), "000012")
    np.testing.assert_array_equal(frame.radar, [[10, 1, 0.5, -3.5, 30], [20, -2, 1, 0, 12]])
    np.testing.assert_array_equal(frame.lidar, np.array(LIDAR, dtype=np.float32)[:, :4])


@pytest.mark.parametrize(
    ("radar", "origin_m"), [("arbe", (-2.179, -0.078, 1.651)), ("ars548", (-1.908, -0.083, 1.293))]
)
def test_the_lidar_stands_behind_and_above_the_radar(
    tmp_path: Path, radar: str, origin_m: tuple[float, float, float]
) -> None:
    frame = frame_of(OPENERS[radar](write_native(tmp_path)), "000012")
    np.testing.assert_allclose(frame.lidar_origin_m, origin_m, atol=0.001)
    forward = frame.T_radar_lidar[:3, :3] @ (0.0, 1.0, 0.0)
    np.testing.assert_allclose(forward, (1.0, 0.0, 0.0), atol=0.1)


@pytest.mark.parametrize(
    ("radar", "T_lidar_radar"),
    [
        (
            "arbe",
            [
                [0.99811280, 0.05916116, 0.01645581, 0.07800451],
                [-0.05950389, 0.99800331, -0.02118198, 2.21408004],
                [0.01516981, 0.02212119, 0.99964020, -1.60307404],
            ],
        ),
        (
            "ars548",
            [
                [0.08065853, -0.99674179, 6.93e-05, 0.07152088],
                [0.99557554, 0.08056079, -0.04836635, 1.96854500],
                [0.04820318, 0.00397016, 0.99882966, -1.19909100],
            ],
        ),
    ],
)
def test_the_published_transform_takes_native_points_to_the_same_place(
    tmp_path: Path, radar: str, T_lidar_radar: list[list[float]]
) -> None:
    """The published code moves the radar to the LiDAR; here the LiDAR is moved to the radar."""
    frame = frame_of(OPENERS[radar](write_native(tmp_path)), "000012")
    native = np.array({"arbe": ARBE, "ars548": ARS548}[radar])
    moved = np.c_[native[:, :3], np.ones(len(native))] @ np.array(T_lidar_radar).T
    back = np.c_[moved, np.ones(len(native))] @ frame.T_radar_lidar.T
    # 3.3 cm at 1 m of height are the sign that the published Arbe matrix has wrong
    atol = {"arbe": 0.034, "ars548": 1e-6}[radar]
    np.testing.assert_allclose(back[:, :3], frame.radar[:, :3], atol=atol)


def test_both_parts_are_found(tmp_path: Path) -> None:
    write_native(tmp_path)
    write_native(tmp_path, "testing", "005141")
    source = open_dual_radar_arbe(tmp_path)
    assert source.names == ("000012", "005141")
    frame_of(source, "005141")
    assert source.card.radar_sensor == "Arbe Phoenix"
    assert source.card != open_dual_radar_ars548(tmp_path).card


def test_the_split_is_the_lists_or_the_published_blocks(tmp_path: Path) -> None:
    source = open_dual_radar_arbe(write_native(tmp_path))
    assert {name: b - a + 1 for name, ((a, b),) in source.split.items()} == {
        "train": 5141,
        "test": 2400,
        "val": 2466,
    }
    (tmp_path / "ImageSets").mkdir()
    for name, text in {"train": "000012\n000013\n", "val": "000020\n", "test": "000030\n"}.items():
        (tmp_path / f"ImageSets/{name}.txt").write_text(text)
    assert open_dual_radar_arbe(tmp_path).split == {
        "train": [[12, 13]],
        "val": [[20, 20]],
        "test": [[30, 30]],
    }
    (tmp_path / "ImageSets/val.txt").unlink()
    with pytest.raises(InputError, match=r"ImageSets/val\.txt: no such file"):
        open_dual_radar_arbe(tmp_path)


@pytest.mark.parametrize(
    ("file", "rows", "message"),
    [
        ("arbe", LIDAR, "holds 12 float32; must be a multiple of 5"),
        ("arbe", ARS548, "0 of 2 points lie before|1 of 2 points lie before"),
        ("arbe", np.full((2, 5), np.nan), "no usable point of 2"),
        ("arbe", np.zeros((0, 5)), "no usable point of 0"),
        ("robosense", ARBE, "holds 10 float32; must be a multiple of 6"),
        ("robosense", np.negative(ARBE * 3), "intensity: lies in"),
        ("robosense", np.full((2, 6), np.nan), "no usable point of 2"),
    ],
)
def test_malformed_clouds_are_named(tmp_path: Path, file: str, rows: list, message: str) -> None:
    path = f"training/{file}/000012.bin"
    write_float32(write_native(tmp_path) / path, rows)
    with pytest.raises(InputError, match=rf"{path}.*({message})"):
        frame_of(open_dual_radar_arbe(tmp_path), "000012")


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="training/robosense: no such folder"):
        open_dual_radar_arbe(tmp_path)
    (tmp_path / "training/robosense").mkdir(parents=True)
    with pytest.raises(InputError, match="training/ars548: no such folder"):
        open_dual_radar_ars548(tmp_path)
    source = open_dual_radar_ars548(write_native(tmp_path))
    (tmp_path / "training/robosense/000012.bin").unlink()
    with pytest.raises(InputError, match=r"robosense/000012\.bin: no such file"):
        frame_of(source, "000012")


@pytest.mark.parametrize("radar", OPENERS)
def test_damaged_files_give_a_frame_or_an_input_error(tmp_path: Path, radar: str) -> None:
    source = OPENERS[radar](write_native(tmp_path))
    files = [tmp_path / f"training/{folder}/000012.bin" for folder in (radar, "robosense")]
    read_well, refused = fuzz(files, lambda: frame_of(source, "000012"), 300)
    assert read_well > 0
    assert refused > 0
