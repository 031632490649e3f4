"""What data sets that follow KITTI's layout share: numbered files, calibrations, split lists."""

import re
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.native import check_bounds, need_folder, parse_numbers
from radarsparse.errors import InputError
from radarsparse.formats.prepared import Split, rigid_transform
from radarsparse.formats.tables import read_text

SPLITS = ("train", "val", "test")
TRANSLATION_MAX_M = 100.0


def list_numbers(folder: Path, digits: int, layout: str, suffix: str = ".bin") -> list[int]:
    """Numbers, of some digits, of the files such as `00012.bin` in a layout's folder, ascending.

    Raises:
        InputError: the folder is missing or holds no such file.
    """
    need_folder(folder, layout)
    numbers = sorted(int(path.stem) for path in folder.glob("[0-9]" * digits + suffix))
    if not numbers:
        raise InputError(f"{folder}: holds no file such as {'0' * digits}{suffix}")
    return numbers


def read_transform(path: Path, key: str) -> NDArray[np.float64]:
    """Read a rigid transform from a calibration file of lines `key: 12 numbers`.

    Other keys may be empty, as View-of-Delft leaves `Tr_imu_to_velo:`.

    Args:
        path: the calibration file.
        key: such as `Tr_velo_to_cam`.

    Returns:
        [4, 4]; for `Tr_a_to_b` it is T_b_a.

    Raises:
        InputError: the file or the key is missing, or its value is no rigid transform.

    Source: calibration files and documents of tudelft-iv/view-of-delft-dataset.
    """
    lines = (line.partition(":") for line in read_text(path).splitlines())
    values = {name.strip(): text for name, _, text in lines}
    source = f"{path}: {key}"
    if key not in values:
        raise InputError(f"{path}: has no line {key}:")
    rows = np.reshape(parse_numbers(values[key], 12, source), (3, 4))
    check_bounds(rows, source, -TRANSLATION_MAX_M, TRANSLATION_MAX_M)
    return rigid_transform(np.vstack([rows, (0, 0, 0, 1)]), source)


def read_image_sets(folder: Path) -> Split:
    """Read which frames each of `train.txt`, `val.txt` and `test.txt` lists.

    Raises:
        InputError: a list is missing or malformed, or two lists share a frame.
    """
    numbers = {name: _read_numbers(folder / f"{name}.txt") for name in SPLITS}
    for one, two in combinations(SPLITS, 2):
        if shared := numbers[one] & numbers[two]:
            raise InputError(f"{folder}: {one}.txt and {two}.txt both list frame {min(shared)}")
    return {name: to_ranges(sorted(listed)) for name, listed in numbers.items()}


def to_ranges(numbers: Sequence[int]) -> list[list[int]]:
    """Inclusive ranges that hold just these numbers, which ascend."""
    gaps = [index for index, (one, two) in enumerate(pairwise(numbers), 1) if two > one + 1]
    bounds = [0, *gaps, len(numbers)] if numbers else []
    return [[numbers[first], numbers[end - 1]] for first, end in pairwise(bounds)]


def _read_numbers(path: Path) -> set[int]:
    lines = read_text(path).split()
    if wrong := [line for line in lines if not re.fullmatch("[0-9]{1,6}", line)]:
        raise InputError(f"{path}: lists {wrong[0][:80]!r}; must list numbers of up to 6 digits")
    return {int(line) for line in lines}
