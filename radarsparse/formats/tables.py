"""Files whose columns or names a data set states: read exactly so, or refused."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.formats.columns import select_columns
from radarsparse.formats.content import as_float64, parse_bin, parse_file, parse_npy, parse_txt
from radarsparse.formats.pcd import parse_pcd
from radarsparse.formats.ply import parse_ply

PARSERS = {".ply": parse_ply, ".pcd": parse_pcd, ".txt": parse_txt}
"""Of the formats whose files name their columns, by suffix."""


def read_float32(path: Path, columns: int) -> NDArray[np.float32]:
    """Read headerless little-endian float32 rows, [n, columns]; n may be 0.

    Raises:
        InputError: the file is missing or holds no whole number of rows.
    """
    return parse_file(path, partial(parse_bin, columns, "float32")).astype(np.float32)


def read_npy(path: Path, columns: Sequence[int]) -> NDArray[np.float64]:
    """Read an array that NumPy saved, [n, one of `columns`]; n may be 0.

    Raises:
        InputError: the file is missing or damaged, or the array has another shape or type.
    """
    array = parse_file(path, parse_npy)
    if array.ndim != 2 or array.shape[1] not in columns:
        allowed = " or ".join(map(str, columns))
        raise InputError(f"{path}: has shape {array.shape}; must be (n, {allowed})")
    return as_float64(array)


def read_named(path: Path, names: Sequence[str]) -> NDArray[np.float64]:
    """Read columns of a file in `PARSERS` by the names that it gives, [n, len(names)]; n may be 0.

    Raises:
        InputError: the file is missing, damaged or cut off, or lacks a column.
    """
    table = parse_file(path, PARSERS[path.suffix.lower()])
    return as_float64(select_columns(table, names, str(path)))


def read_text(path: Path) -> str:
    """Read a small text file.

    Raises:
        InputError: the file is missing or no UTF-8 text.
    """
    return parse_file(path, _decode)


def _decode(content: bytes, source: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{source}: can't be read: byte {error.start} is no UTF-8") from error
