"""PLY files: vertices as named columns; ascii or binary, with comments in any encoding."""

import io
import re
import warnings

from plyfile import PlyData, PlyElement, PlyParseError

from radarsparse.errors import InputError
from radarsparse.formats.content import (
    HEADER_MAX,
    POINTS_MAX,
    Table,
    check_bytes,
    check_count,
    listed,
    pack_rows,
)

_COMMENTS = re.compile(rb"(?<=[\r\n])(comment|obj_info)\b[^\r\n]*[\r\n]+")
_BLANK_LINES = re.compile(rb"[\r\n][ \t\r\n]*[\r\n]")
# What plyfile makes of a list, an array, takes so much, as do a line of text and its numbers.
_LIST_BYTES, _LINE_BYTES, _NUMBER_BYTES = 160, 32, 8


def parse_ply(content: bytes, source: str) -> Table:
    """Read the vertices' properties that aren't lists.

    Raises:
        InputError: there are no vertices, or the header claims more than the file can hold.
    """
    header, end, body = content.partition(b"end_header")
    check_count(len(header), source, HEADER_MAX, "bytes in its header")
    lines, elements = _wanted(header)
    check_count(len(lines), source)
    for name, count, kinds in elements:
        if count and not kinds:
            what = f"element {name.decode('latin-1')[:40]}"
            raise InputError(f"{source}: {what} has {count} rows without a property")
    values = sum(count * len(kinds) for _, count, kinds in elements)
    lists = sum(count * kinds.count(b"list") for _, count, kinds in elements)
    rows = sum(count for _, count, _ in elements) if b"ascii" in b"".join(lines) else 0
    check_bytes(values, f"{source}: the values of its elements", len(body))
    check_bytes(lists * _LIST_BYTES, f"{source}: {lists} lists in its elements")
    if rows:
        taken = rows * _LINE_BYTES + values * _NUMBER_BYTES
        check_bytes(taken, f"{source}: {rows} lines of its elements")
        body = _BLANK_LINES.sub(b"\n", body)
    check_count(max((count for _, count, _ in elements), default=0), source, POINTS_MAX, "rows")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has one about empty lists
        try:
            ply = PlyData.read(io.BytesIO(b"".join(lines) + end + body))
        except PlyParseError as error:
            raise InputError(f"{source}: can't be read: {error}") from error
    if "vertex" not in ply:
        there = listed(element.name for element in ply.elements)
        raise InputError(f"{source}: no element vertex; there are: {there}")
    rows = ply["vertex"].data
    return {name: rows[name] for name in rows.dtype.names or () if rows.dtype[name].kind != "O"}


def _wanted(header: bytes) -> tuple[list[bytes], list[tuple[bytes, int, list[bytes]]]]:
    """Lines up to the vertices; of each element its name, its rows and its properties' types."""
    lines, elements = [], []
    for line in _COMMENTS.sub(b"", header).splitlines(keepends=True):
        match line.split():
            case [b"element", *_] if elements and elements[-1][0] == b"vertex":
                break  # what follows isn't wanted
            case [b"element", name, number, *_]:
                elements.append((name, abs(int(number)), []))
            case [b"property", kind, *_] if elements:
                elements[-1][2].append(kind)
        lines.append(line)
    return lines, elements


def encode_ply(columns: Table) -> bytes:
    """A binary PLY file whose vertices have these properties."""
    stream = io.BytesIO()
    PlyData([PlyElement.describe(pack_rows(columns), "vertex")], byte_order="<").write(stream)
    return stream.getvalue()
