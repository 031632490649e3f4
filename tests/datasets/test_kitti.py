"""Files in KITTI's layout."""

from pathlib import Path

import numpy as np
import pytest

from radarsparse.datasets.kitti import list_numbers, read_image_sets, read_transform, to_ranges
from radarsparse.errors import InputError
from tests.formats.test_tables import fuzz

CALIBRATION = (
    "P2: 1495.468642 0.0 961.272442 0.0 0.0 1495.468642 624.89592 0.0 0.0 0.0 1.0 0.0\n"
    "R0_rect: 1 0 0 0 1 0 0 0 1\n"
    "Tr_velo_to_cam: 0 -1 0 0.25 0 0 -1 1.5 1 0 0 -2\n"
    "Tr_imu_to_velo:\n"
)


def test_the_transform_of_a_key_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(CALIBRATION)
    np.testing.assert_array_equal(
        read_transform(tmp_path / "a.txt", "Tr_velo_to_cam"),
        [[0, -1, 0, 0.25], [0, 0, -1, 1.5], [1, 0, 0, -2], [0, 0, 0, 1]],
    )


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("Tr_cam_to_road", "has no line Tr_cam_to_road:"),
        ("Tr_imu_to_velo", "Tr_imu_to_velo: ''; must be 12 finite numbers"),
        ("R0_rect", "R0_rect: '1 0 0 0 1 0 0 0 1'; must be 12 finite numbers"),
        ("P2", r"P2: lies in 0 \.\. 1495.47; must lie in -100 \.\. 100"),
    ],
)
def test_other_keys_are_refused(tmp_path: Path, key: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(CALIBRATION)
    with pytest.raises(InputError, match=rf"a\.txt: {message}"):
        read_transform(tmp_path / "a.txt", key)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (": 0 -1 0 0.25", ": 0 -1 0 one", "'0 -1 0 one .*'; must be 12 finite numbers"),
        (": 0 -1 0 0.25", ": 0 -1 0 nan", "'0 -1 0 nan .*'; must be 12 finite numbers"),
        (": 0 -1 0 0.25", ": 0 1 0 0.25", "is not rigid"),
        (": 0 -1 0 0.25", ": 0 -1 0 250", r"lies in -2 \.\. 250"),
    ],
)
def test_malformed_transforms_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    (tmp_path / "a.txt").write_text(CALIBRATION.replace(old, new))
    with pytest.raises(InputError, match=rf"a\.txt: Tr_velo_to_cam: {message}"):
        read_transform(tmp_path / "a.txt", "Tr_velo_to_cam")


def test_numbered_files_are_listed(tmp_path: Path) -> None:
    for name in ("00012.bin", "00003.bin", "000004.bin", "00005.txt", "other.bin"):
        (tmp_path / name).touch()
    assert list_numbers(tmp_path, 5, "Set") == [3, 12]
    with pytest.raises(InputError, match=r"holds no file such as 0000\.bin"):
        list_numbers(tmp_path, 4, "Set")
    with pytest.raises(InputError, match="no such folder; the layout of Set has it"):
        list_numbers(tmp_path / "nowhere", 5, "Set")


@pytest.mark.parametrize(
    ("numbers", "ranges"),
    [
        ([], []),
        ([7], [[7, 7]]),
        ([1, 2, 3, 5, 8, 9], [[1, 3], [5, 5], [8, 9]]),
    ],
)
def test_numbers_become_ranges(numbers: list[int], ranges: list[list[int]]) -> None:
    assert to_ranges(numbers) == ranges


def write_lists(folder: Path, **lists: str) -> None:
    for name, text in {"train": "000003\n000001\n000002", "val": "000007\n", "test": ""}.items():
        (folder / f"{name}.txt").write_text(lists.get(name, text))


def test_split_lists_are_read(tmp_path: Path) -> None:
    write_lists(tmp_path)
    assert read_image_sets(tmp_path) == {"train": [[1, 3]], "val": [[7, 7]], "test": []}


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"val": "seven"}, r"val\.txt: lists 'seven'; must list numbers"),
        ({"val": "9" * 5000}, r"val\.txt: lists '9{80}'; must list numbers of up to 6 digits"),
        ({"val": "-7"}, r"val\.txt: lists '-7'"),
        ({"test": "000002"}, r"train\.txt and test\.txt both list frame 2"),
    ],
)
def test_malformed_split_lists_are_refused(
    tmp_path: Path, lists: dict[str, str], message: str
) -> None:
    write_lists(tmp_path, **lists)
    with pytest.raises(InputError, match=message):
        read_image_sets(tmp_path)


def test_a_missing_split_list_is_named(tmp_path: Path) -> None:
    write_lists(tmp_path)
    (tmp_path / "val.txt").unlink()
    with pytest.raises(InputError, match=r"val\.txt: no such file"):
        read_image_sets(tmp_path)


def test_damaged_calibrations_give_a_transform_or_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(CALIBRATION)
    read_well, refused = fuzz([path], lambda: read_transform(path, "Tr_velo_to_cam"), 500)
    assert read_well > 0
    assert refused > 0
