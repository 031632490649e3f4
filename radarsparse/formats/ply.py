"""PLY files: vertices as named columns; ascii or binary, with comments in any encoding."""

import io
import re
import warnings

from plyfile import PlyData, PlyElement

from radarsparse.errors import InputError
from radarsparse.formats.content import Table, check_bytes, check_columns, listed, pack_rows

_COMMENTS = re.compile(rb"(?<=[\r\n])(comment|obj_info)\b[^\r\n]*[\r\n]+")


def parse_ply(content: bytes, source: str) -> Table:
    """Read the vertices' properties that aren't lists.

    Raises:
        InputError: there are no vertices, or the header claims more than the file can hold.
    """
    header, end, body = content.partition(b"end_header")
    lines, name, count, values = [], b"", 0, 0
    for line in _COMMENTS.sub(b"", header).splitlines(keepends=True):
        match line.split():
            case [b"element", *_] if name == b"vertex":
                break  # what follows isn't wanted
            case [b"element", name, number, *_]:
                count = abs(int(number))
            case [b"property", *_]:
                values += count
        lines.append(line)
    check_columns(len(lines), source)
    check_bytes(values, f"{source}: the values of its elements", len(body))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has one about empty lists
        ply = PlyData.read(io.BytesIO(b"".join(lines) + end + body))
    if "vertex" not in ply:
        there = listed(element.name for element in ply.elements)
        raise InputError(f"{source}: no element vertex; there are: {there}")
    rows = ply["vertex"].data
    return {name: rows[name] for name in rows.dtype.names or () if rows.dtype[name].kind != "O"}


def encode_ply(columns: Table) -> bytes:
    """A binary PLY file whose vertices have these properties."""
    stream = io.BytesIO()
    PlyData([PlyElement.describe(pack_rows(columns), "vertex")], byte_order="<").write(stream)
    return stream.getvalue()
