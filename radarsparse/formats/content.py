"""What files hold, bounded before memory is taken: bytes, rows of text, arrays."""

import codecs
import io
import math
import re
import zipfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError

# Of a file, and of each array that is made of it.
BYTES_MAX = 128 * 2**20
# Of a cloud, since all its columns are looked at as float64.
POINTS_MAX = BYTES_MAX // (5 * 8)
COLUMNS_MAX = 1000
LINES_MAX = BYTES_MAX // 16
HEADER_MAX = 2**20
_WINDOWS_NAN = re.compile(r"[-+]?(nan\(\w*\)|1\.#\w+)", re.IGNORECASE)

Table = Mapping[str, NDArray[Any]]
"""Columns [n] by the names that the file gives them."""

T = TypeVar("T")

# Rows of another length are believed in where the values fit better to columns of that length, by
# as many nats each and altogether. Clouds of two radars fit better to their own by 0.5 at least,
# noise in the place of small clouds to others by 23 altogether at most.
_NATS_EACH, _NATS_MORE = 0.3, 25
# Two or three true rows in one fit better where neighbours differ in turn: true clouds of radars by
# 0.9 at 10 points and 0.3 at 50, pieces of LiDAR's by 1.4 at 200 and 0.4 at 2000; others by 1.2.
_TWICE_EACH, _TWICE_MORE_RADAR, _TWICE_MORE = 0.6, 50, 1200
_ROW_LENGTHS = range(3, 17)
_ROWS_MIN = 5
_VALUES_MAX = 100_000


