"""What the sources share: tables of points as raw float32, NumPy, PCD and PLY; splits, hashes."""

import hashlib
import os
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from plyfile import PlyData
from pypcd4.pypcd4 import PointCloud

from radarsparse.errors import InputError
from radarsparse.formats.prepared import Split

T = TypeVar("T")

INTENSITY_MAX = 255.0

# LZF, by which PCD files are compressed, writes a repetition of 264 bytes as 3.
LZF_RATIO_MAX = 264 / 3


class CloudFiles(NamedTuple):
    """The native files of one frame.

    Attributes:
        radar: its radar cloud.
        lidar: its LiDAR cloud.
    """

    radar: Path
    lidar: Path


def read_float32(path: Path, columns: int) -> NDArray[np.float32]:
    """Read raw little-endian float32 rows.

    Args:
        path: a file without a header.
        columns: values in a row.

    Returns:
        [n, columns]; n may be 0.

    Raises:
        InputError: the file is missing or holds no whole number of rows.
    """
    values = _parse(path, _read_float32)
    if len(values) % columns:
        raise InputError(
            f"{path}: holds {len(values)} float32; must be a multiple of {columns}, a row's columns"
        )
    return values.reshape(-1, columns)


def read_npy(path: Path, columns: Sequence[int]) -> NDArray[np.float64]:
    """Read an array that NumPy saved.

    Args:
        path: a .npy file.
        columns: how many columns it may have.

    Returns:
        [n, one of columns]; n may be 0.

    Raises:
        InputError: the file is missing or damaged, or the array has another shape or type.
    """
    array = _parse(path, lambda path: np.asarray(np.load(path, allow_pickle=False)))
    if array.ndim != 2 or array.shape[1] not in columns:
        allowed = " or ".join(map(str, columns))
        raise InputError(f"{path}: has shape {array.shape}; must be (n, {allowed})")
    if array.dtype.kind not in "fiu":
        raise InputError(f"{path}: has type {array.dtype}; must be real numbers")
    return array.astype(np.float64)


def read_pcd(path: Path, names: Sequence[str]) -> NDArray[np.float64]:
    """Read named fields of a PCD file: ascii, binary or compressed.

    Args:
        path: a .pcd file.
        names: the wanted fields, as the file writes them.

    Returns:
        [n, len(names)]; n may be 0.

    Raises:
        InputError: the file is missing, damaged or cut off, or lacks a field.
    """
    return _parse(path, lambda path: _read_pcd(path, names))


def read_ply(path: Path, names: Sequence[str]) -> NDArray[np.float64]:
    """Read named vertex properties of a PLY file: ascii or binary.

    Args:
        path: a .ply file.
        names: the wanted properties, as the file writes them.

    Returns:
        [n, len(names)]; n may be 0.

    Raises:
        InputError: the file is missing, damaged or cut off, or lacks a property.
    """
    return _parse(path, lambda path: _read_ply(path, names))


def read_text(path: Path) -> str:
    """Read a small text file.

    Raises:
        InputError: the file is missing or no UTF-8 text.
    """
    return _parse(path, lambda path: path.read_text(encoding="utf-8"))


def check_bounds(values: NDArray[np.floating], source: str, lowest: float, highest: float) -> None:
    """Refuse values that a column can't hold, so that files of other data sets are noticed.

    Args:
        values: at least one.
        source: what to call them in errors.
        lowest: the least that is right.
        highest: the greatest that is right.

    Raises:
        InputError: a value lies beyond the bounds or is NaN.
    """
    least, greatest = float(values.min()), float(values.max())
    if not (lowest <= least and greatest <= highest):
        raise InputError(
            f"{source}: lies in {least:g} .. {greatest:g}; must lie in {lowest:g} .. {highest:g}"
        )


