"""Read radar points and clouds from files, write clouds to files; the suffix names the format."""

import io
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from plyfile import PlyData, PlyElement
from pypcd4.pypcd4 import Encoding, PointCloud

from radarsparse.errors import InputError
from radarsparse.files import replacing
from radarsparse.formats.columns import ALIASES
from radarsparse.scan import LIDAR_COLUMNS, RADAR_COLUMNS

Cloud = NDArray[np.float32]
PROBABILITY = "probability"
Table = Mapping[str, NDArray[Any]]
Reader = Callable[[Path], NDArray[Any]]
T = TypeVar("T")

_logger = logging.getLogger("radarsparse")


def read_radar(path: Path) -> Cloud:
    """Read one radar cloud.

    Formats: `.npz` (prepared frame, key `radar`), `.npy` [n, 5], `.bin` (float32, n x 5),
    `.ply` and `.pcd` (named properties), `.txt` (a header of names, then rows, as Astyx has it).
    Rows with a value that isn't finite are dropped with a warning.

    Returns:
        float32 [n, 5], `RADAR_COLUMNS`, in the file's frame.

    Raises:
        InputError: the file is missing, unreadable, empty, of an unknown suffix or lacks columns.
    """
    points = _read(path, _RADAR_READERS)
    if points.ndim != 2 or points.shape[1] != 5:
        raise InputError(f"{path}: shape {points.shape} found, (n, 5) expected")
    return _finite_rows(path, points)


def read_cloud(path: Path) -> Cloud:
    """Read one LiDAR or enhanced cloud.

    Formats: `.ply` and `.pcd` (properties x, y, z, intensity), `.npz` (key `points`), `.npy` and
    `.bin` (float32, n x 4).
    Rows with a value that isn't finite are dropped with a warning.

    Returns:
        float32 [n, 4], `LIDAR_COLUMNS`, in the file's frame; intensity 0 where the file has none.

    Raises:
        InputError: the file is missing, unreadable, empty, of an unknown suffix or lacks columns.
    """
    points = read_rows(path)
    return _finite_rows(path, np.pad(points, ((0, 0), (0, 4 - points.shape[1]))))


def read_rows(path: Path) -> NDArray[np.floating]:
    """Read one cloud of `read_cloud`'s formats as it is, for who counts what it lacks.

    An empty cloud is a result, not a mistake; values that aren't finite stay.

    Returns:
        [n, 4], `LIDAR_COLUMNS`, or [n, 3] where the file has no intensity; n may be 0.

    Raises:
        InputError: the file is missing, unreadable, of an unknown suffix or lacks columns.
    """
    points = _read(path, _CLOUD_READERS)
    if points.ndim != 2 or points.shape[1] not in (3, 4):
        raise InputError(f"{path}: shape {points.shape} found, (n, 3 or 4) expected")
    if points.dtype.kind not in "fiu":
        raise InputError(f"{path}: type {points.dtype} found, real numbers expected")
    return points.astype(np.float64) if points.dtype.kind in "iu" else points


def write_cloud(
    path: Path, points: NDArray[np.floating], probability: NDArray[np.floating] | None = None
) -> None:
    """Write a cloud as `.ply` (binary), `.pcd` (binary) or `.npz` (keys `points`, `probability`).

    The file appears whole or not at all.

    Args:
        path: where to; its folder must exist.
        points: [n, 4], x, y, z in metres and intensity, stored as float32.
        probability: [n], written too where it is given.

    Raises:
        InputError: the suffix is unknown, the folder is missing, or the shape is another.
    """
    encode = _by_suffix(path, _ENCODERS)
    if points.ndim != 2 or points.shape[1] != 4:
        raise InputError(f"{path}: shape {points.shape} given, (n, 4) expected")
    if not path.parent.is_dir():
        raise InputError(f"{path}: no such folder: {path.parent}")
    with replacing(path) as part:
        part.write_bytes(encode(_name_columns(points, probability)))


def _name_columns(
    points: NDArray[np.floating], probability: NDArray[np.floating] | None
) -> dict[str, Cloud]:
    columns: dict[str, NDArray[np.floating]] = dict(zip(LIDAR_COLUMNS, points.T, strict=True))
    if probability is not None:
        columns[PROBABILITY] = probability
    return {name: column.astype(np.float32) for name, column in columns.items()}


