"""What data sets that follow KITTI's layout share: numbered files, calibrations, split lists."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.formats.prepared import Split, rigid_transform
from radarsparse.formats.tables import check_bounds, need_folder, read_text

SPLITS = ("train", "val", "test")
TRANSLATION_MAX_M = 100.0


def list_numbers(folder: Path, digits: int, layout: str) -> list[int]:
    """Numbers of the files such as `00012.bin` in a folder, ascending.

    Args:
        folder: where they are.
        digits: of a file's name.
        layout: whose layout asks for the folder.

    Raises:
        InputError: the folder is missing or holds no such file.
    """
    need_folder(folder, layout)
    numbers = sorted(int(path.stem) for path in folder.glob("[0-9]" * digits + ".bin"))
    if not numbers:
        raise InputError(f"{folder}: holds no file such as {'0' * digits}.bin")
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

    Source: data-formats.md, section 3.
    """
    entries = (line.partition(":") for line in read_text(path).splitlines())
    values = {name.strip(): text.split() for name, _, text in entries}
    if key not in values:
        raise InputError(f"{path}: has no line {key}:")
    numbers = _to_numbers(values[key], f"{path}: {key}")
    return rigid_transform(np.vstack([numbers.reshape(3, 4), (0, 0, 0, 1)]), f"{path}: {key}")


def _to_numbers(texts: Sequence[str], source: str) -> NDArray[np.float64]:
    if len(texts) != 12:
        raise InputError(f"{source}: holds {len(texts)} values; must hold 12")
    try:
        numbers = np.array([float(text) for text in texts])
    except ValueError as error:
        raise InputError(f"{source}: must be numbers ({error})") from error
    check_bounds(numbers, source, -TRANSLATION_MAX_M, TRANSLATION_MAX_M)
    return numbers


def read_image_sets(folder: Path) -> Split:
    """Read which frames each of `train.txt`, `val.txt` and `test.txt` lists.

    Args:
        folder: usually called ImageSets.

    Raises:
        InputError: a list is missing or malformed, or two lists share a frame.
    """
    numbers = {name: _read_numbers(folder / f"{name}.txt") for name in SPLITS}
    _check_disjoint(folder, numbers)
    return {name: to_ranges(sorted(listed)) for name, listed in numbers.items()}


def to_ranges(numbers: Sequence[int]) -> list[list[int]]:
    """Inclusive ranges that hold just these numbers.

    Args:
        numbers: ascending.
    """
    gaps = [index for index, (one, two) in enumerate(pairwise(numbers), 1) if two > one + 1]
    bounds = [0, *gaps, len(numbers)] if numbers else []
    return [[numbers[first], numbers[end - 1]] for first, end in pairwise(bounds)]


def _read_numbers(path: Path) -> set[int]:
    lines = read_text(path).split()
    wrong = [line for line in lines if not (line.isascii() and line.isdecimal())]
    if wrong:
        raise InputError(f"{path}: lists {wrong[0]!r}; must list numbers of frames")
    return {int(line) for line in lines}


def _check_disjoint(folder: Path, numbers: dict[str, set[int]]) -> None:
    for one, two in (("train", "val"), ("train", "test"), ("val", "test")):
        shared = numbers[one] & numbers[two]
        if shared:
            raise InputError(f"{folder}: {one}.txt and {two}.txt both list frame {min(shared)}")
