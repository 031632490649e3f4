"""TJ4DRadSet's radar clouds, on tiny files in the native layout."""

from pathlib import Path

import numpy as np
import pytest

from radarsparse.datasets.tj4dradset import convert_tj4dradset, read_tj4dradset_radar
from radarsparse.errors import InputError
from radarsparse.formats.clouds import list_clouds, read_radar
from tests.formats.test_tables import fuzz, write_float32

# x, y, z, v_r, range, power, alpha, beta
RADAR = [[3.0, 4.0, 12.0, -3.5, 13.0, 21.0, -53.1, -76.0], [6, 2, 3, 1.5, 7, 9.25, -18.4, -26.6]]
CONVERTED = [[3, 4, 12, -3.5, 21], [6, 2, 3, 1.5, 9.25]]


def write_native(root: Path, name: str = "070070", rows: object = RADAR) -> Path:
    write_float32(root / f"training/velodyne/{name}.bin", rows)
    return root


def test_clouds_are_converted_for_the_tools(tmp_path: Path) -> None:
    root = write_native(write_native(tmp_path / "native"), "070071")
    assert convert_tj4dradset(root, tmp_path / "radar") == 2
    files = list_clouds(tmp_path / "radar")
    assert [path.name for path in files] == ["070070.npy", "070071.npy"]
    np.testing.assert_array_equal(read_radar(files[0]), CONVERTED)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["native", "radar"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((1, 7)), "holds 7 float32; must be a multiple of 8"),
        (np.zeros((0, 8)), "no usable point of 0"),
        (np.full((2, 8), np.nan), "no usable point of 2"),
        (
            np.multiply(RADAR, (1, 1, 1, 1, 1.5, 1, 1, 1)),
            "point 0 has range 19.5 m in column Range; must be 13 m",
        ),
    ],
)
def test_malformed_clouds_leave_no_target(tmp_path: Path, rows: np.ndarray, message: str) -> None:
    root = write_native(write_native(tmp_path / "native"), "070071", rows)
    with pytest.raises(InputError, match=rf"velodyne/070071\.bin: {message}"):
        convert_tj4dradset(root, tmp_path / "radar")
    assert not (tmp_path / "radar").exists()
    write_native(root, "070071")
    assert convert_tj4dradset(root, tmp_path / "radar") == 2, "it goes on"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["native", "radar"]


def test_targets_with_contents_are_left_alone(tmp_path: Path) -> None:
    root, target = write_native(tmp_path / "native"), tmp_path / "radar"
    target.mkdir()
    (target / "diary.txt").write_text("mine")
    with pytest.raises(InputError, match="radar: exists with other contents"):
        convert_tj4dradset(root, target)
    assert (target / "diary.txt").read_text() == "mine"
    (target / "diary.txt").rename(tmp_path / "radar.partial")
    with pytest.raises(InputError, match=r"radar\.partial: is in the way"):
        convert_tj4dradset(root, target)
    (tmp_path / "radar.partial").unlink()
    assert convert_tj4dradset(root, target) == 1


def test_an_unwritable_target_is_named(tmp_path: Path) -> None:
    root = write_native(tmp_path / "native")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file/radar: can't be written"):
        convert_tj4dradset(root, tmp_path / "file/radar")


def test_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="training/velodyne: no such folder"):
        convert_tj4dradset(tmp_path, tmp_path / "radar")


def test_damaged_files_give_points_or_an_input_error(tmp_path: Path) -> None:
    path = write_native(tmp_path) / "training/velodyne/070070.bin"

    def read() -> None:
        points = read_tj4dradset_radar(path)
        assert points.shape[1] == 5
        assert np.isfinite(points).all()

    read_well, refused = fuzz([path], read, 400)
    assert read_well > 0
    assert refused > 0
