"""PLY files of other programs."""

import io
import struct

import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from radarsparse.errors import InputError
from radarsparse.formats.ply import encode_ply, parse_ply

VERTICES = np.array([(1.5, 7, -3.0), (-2.0, 8, 4.25)], [("x", "f4"), ("ring", "u1"), ("v", "f8")])


def write(*elements: PlyElement, **options) -> bytes:
    PlyData(list(elements), **options).write(stream := io.BytesIO())
    return stream.getvalue()


def check(content: bytes) -> None:
    table = parse_ply(content, "a")
    assert list(table) == ["x", "ring", "v"]
    for name, column in table.items():
        np.testing.assert_array_equal(column, VERTICES[name])


OPTIONS = [{"text": True}, {"byte_order": "<"}, {"byte_order": ">"}]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize(
    "comment", ["März", "Créé le 24 février 2026", "日本語", "element vertex 1000000000"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_comments_may_be_in_any_encoding(options, comment: str, encoding: str) -> None:
    words = (
        b"comment " + comment.encode(encoding, "replace").replace(b"\n", b" ") + b"\nobj_info \xff"
    )
    content = write(PlyElement.describe(VERTICES, "vertex"), **options)
    check(content.replace(b"\nelement", b"\n" + words + b"\nelement", 1))


@pytest.mark.parametrize("options", OPTIONS[:2])  # plyfile writes lists in native order only
def test_lists_and_elements_before_the_vertices_are_passed_over(options) -> None:
    faces = np.empty(3, [("corners", "O"), ("red", "u1")])
    faces["corners"] = [np.arange(n, dtype=np.int32) for n in (3, 0, 5)]
    mixed = np.empty(2, [("x", "f4"), ("near", "O"), ("ring", "u1"), ("v", "f8")])
    for name in ("x", "ring", "v"):
        mixed[name] = VERTICES[name]
    mixed["near"] = [np.arange(n, dtype=np.int32) for n in (2, 0)]
    camera = np.array([(1.0, 2.0)], [("a", "f8"), ("b", "f4")])
    before = [PlyElement.describe(faces, "face"), PlyElement.describe(camera, "camera")]
    check(write(*before, PlyElement.describe(mixed, "vertex"), **options))
    check(write(PlyElement.describe(VERTICES, "vertex"), *before, **options))


def test_blank_lines_of_text_are_passed_over() -> None:
    content = write(PlyElement.describe(VERTICES, "vertex"), text=True)
    check(content.replace(b"\n-2", b"\n\n \r\n-2") + b"\n\n")


@pytest.mark.parametrize("options", OPTIONS)
def test_what_is_cut_off_is_told(options) -> None:
    content = write(PlyElement.describe(VERTICES, "vertex"), **options)
    cut = content[:-9] if "byte_order" in options else content[: content.rindex(b"-2")]
    with pytest.raises(InputError, match=r"a: can't be read: element 'vertex': .*early end-of"):
        parse_ply(cut, "a")


def test_lists_of_another_byte_order_are_passed_over() -> None:
    header = (
        b"ply\nformat binary_big_endian 1.0\nelement vertex 2\nproperty float x\n"
        b"property list uchar int near\nproperty short y\nend_header\n"
    )
    table = parse_ply(
        header + struct.pack(">fBih", 1.5, 1, 5, 7) + struct.pack(">fBh", 2, 0, 8), "a"
    )
    np.testing.assert_array_equal(table["x"], [1.5, 2])
    np.testing.assert_array_equal(table["y"], [7, 8])


def test_what_is_written_is_read_by_others() -> None:
    content = encode_ply({name: VERTICES[name] for name in VERTICES.dtype.names or ()})
    np.testing.assert_array_equal(PlyData.read(io.BytesIO(content))["vertex"].data, VERTICES)
    check(content)
    assert len(parse_ply(encode_ply({"x": np.zeros(0, np.float32)}), "a")["x"]) == 0


BOMB = b"ply\nformat %b 1.0\nelement face %d\nproperty list uchar int corners\nelement vertex 1\n"


@pytest.mark.parametrize("encoding", [b"ascii", b"binary_little_endian"])
@pytest.mark.parametrize("count", [10**9, -(10**9), 10**30])
def test_what_a_file_cannot_hold_is_refused_before_memory_is_taken(encoding, count) -> None:
    header = BOMB % (encoding, count) + b"property float x\nend_header\n"
    with pytest.raises(InputError, match=r"^a: .* is cut off: \d+ bytes needed; it holds 101"):
        parse_ply(header + b"0" * 100, "a")


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        (b"element foo 2000000000\n", "element foo has 2000000000 rows without a property"),
        (
            b"element face 900000\nproperty list uchar int a\n",
            "900000 lists in its elements: takes 144000000 bytes; must be 134217728 at most",
        ),
        (
            b"element a 500000\nproperty list uchar int a\n" * 2,
            "1000000 lists in its elements: takes",
        ),
        (b"comment " + b"a" * 2**20 + b"\n", "bytes in its header; must be 1048576 at most"),
    ],
)
def test_elements_that_take_long_to_pass_over_are_refused(elements, message: str) -> None:
    header = b"ply\nformat binary_little_endian 1.0\n" + elements + b"element vertex 1\n"
    with pytest.raises(InputError, match=f"^a: .*{message}"):
        parse_ply(header + b"property float x\nend_header\n" + bytes(10**6), "a")


def test_a_file_without_vertices_is_refused() -> None:
    content = write(PlyElement.describe(VERTICES, "splat"))
    with pytest.raises(InputError, match=r"^a: no element vertex; there are: splat"):
        parse_ply(content, "a")


def test_too_many_lines_are_refused() -> None:
    header = b"ply\nformat ascii 1.0\nelement vertex 4000000\nproperty uchar x\nend_header\n"
    with pytest.raises(InputError, match=r"^a: 4000000 lines of its elements: takes 160000000 by"):
        parse_ply(header + b"1\n" * 4_000_000, "a")