def parse_file(path: Path, parse: Callable[[bytes, str], T]) -> T:
    """Give a file's bytes, and what to call them in errors, to the parser of its format.

    Raises:
        InputError: the file is missing, too large or not of its format.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        check_bytes(path.stat().st_size, str(path))
        return parse(path.read_bytes(), str(path))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    except Exception as error:  # damaged files make parsing raise nearly anything
        raise InputError(f"{path}: can't be read: damaged, cut off or no {path.suffix}") from error


def check_bytes(needed: int, source: str, held: int | None = None) -> None:
    """Refuse a header's claim on more bytes than the file holds for it, or than `BYTES_MAX`.

    Raises:
        InputError: more are needed.
    """
    if held is not None and needed > held:
        raise InputError(f"{source}: is cut off: {needed} bytes needed; it holds {held}")
    if needed > BYTES_MAX:
        raise InputError(f"{source}: takes {needed} bytes; must be {BYTES_MAX} at most")


def check_count(count: int, source: str, most: int = COLUMNS_MAX, what: str = "columns") -> None:
    """Refuse files and headers without end.

    Raises:
        InputError: there are more of what is counted than `most`.
    """
    if count > most:
        raise InputError(f"{source}: has {count} {what}; must be {most} at most")


def listed(names: Iterable[str]) -> str:
    """The first names, for errors."""
    return ", ".join(name[:40] for name in islice(names, 40)) or "none"


def filled_lines(text: bytes, source: str) -> Iterator[str]:
    """Lines that aren't blank, of any encoding that has ASCII's digits.

    Raises:
        InputError: there are too many.
    """
    check_count(max(text.count(b"\n"), text.count(b"\r")), source, LINES_MAX, "lines")
    return (line for line in io.TextIOWrapper(io.BytesIO(text), "latin-1") if line.strip())


def parse_rows(lines: Iterable[str], columns: int, source: str) -> NDArray[np.float64]:
    """Read rows [n, columns] of numbers that are apart by blanks.

    Raises:
        InputError: a line holds something else, it is named; or there are too many.
    """
    check_bytes(columns * 8, f"{source}: a row")
    values, most = array("d"), min(POINTS_MAX, BYTES_MAX // 8 // max(columns, 1))
    for number, line in enumerate(lines):
        try:
            row = list(map(float, line.split(None, columns)))
        except ValueError:
            row = _parse_windows(line)
        if number == most:
            raise InputError(f"{source}: has over {most} rows of {columns} numbers")
        if len(row) != columns:
            found = f"row {number} is {line.strip()[:80]!r}"
            raise InputError(f"{source}: can't be read: {found}; must be {columns} numbers")
        values.extend(row)
    return np.array(values).reshape(-1, columns)


def _parse_windows(line: str) -> list[float]:
    """A row in which NaN and infinity may stand as C libraries of Windows write them, or none."""
    try:
        return list(map(float, _WINDOWS_NAN.sub("nan", line).split()))
    except ValueError:
        return []


def parse_txt(content: bytes, source: str) -> Table:
    """Read a table of text: a line of names, perhaps as a comment, then rows of as many numbers.

    Of columns of one name the first counts.

    Raises:
        InputError: a row holds something else, it is named; or there is too much of anything.
    """
    lines = filled_lines(content.removeprefix(codecs.BOM_UTF8), source)
    first = next(lines, "")
    check_count(len(first), source, HEADER_MAX, "bytes in its line of names")
    names = first.removeprefix("#").removeprefix("//").split()
    check_count(len(names), source)
    if not names:
        raise InputError(f"{source}: holds no line of names")
    table: dict[str, NDArray[Any]] = {}
    for name, column in zip(names, parse_rows(lines, len(names), source).T, strict=True):
        table.setdefault(name, column)
    return table


def as_float64(values: Any) -> NDArray[np.float64]:
    """Numbers as float64; some of the NaNs in damaged bags raise floating-point errors."""
    with np.errstate(invalid="ignore"):
        return np.asarray(values, dtype=np.float64)


def pack_rows(columns: Table) -> NDArray[Any]:
    """Columns [n] as structures [n] without gaps."""
    dtype = [(name, column.dtype) for name, column in columns.items()]
    return np.rec.fromarrays(list(columns.values()), dtype)


def parse_npy(content: bytes, source: str) -> NDArray[Any]:
    """Read an array of real numbers that NumPy saved.

    Raises:
        InputError: the content is damaged, cut off or something else.
    """
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    read_1, read_2 = np.lib.format.read_array_header_1_0, np.lib.format.read_array_header_2_0
    shape, by_columns, dtype = (read_1 if version == (1, 0) else read_2)(stream)
    if dtype.kind not in "fiu":
        raise InputError(f"{source}: has type {dtype.name}; must be real numbers")
    claim = f"{source}: {dtype.name} of shape {shape}"
    if min(shape, default=0) < 0:
        raise InputError(f"{claim}: must have no negative side")
    check_bytes(math.prod(shape) * dtype.itemsize, claim, len(content) - stream.tell())
    check_count(max(shape, default=0), claim, POINTS_MAX, "rows")
    order = "F" if by_columns else "C"
    values = np.ndarray(shape, dtype, content, stream.tell(), order=order)
    return values.astype(dtype.newbyteorder("="))


def parse_bin(columns: int, number_type: str, content: bytes, source: str) -> NDArray[np.floating]:
    """Read headerless little-endian rows [n, columns] of `float32` or `float64`; n may be 0.

    Raises:
        InputError: there is no whole number of rows.
    """
    item = np.dtype(number_type).newbyteorder("<")
    count, rest = divmod(len(content), item.itemsize)
    if rest:
        bound = f"a multiple of {item.itemsize} ({number_type})"
        raise InputError(f"{source}: has {len(content)} bytes; must be {bound}")
    check_count(count // columns, source, POINTS_MAX, "rows")
    if count % columns:
        bound = f"a multiple of {columns}, a row's columns"
        raise InputError(f"{source}: holds {count} {number_type}; must be {bound}")
    return np.ndarray((count // columns, columns), item, content)


def parse_unstated_bin(
    columns: int, number_type: str, hint: str, content: bytes, source: str
) -> NDArray[np.floating]:
    """As `parse_bin`, where nobody stated the columns.

    Raises:
        InputError: also where the values are clearly those of rows of another length or type; the
            message ends with the hint.
    """
    whole = len(content) - len(content) % np.dtype(number_type).itemsize
    values = np.frombuffer(content[:whole], np.dtype(number_type).newbyteorder("<"))
    seen = values.view("<f8") if _looks_like_float64(values) else values
    misfits = _misfits(seen, columns)
    best = min(misfits, key=misfits.__getitem__)
    each, more = _NATS_EACH, _NATS_MORE
    if best % columns == 0:
        each, more = _TWICE_EACH, _TWICE_MORE_RADAR if columns == 5 else _TWICE_MORE
    clear = misfits[columns] - misfits[best] > each + more / max(len(seen), 1)
    if clear or seen is not values:
        raise InputError(
            f"{source}: looks like rows of {best} {seen.dtype.name};"
            f" read as {columns} {number_type}{hint}"
        )
    return parse_bin(columns, number_type, content, source)


def read_npz(
    path: Path, needed: Sequence[str], known: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """Read the `needed` arrays of real numbers from an archive, and those `known` that are there.

    Raises:
        InputError: the file is missing or damaged, or an array is missing, damaged, too large or
            of something else.
    """

    def parse(content: bytes, source: str) -> dict[str, NDArray[Any]]:
        members = _find_members(content, source)
        if missing := [key for key in needed if key not in members]:
            raise InputError(f"{source}: no array {listed(missing)}; there are: {listed(members)}")
        wanted = [key for key in (*needed, *known) if key in members]
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {key: _parse_member(archive, members[key], f"{source}: {key}") for key in wanted}

    return parse_file(path, parse)


def array_names(path: Path) -> list[str]:
    """The arrays of an archive; none where it can't be opened."""
    try:
        return list(parse_file(path, _find_members))
    except InputError:
        return []


