"""Read radar points and clouds from files, write clouds to files; the suffix names the format."""

import functools
import io
import logging
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.files import replacing
from radarsparse.formats.columns import Fields, find_radar_columns, plain_name, select_columns
from radarsparse.formats.content import (
    Table,
    parse_bin,
    parse_file,
    parse_npy,
    parse_unstated_bin,
    read_npz,
)
from radarsparse.formats.pcd import encode_pcd
from radarsparse.formats.ply import encode_ply
from radarsparse.formats.tables import PARSERS
from radarsparse.scan import (
    LIDAR_COLUMNS,
    RADAR_COLUMNS,
    ImplausibleError,
    are_plausible,
    usable_points,
)

PROBABILITY = "probability"
BAG_SUFFIXES, BAG_CARD = (".bag", ".mcap", ".db3"), "metadata.yaml"

_log = logging.getLogger("radarsparse")

_CLOUD_SUFFIXES = (".bin", ".npy", ".npz", ".pcd", ".ply")
_RADAR_SUFFIXES = (*_CLOUD_SUFFIXES, ".txt")


def read_radar(path: Path, fields: Fields | None = None) -> NDArray[np.float32]:
    """Read one radar cloud; what no radar measures is dropped with a warning.

    Formats: `.npz` (prepared frame, key `radar`), `.npy` [n, 5], `.bin` (float32, n x 5),
    `.ply` and `.pcd` (named properties), `.txt` (a header of names, then rows, as Astyx has it).

    Args:
        path: of the file.
        fields: what its columns are, where it isn't as above.

    Returns:
        float32 [n, 5], `RADAR_COLUMNS`, in the file's frame.

    Raises:
        InputError: the file is missing, unreadable, empty, of an unknown suffix, lacks columns or
            holds mostly what no radar measures.
    """
    fields, source = fields or Fields(), str(path)
    table = _read_table(path, "radar", RADAR_COLUMNS, fields)
    is_named = path.suffix.lower() in PARSERS and fields.names
    names = fields.radar_names if is_named else find_radar_columns(table, source, table)
    pairs = zip(RADAR_COLUMNS, names, strict=True)
    if other := [f"{column} from {name}" for column, name in pairs if column != name]:
        _tell_once(f"{path.parent}: {', '.join(other)}")
    points = select_columns(table, names, source)
    try:
        return usable_points(points, RADAR_COLUMNS, source)
    except ImplausibleError as error:
        raise InputError(f"{error}; --fields names other columns") from error


@functools.cache
def _tell_once(message: str) -> None:
    _log.info(message)


def read_rows(path: Path) -> NDArray[np.floating]:
    """Read the points of one LiDAR or enhanced cloud, for who counts what it lacks.

    Formats: `.ply` and `.pcd` (properties x, y, z, intensity), `.npz` (key `points`), `.npy` and
    `.bin` (float32, n x 4).
    An empty cloud is a result, not a mistake; values that aren't finite stay; what no LiDAR
    measures and pulses without a return are dropped with a warning.

    Returns:
        [n, 4], `LIDAR_COLUMNS`, or [n, 3] where the file has no intensity; n may be 0.

    Raises:
        InputError: the file is missing, unreadable, of an unknown suffix, lacks columns or holds
            mostly what no LiDAR measures.
    """
    return read_probable_rows(path)[0]