def list_clouds(path: Path) -> list[Path]:
    """The files that a path stands for, sorted by name.

    Args:
        path: a file, a folder of radar or cloud files, or a prepared data set (its `frames`).

    Raises:
        InputError: there is no such path, or the folder holds no file of a known suffix.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    folder = path / "frames" if (path / "frames").is_dir() else path
    known = {*_RADAR_READERS, *_CLOUD_READERS}
    files = [file for file in folder.iterdir() if file.suffix.lower() in known and file.is_file()]
    visible = sorted(file for file in files if not file.name.startswith("."))
    if not visible:
        raise InputError(f"{folder}: no file ending in {', '.join(sorted(known))}")
    return visible


def unique_names(files: Iterable[Path]) -> dict[str, Path]:
    """Files by their name without suffix.

    Raises:
        InputError: two files share a name.
    """
    named: dict[str, Path] = {}
    for file in files:
        if file.stem in named:
            raise InputError(f"{file}: shares its name with {named[file.stem].name}")
        named[file.stem] = file
    return named


def _by_suffix(path: Path, known: Mapping[str, T]) -> T:
    suffix = path.suffix.lower()
    if suffix not in known:
        raise InputError(f"{path}: unknown suffix {suffix!r}; known: {', '.join(sorted(known))}")
    return known[suffix]


def _read(path: Path, readers: Mapping[str, Reader]) -> NDArray[Any]:
    read = _by_suffix(path, readers)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        return read(path)
    except InputError:
        raise
    except Exception as error:  # broken files make the parsers raise nearly anything
        raise InputError(f"{path}: unreadable: {type(error).__name__}: {error}") from error


def _finite_rows(path: Path, points: NDArray[Any]) -> Cloud:
    if len(points) == 0:
        raise InputError(f"{path}: 0 points found, at least 1 expected")
    with np.errstate(over="ignore"):
        rows = points.astype(np.float32)
    finite = rows[np.isfinite(rows).all(axis=1)]
    if len(finite) == 0:
        raise InputError(f"{path}: none of its {len(rows)} points is finite")
    if len(finite) < len(rows):
        dropped = len(rows) - len(finite)
        _logger.warning("%s: dropped %d of %d points: NaN or inf", path, dropped, len(rows))
    return finite


def _read_npy(path: Path) -> NDArray[Any]:
    return np.load(path, allow_pickle=False)


def _read_npz(path: Path, key: str) -> NDArray[Any]:
    # numpy leaves a broken archive open when it is given the path
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        if key not in arrays:
            raise InputError(f"{path}: no array {key!r}; found {_listed(arrays)}")
        return arrays[key]


def _read_bin(path: Path, columns: int) -> NDArray[Any]:
    size = path.stat().st_size
    row_size = columns * np.dtype(np.float32).itemsize
    if size % row_size:
        raise InputError(
            f"{path}: {size} bytes found, a multiple of {row_size} (float32, n x {columns})"
            " expected"
        )
    return np.fromfile(path, dtype="<f4").reshape(-1, columns)


def _ply_table(path: Path) -> Table:
    ply = PlyData.read(str(path))
    if "vertex" not in ply:
        elements = _listed(element.name for element in ply.elements)
        raise InputError(f"{path}: no element 'vertex'; found {elements}")
    return _lower(ply["vertex"].data)


def _pcd_table(path: Path) -> Table:
    cloud = PointCloud.from_path(path)
    rows = np.atleast_1d(cloud.pc_data)
    if len(rows) != cloud.metadata.points:
        raise InputError(
            f"{path}: cut off: {len(rows)} points found, {cloud.metadata.points} expected"
        )
    return _lower(rows)


def _txt_table(path: Path) -> Table:
    lines = [line.split() for line in path.read_text().splitlines() if line.strip()]
    names, rows = (lines[0], lines[1:]) if lines else ([], [])
    widths = {len(row) for row in rows} - {len(names)}
    if widths:
        raise InputError(
            f"{path}: a row of {min(widths)} values found, {len(names)} expected: {_listed(names)}"
        )
    columns = np.array(rows, dtype=np.float64).reshape(len(rows), len(names)).T
    return {name.lower(): column for name, column in zip(names, columns, strict=True)}


def _lower(rows: NDArray[Any]) -> Table:
    return {name.lower(): rows[name] for name in rows.dtype.names or ()}


def _select(path: Path, table: Table, names: tuple[str, ...]) -> NDArray[Any]:
    found = {
        name: alias
        for name in names
        for alias in reversed(ALIASES.get(name, (name,)))
        if alias in table
    }
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(f"{path}: no column {_listed(missing)}; found {_listed(table)}")
    return np.stack([table[found[name]] for name in names], axis=1)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"


def _radar_of(path: Path, table: Table) -> NDArray[Any]:
    return _select(path, table, RADAR_COLUMNS)


def _cloud_of(path: Path, table: Table) -> NDArray[Any]:
    return _select(path, table, LIDAR_COLUMNS if "intensity" in table else LIDAR_COLUMNS[:3])


def _encode_ply(columns: Mapping[str, Cloud]) -> bytes:
    rows = np.empty(len(columns["x"]), dtype=[(name, "<f4") for name in columns])
    for name, column in columns.items():
        rows[name] = column
    stream = io.BytesIO()
    PlyData([PlyElement.describe(rows, "vertex")], byte_order="<").write(stream)
    return stream.getvalue()


def _encode_pcd(columns: Mapping[str, Cloud]) -> bytes:
    stream = io.BytesIO()
    points = np.stack(list(columns.values()), axis=1)
    cloud = PointCloud.from_points(points, tuple(columns), [np.float32] * len(columns))
    cloud.save(stream, Encoding.BINARY)
    return stream.getvalue()


def _encode_npz(columns: Mapping[str, Cloud]) -> bytes:
    stream = io.BytesIO()
    points = np.stack([columns[name] for name in LIDAR_COLUMNS], axis=1)
    more: dict[str, Any] = {k: v for k, v in columns.items() if k not in LIDAR_COLUMNS}
    np.savez_compressed(stream, points=points, **more)
    return stream.getvalue()


_RADAR_READERS: dict[str, Reader] = {
    ".npz": lambda path: _read_npz(path, "radar"),
    ".npy": _read_npy,
    ".bin": lambda path: _read_bin(path, len(RADAR_COLUMNS)),
    ".ply": lambda path: _radar_of(path, _ply_table(path)),
    ".pcd": lambda path: _radar_of(path, _pcd_table(path)),
    ".txt": lambda path: _radar_of(path, _txt_table(path)),
}
_CLOUD_READERS: dict[str, Reader] = {
    ".npz": lambda path: _read_npz(path, "points"),
    ".npy": _read_npy,
    ".bin": lambda path: _read_bin(path, len(LIDAR_COLUMNS)),
    ".ply": lambda path: _cloud_of(path, _ply_table(path)),
    ".pcd": lambda path: _cloud_of(path, _pcd_table(path)),
}
_ENCODERS: dict[str, Callable[[Mapping[str, Cloud]], bytes]] = {
    ".ply": _encode_ply,
    ".pcd": _encode_pcd,
    ".npz": _encode_npz,
}