def _find_members(content: bytes, source: str) -> dict[str, zipfile.ZipInfo]:
    # The file's own count isn't what zipfile goes by.
    check_count(content.count(b"PK\1\2"), source, what="members")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {info.filename.removesuffix(".npy"): info for info in archive.infolist()}


def _parse_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, source: str) -> NDArray[Any]:
    check_bytes(info.file_size, source)
    # Those that NumPy writes; of the others zipfile would unpack without a bound.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(f"{source}: is packed by a method that NumPy doesn't write")
    with archive.open(info) as member:  # without a size it unpacks more than is stated
        return parse_npy(member.read(info.file_size + 1), source)


def _misfits(values: NDArray[np.floating], columns: int) -> dict[int, float]:
    """How badly values fit to a Gaussian of each column, nats each, by length of the rows."""
    misfits = {columns: -np.inf}  # too few rows say nothing
    with np.errstate(invalid="ignore"):  # some NaNs signal
        sample = values[:_VALUES_MAX].astype(np.float64)
    sample = np.arcsinh(np.nan_to_num(sample))
    for length in _ROW_LENGTHS:
        rows = len(sample) // length
        if rows >= _ROWS_MIN and (length == columns or len(values) % length == 0):
            variances = sample[: rows * length].reshape(rows, length).var(axis=0, ddof=1)
            # A mean and a variance of each column, at the price that Schwarz's criterion gives.
            price = length * np.log(len(sample)) / len(sample)
            misfits[length] = float(0.5 * np.log(variances + 1e-4).mean() + price)
    return misfits


def _looks_like_float64(values: NDArray[np.floating]) -> bool:
    """Whether pairs of values are measures as float64, and noise or zeros as float32."""
    if len(values) == 0 or len(values) % 2 or values.dtype != np.float32:
        return False
    double, halves = np.abs(values.view("<f8")), np.abs(values[::2])
    measured = (double > 1e-9) & (double < 1e5)
    noise = ~((halves > 1e-9) & (halves < 1e5))
    is_either = measured | (double == 0)
    return bool(is_either.mean() > 0.95 and measured.mean() > 0.3 and noise.mean() > 0.5)