def read_probable_rows(path: Path) -> tuple[NDArray[np.floating], NDArray[np.float32] | None]:
    """As `read_rows`, and each point's probability where the file has it, [n]."""
    table = _read_table(path, "points", LIDAR_COLUMNS)
    table = {plain_name(name): column for name, column in table.items()} | dict(table)
    names = LIDAR_COLUMNS if "intensity" in table else LIDAR_COLUMNS[:3]
    points = select_columns(table, names, str(path))
    if points.dtype.kind in "iu":
        points = points.astype(np.float64)
    kept, probability = are_plausible(points, names, str(path)), table.get(PROBABILITY)
    if probability is None or probability.shape != kept.shape:
        return points[kept], None
    return points[kept], probability[kept].astype(np.float32)


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
    _check_suffix(path, _ENCODERS)
    if points.ndim != 2 or points.shape[1] != 4:
        raise InputError(f"{path}: shape {points.shape} given, (n, 4) expected")
    table = points if probability is None else np.c_[points, probability]
    columns: Table = dict(zip((*LIDAR_COLUMNS, PROBABILITY), table.T.astype("<f4"), strict=False))
    with replacing(path) as part:
        part.write_bytes(_ENCODERS[path.suffix.lower()](columns))


def is_bag(path: Path) -> bool:
    """Whether a path is named as a bag: `.bag`, `.mcap`, `.db3` or a folder with its card."""
    return path.suffix.lower() in BAG_SUFFIXES or (path / BAG_CARD).is_file()


def list_clouds(path: Path) -> list[Path]:
    """The file, the radar or cloud files of a folder, or the frames of a prepared data set, sorted.

    Raises:
        InputError: there is no such path, or the folder holds no file of a known suffix.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder")
    folder = path / "frames" if (path / "frames").is_dir() else path
    files = sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in _RADAR_SUFFIXES and file.name[0] != "." and file.is_file()
    )
    if not files:
        raise InputError(f"{folder}: no file ending in {', '.join(_RADAR_SUFFIXES)}")
    return files


def unique_names(files: Iterable[Path]) -> dict[str, Path]:
    """Files by their name without suffix.

    Raises:
        InputError: two files share a name.
    """
    named: dict[str, Path] = {}
    for file in files:
        if (other := named.setdefault(file.stem, file)) is not file:
            raise InputError(f"{file}: shares its name with {other.name}")
    return named


def _check_suffix(path: Path, known: Iterable[str]) -> None:
    if path.suffix.lower() not in known:
        shown = f"{path.suffix!r}; known: {', '.join(sorted(known))}"
        raise InputError(f"{path}: unknown suffix {shown}")


def _read_table(
    path: Path, key: str, columns: Sequence[str], fields: Fields | None = None
) -> Table:
    """Columns by their own names; those of rows without names by what is said or usual."""
    _check_suffix(path, _RADAR_SUFFIXES if fields else _CLOUD_SUFFIXES)
    suffix, said, arrays = path.suffix.lower(), fields or Fields(), {}
    if suffix in PARSERS:
        return parse_file(path, PARSERS[suffix])
    names = said.names or columns
    hint = "; --fields names all columns of a row, --bin-type the type" if fields else ""
    if suffix == ".npz":
        arrays = read_npz(path, (key,), (PROBABILITY,))
        rows = arrays.pop(key)
    elif suffix == ".npy":
        rows = parse_file(path, parse_npy)
    elif said.names:
        rows = parse_file(path, partial(parse_bin, len(names), said.bin_type))
    else:
        rows = parse_file(path, partial(parse_unstated_bin, len(names), said.bin_type, hint))
    widths = (len(names),) if fields else (3, 4)
    if rows.ndim != 2 or rows.shape[1] not in widths:
        expected = " or ".join(map(str, widths))
        raise InputError(f"{path}: shape {rows.shape} found, (n, {expected}) expected{hint}")
    return dict(zip(names, rows.T, strict=False)) | arrays


def _encode_npz(columns: Table) -> bytes:
    points = np.stack([columns[name] for name in LIDAR_COLUMNS], axis=1)
    more: dict[str, Any] = {k: v for k, v in columns.items() if k not in LIDAR_COLUMNS}
    np.savez_compressed(stream := io.BytesIO(), points=points, **more)
    return stream.getvalue()


_ENCODERS = {".ply": encode_ply, ".pcd": encode_pcd, ".npz": _encode_npz}
