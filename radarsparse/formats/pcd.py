"""PCD files: points as named columns; ascii, binary or compressed, as tolerant as PCL's reader."""

import io
from collections.abc import Mapping
from itertools import islice
from typing import Any

import lzf
import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.formats.content import (
    Table,
    check_bytes,
    check_columns,
    filled_lines,
    pack_rows,
    parse_rows,
)

# LZF writes a repetition of 264 bytes as 3.
_LZF_RATIO_MAX = 264 // 3
_KINDS = {"F": "f", "I": "i", "U": "u"}


def parse_pcd(content: bytes, source: str) -> Table:
    """Read the fields that have one value for a point.

    Raises:
        InputError: the header contradicts itself, or the points aren't what it claims.
    """
    stream = io.BytesIO(content)
    header = _read_header(stream, source)
    points, layout, body = _count_points(header), _make_layout(header, source), stream.read()
    columns: Any = np.empty(0, layout)
    if points:
        encoding = " ".join(header["DATA"])
        if encoding not in _PARSERS:
            raise InputError(f"{source}: DATA isn't one of {', '.join(_PARSERS)}")
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
    for line in stream:
        key, *values = line.decode("latin-1").split() or [""]
        header["FIELDS" if key == "COLUMNS" else key] = values
        if key == "DATA":
            return header
    raise InputError(f"{source}: has no line that begins DATA")


def _count_points(header: Mapping[str, list[str]]) -> int:
    if "POINTS" in header:
        return int(header["POINTS"][0])
    return int(header["WIDTH"][0]) * int(header.get("HEIGHT", ["1"])[0])


def _make_layout(header: Mapping[str, list[str]], source: str) -> np.dtype[Any]:
    """A point's values; padding and doubled names get a blank, so that no other has theirs."""
    names = header["FIELDS"]
    check_columns(len(names), source)
    sizes = header.get("SIZE", ["4"] * len(names))
    types = header.get("TYPE", ["F"] * len(names))
    counts = header.get("COUNT", ["1"] * len(names))
    if not len(names) == len(sizes) == len(types) == len(counts):
        raise InputError(f"{source}: FIELDS, SIZE, TYPE and COUNT have different lengths")
    layout, known = [], {"_"}
    for name, kind, size, text in zip(names, types, sizes, counts, strict=True):
        count = int(text) or 1  # converters of old wrote 0 for 1
        unique = f"{name} {len(layout)}" if name in known else name
        layout.append((unique, f"<{_KINDS[kind]}{int(size)}", () if count == 1 else (count,)))
        known.add(name)
    return np.dtype(layout)


def _parse_text(body: bytes, layout: np.dtype[Any], points: int, source: str) -> NDArray[Any]:
    # Whatever the types of the header, not every writer keeps to them in its texts.
    layout = np.dtype([(name, "<f8", layout[name].shape) for name in layout.names or ()])
    rows = parse_rows(islice(filled_lines(body), points), layout.itemsize // 8, source)
    if len(rows) != points:
        raise InputError(f"{source}: is cut off: holds {len(rows)} points; must hold {points}")
    return np.ndarray((points,), layout, rows)


def _parse_binary(body: bytes, layout: np.dtype[Any], points: int, source: str) -> NDArray[Any]:
    check_bytes(points * layout.itemsize, f"{source}: {points} points", len(body))
    return np.ndarray((points,), layout, body)


def _parse_compressed(body: bytes, layout: np.dtype[Any], points: int, source: str) -> Table:
    packed, size = np.frombuffer(body, "<u4", 2).tolist()
    check_bytes(packed, f"{source}: its compressed points", len(body) - 8)
    check_bytes(size, f"{source}: its points", packed * _LZF_RATIO_MAX)
    if size != points * layout.itemsize:  # PCL leaves padding out here, in spite of its header
        kept = [name for name in layout.names or () if not name.startswith("_ ")]
        layout = np.dtype([(name, layout[name]) for name in kept])
    check_bytes(points * layout.itemsize, f"{source}: {points} points", size)
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
