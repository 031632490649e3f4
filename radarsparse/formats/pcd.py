"""PCD files: points as named columns; ascii, binary or compressed, as tolerant as PCL's reader."""

import io
from collections.abc import Mapping
from functools import partial
from itertools import islice
from typing import Any

import lzf
import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.formats.content import (
    HEADER_MAX,
    POINTS_MAX,
    Table,
    check_bytes,
    check_count,
    filled_lines,
    pack_rows,
    parse_rows,
)

# LZF writes a repetition of 264 bytes as 3.
_LZF_RATIO_MAX = 264 // 3
_SIZES = {"F": (4, 8), "I": (1, 2, 4, 8), "U": (1, 2, 4, 8), "B": (1,)}


def parse_pcd(content: bytes, source: str) -> Table:
    """Read the fields that have one value for a point.

    Raises:
        InputError: the header contradicts itself, or the points aren't what it claims.
    """
    stream = io.BytesIO(content)
    header = _read_header(stream, source)
    points, layout = _count_points(header, source), _make_layout(header, source)
    body = stream.read()
    columns: Any = np.empty(0, layout)
    if points:
        encoding = " ".join(header["DATA"]).lower()
        if encoding not in _PARSERS:
            known = ", ".join(_PARSERS)
            raise InputError(f"{source}: DATA is {encoding[:40]!r}; must be one of {known}")
        columns = _PARSERS[encoding](body, layout, points, source)
    names = [name for name in header["FIELDS"] if name in (layout.names or ())]
    return {name: columns[name] for name in names if columns[name].ndim == 1}


def encode_pcd(columns: Table) -> bytes:
    """A binary PCD file whose points have these fields, float32."""
    rows = pack_rows(columns)
    names, points = list(columns), len(rows)
    sizes, types, counts = (f" {each}" * len(names) for each in (4, "F", 1))
    header = (
        f"VERSION 0.7\nFIELDS {' '.join(names)}\nSIZE{sizes}\nTYPE{types}\nCOUNT{counts}\n"
        f"WIDTH {points}\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {points}\nDATA binary\n"
    )
    return header.encode() + rows.tobytes()


def _read_header(stream: io.BytesIO, source: str) -> dict[str, list[str]]:
    header: dict[str, list[str]] = {}
    for line in iter(partial(stream.readline, HEADER_MAX), b""):
        key, *values = line.decode("latin-1").split() or [""]
        header["FIELDS" if key == "COLUMNS" else key] = values
        if key == "DATA" or stream.tell() >= HEADER_MAX:
            break
    for keys in (("DATA",), ("FIELDS",), ("POINTS", "WIDTH")):
        if not header.keys() & keys:
            where = f"in a header of {HEADER_MAX} bytes at most"
            raise InputError(f"{source}: has no line that begins {' or '.join(keys)} {where}")
    return header


def _count_points(header: Mapping[str, list[str]], source: str) -> int:
    keys = [key for key in ("POINTS", "WIDTH", "HEIGHT") if key in header]
    given = {key: _whole(" ".join(header[key]), key, source) for key in keys}
    grid = given.get("WIDTH", 0) * given.get("HEIGHT", 1)
    points = given.get("POINTS", grid)
    if points < grid:
        raise InputError(f"{source}: POINTS is {points}; must be {grid} at least, WIDTH x HEIGHT")
    return points


def _whole(text: str, what: str, source: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise InputError(f"{source}: {what} is {text[:40]!r}; must be 0 or more, 18 digits at most")
    return int(text)


def _make_layout(header: Mapping[str, list[str]], source: str) -> np.dtype[Any]:
    """A point's values; padding and doubled names get a blank, so that no other has theirs."""
    names, usual = header["FIELDS"], {"SIZE": "4", "TYPE": "F", "COUNT": "1"}
    check_count(len(names), source)
    columns = [names, *(header.get(key, [each] * len(names)) for key, each in usual.items())]
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(str(len(column)) for column in columns)
        what = "FIELDS, SIZE, TYPE and COUNT have different lengths"
        raise InputError(f"{source}: {what}: {lengths}")
    layout, known = [], {"_"}
    for name, size, letter, text in zip(*columns, strict=True):
        kind = letter.upper()
        count = _whole(text, f"COUNT of {name[:40]}", source) or 1  # some wrote 0 for 1
        bytes_each = _whole(size, f"SIZE of {name[:40]}", source)
        if bytes_each not in _SIZES.get(kind, ()):
            usual = "; ".join(f"{key} {' '.join(map(str, _SIZES[key]))}" for key in _SIZES)
            raise InputError(
                f"{source}: {name[:40]} has TYPE {kind[:40]} and SIZE {bytes_each}; known: {usual}"
            )
        check_bytes(count * bytes_each, f"{source}: COUNT {count} of {name[:40]}")
        unique = f"{name} {len(layout)}" if name in known else name
        layout.append((unique, f"<{kind.lower()}{bytes_each}", () if count == 1 else (count,)))
        known.add(name)
    return np.dtype(layout)


def _parse_text(body: bytes, layout: np.dtype[Any], points: int, source: str) -> NDArray[Any]:
    # Whatever the types of the header, not every writer keeps to them in its texts.
    layout = np.dtype([(name, "<f8", layout[name].shape) for name in layout.names or ()])
    rows = parse_rows(islice(filled_lines(body, source), points), layout.itemsize // 8, source)
    if len(rows) != points:
        raise InputError(f"{source}: is cut off: holds {len(rows)} points; must hold {points}")
    return np.ndarray((points,), layout, rows)


def _parse_binary(body: bytes, layout: np.dtype[Any], points: int, source: str) -> NDArray[Any]:
    check_bytes(points * layout.itemsize, f"{source}: {points} points", len(body))
    check_count(points, source, POINTS_MAX, "points")
    return np.ndarray((points,), layout, body)


def _parse_compressed(body: bytes, layout: np.dtype[Any], points: int, source: str) -> Table:
    check_bytes(8, f"{source}: the sizes of its points", len(body))
    packed, size = np.frombuffer(body, "<u4", 2).tolist()
    check_bytes(packed, f"{source}: its compressed points", len(body) - 8)
    check_bytes(size, f"{source}: its points", packed * _LZF_RATIO_MAX)
    if size != points * layout.itemsize:  # PCL leaves padding out here, in spite of its header
        kept = [name for name in layout.names or () if not name.startswith("_ ")]
        layout = np.dtype([(name, layout[name]) for name in kept])
    check_bytes(points * layout.itemsize, f"{source}: {points} points", size)
    check_count(points, source, POINTS_MAX, "points")
    unpacked = lzf.decompress(body[8 : 8 + packed], size)
    columns, at = {}, 0
    for name in layout.names or ():
        columns[name] = np.ndarray((points,), layout[name], unpacked, at)
        at += columns[name].nbytes
    return columns


_PARSERS = {
    "ascii": _parse_text,
    "binary": _parse_binary,
    "binary_compressed": _parse_compressed,
}