def unique_rows(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep the first of all rows that are equal bit by bit, in their order.

    Args:
        points: [n, c].
    """
    rows = np.ascontiguousarray(points)
    packed = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first = np.unique(packed, return_index=True)
    return rows[np.sort(first)]


def split_by_group(
    frames: Mapping[T, tuple[int, int]], val: Container[T], test: Container[T]
) -> Split:
    """Give whole groups of frames to the splits, so that no drive is cut.

    Args:
        frames: first and last frame's number of each group, such as a drive.
        val: the groups of this split.
        test: the groups of this split; all others are to train.
    """
    split: dict[str, list[tuple[int, int]]] = {"train": [], "val": [], "test": []}
    for group, bounds in frames.items():
        split["test" if group in test else "val" if group in val else "train"].append(bounds)
    return split


def fingerprint(root: Path, paths: Iterable[Path]) -> str:
    """Short hash of the names and sizes of native files, to tell one source from another.

    Args:
        root: what the names are relative to.
        paths: the files; a missing one counts as such.
    """
    digest = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size if path.is_file() else "missing"
        digest.update(os.fsencode(os.path.relpath(path, root)) + f" {size}\n".encode())
    return digest.hexdigest()[:16]


def need_folder(folder: Path, layout: str) -> None:
    """Refuse a folder that isn't there.

    Args:
        folder: what must exist.
        layout: whose layout asks for it.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; the layout of {layout} has it")


def _parse(path: Path, parse: Callable[[Path], T]) -> T:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return parse(path)
    except InputError:
        raise
    except Exception as error:  # damaged files make the parsers raise nearly anything
        raise InputError(f"{path}: can't be read ({type(error).__name__}: {error})") from error


def _read_float32(path: Path) -> NDArray[np.float32]:
    size, item = path.stat().st_size, np.dtype("<f4").itemsize
    if size % item:
        raise InputError(f"{path}: has {size} bytes; must be a multiple of {item} (float32)")
    return np.fromfile(path, dtype="<f4")


def _read_pcd(path: Path, names: Sequence[str]) -> NDArray[np.float64]:
    with path.open("rb") as file:
        header = _read_pcd_header(path, file)
        fields, points = header["FIELDS"], int(header["POINTS"][0])
        _need_columns(path, names, fields)
        if points and header["DATA"] == ["ascii"]:
            rows = _read_pcd_text(path, file, len(fields))[
                :, [fields.index(name) for name in names]
            ]
        else:
            _check_pcd_size(path, header, points)
            rows = _stack(np.atleast_1d(PointCloud.from_path(path).pc_data), names)
    if len(rows) != points:
        raise InputError(f"{path}: is cut off: holds {len(rows)} points; must hold {points}")
    return rows


def _check_pcd_size(path: Path, header: Mapping[str, list[str]], points: int) -> None:
    """Refuse more points than the file can hold, for which pypcd4 would take memory first."""
    sizes = zip(header["SIZE"], header["COUNT"], strict=True)
    needed = points * sum(int(size) * int(count) for size, count in sizes)
    held = path.stat().st_size * (1 if header["DATA"] == ["binary"] else LZF_RATIO_MAX)
    if needed > held:
        raise InputError(
            f"{path}: is cut off: {points} points need {needed} bytes; it holds {held:.0f} at most"
        )


def _read_pcd_header(path: Path, file: BinaryIO) -> Mapping[str, list[str]]:
    header: dict[str, list[str]] = {}
    for line in file:
        key, *values = line.decode("ascii").split() or [""]
        header[key] = values
        if key == "DATA":
            return header
    raise InputError(f"{path}: has no line that begins DATA")


def _read_pcd_text(path: Path, file: BinaryIO, columns: int) -> NDArray[np.float64]:
    # pypcd4 insists on the header's integer types, which not every writer keeps in its texts.
    rows = np.loadtxt(file, ndmin=2, dtype=np.float64)
    if rows.shape[1] != columns:
        raise InputError(f"{path}: has rows of {rows.shape[1]} values; must have {columns}")
    return rows


def _read_ply(path: Path, names: Sequence[str]) -> NDArray[np.float64]:
    ply = PlyData.read(str(path))
    if "vertex" not in ply:
        raise InputError(f"{path}: has no element 'vertex'")
    rows = ply["vertex"].data
    _need_columns(path, names, rows.dtype.names or ())
    return _stack(rows, names)


def _stack(rows: NDArray[Any], names: Sequence[str]) -> NDArray[np.float64]:
    return np.stack([np.asarray(rows[name], dtype=np.float64) for name in names], axis=1)


def _need_columns(path: Path, names: Sequence[str], found: Sequence[str]) -> None:
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(
            f"{path}: has no column {', '.join(missing)}; there are: {', '.join(found)}"
        )
