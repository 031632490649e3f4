"""PCD files as PCL, its predecessors and careless hands write them."""

import struct
from collections.abc import Sequence

import lzf
import numpy as np
import pytest
from pypcd4.pypcd4 import Encoding, PointCloud

from radarsparse.errors import InputError
from radarsparse.formats.pcd import encode_pcd, parse_pcd

X, V = [1.5, -2.0], [-3.0, 4.25]
HEADER = (
    "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x v\nSIZE 4 4\nTYPE F F\n"
    "COUNT 1 1\nWIDTH 2\nHEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 2\nDATA ascii\n"
)
ASCII = HEADER + "1.5 -3\n-2 4.25\n"


def check(content: str | bytes, **more: Sequence[float]) -> None:
    table = parse_pcd(content if isinstance(content, bytes) else content.encode("latin-1"), "a")
    assert list(table) == ["x", *more, "v"] if "v" not in more else list(more)
    for name, values in ({"x": X, "v": V} | more).items():
        np.testing.assert_array_equal(table[name], values)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("COUNT 1 1\n", ""),
        ("COUNT 1 1\n", "COUNT 0 1\n"),
        ("POINTS 2\n", ""),
        ("WIDTH 2\nHEIGHT 1\n", ""),
        ("POINTS 2\n", "POINTS 2 \r\n"),
        ("HEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS 2\n", ""),
        ("VERSION 0.7\n", "\n# Geschwindigkeit für \xfcberall, v0.7 \x80\n"),
        ("FIELDS x v", "COLUMNS   x\tv "),
        ("SIZE 4 4\nTYPE F F\n", ""),
        ("TYPE F F", "TYPE F I"),
        ("1.5 -3\n", "  1.50000\t -3.00000 \t\r\n\n"),
        ("1.5 -3\n", "15e-1 -3.\n"),
        ("4.25\n", "4.25"),
    ],
)
def test_ascii_is_read_as_tolerantly_as_by_pcl(old: str, new: str) -> None:
    assert old in ASCII
    check(ASCII.replace(old, new))


def test_values_that_are_not_finite_are_read() -> None:
    table = parse_pcd(ASCII.replace("-3", "nan").replace("4.25", "-inf").encode(), "a")
    np.testing.assert_array_equal(table["v"], [np.nan, -np.inf])


def test_fields_of_several_values_and_padding_are_passed_over() -> None:
    header = HEADER.replace("x v", "x _ shape v").replace("4 4", "4 1 4 4")
    header = header.replace("F F", "F U F F").replace("T 1 1", "T 1 2 3 1")
    check(header + "1.5 0 0 7 8 9 -3\n-2 0 0 7 8 9 4.25\n")
    rows = np.zeros(2, [("x", "f4"), ("_", "u1", 2), ("shape", "f4", 3), ("v", "f4")])
    rows["x"], rows["v"] = X, V
    binary = header.replace("ascii", "binary").encode()
    check(binary + rows.tobytes())
    check(binary + rows.tobytes() + b"trailing bytes")
    compressed = header.replace("ascii", "binary_compressed").encode()
    for names in (("x", "_", "shape", "v"), ("x", "shape", "v")):  # PCL leaves padding out
        columns = b"".join(rows[name].tobytes() for name in names)
        packed = lzf.compress(columns, 2 * len(columns)) or b""
        check(compressed + struct.pack("<2I", len(packed), len(columns)) + packed)


def test_the_first_of_doubled_names_counts() -> None:
    header = HEADER.replace("x v", "x v x").replace("4 4", "4 4 4").replace("F F", "F F F")
    check(header.replace("1 1\n", "1 1 1\n", 1) + "1.5 -3 9\n-2 4.25 9\n")


def test_the_case_of_words_does_not_matter() -> None:
    check(HEADER.replace("F F", "f f").replace("ascii", "ASCII") + "1.5 -3\n-2 4.25\n")


def test_truth_values_beside_ours_are_passed_over() -> None:
    header = HEADER.replace("x v", "x v b").replace("4 4", "4 4 1").replace("F F", "F F B")
    header = header.replace("1 1\n", "1 1 1\n", 1).replace("ascii", "binary")
    table = parse_pcd(header.encode() + struct.pack("<2f?2f?", 1.5, -3, True, -2, 4.25, False), "a")
    np.testing.assert_array_equal(table["x"], X)
    np.testing.assert_array_equal(table["v"], V)


@pytest.mark.parametrize("encoding", list(Encoding)[:3])
def test_what_others_write_is_read(encoding: Encoding, tmp_path) -> None:
    kinds = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
    columns = [np.array([0, 1, 100], kind) for kind in kinds]
    PointCloud.from_points(columns, kinds, [np.dtype(kind) for kind in kinds]).save(
        tmp_path / "a.pcd", encoding
    )
    table = parse_pcd((tmp_path / "a.pcd").read_bytes(), "a")
    assert list(table) == list(kinds)
    for kind in kinds:
        np.testing.assert_array_equal(table[kind], [0, 1, 100])
        assert encoding is Encoding.ASCII or table[kind].dtype == kind


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_what_is_written_is_read_by_others(rows: int, tmp_path) -> None:
    columns = np.random.default_rng(0).normal(size=(3, rows)).astype(np.float32)
    (tmp_path / "a.pcd").write_bytes(encode_pcd(dict(zip("abc", columns, strict=True))))
    cloud = PointCloud.from_path(tmp_path / "a.pcd")
    assert cloud.fields == ("a", "b", "c")
    assert cloud.points == rows
    if rows:
        np.testing.assert_array_equal(cloud.numpy(), columns.T)
    table = parse_pcd((tmp_path / "a.pcd").read_bytes(), "a")
    np.testing.assert_array_equal(np.stack([table[name] for name in "abc"]), columns)


BINARY = HEADER.replace("ascii", "binary")
PACKED = HEADER.replace("ascii", "binary_compressed")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no line that begins DATA"),
        (HEADER.replace("ascii", "base64") + "x", "DATA is 'base64'; must be one of ascii, binary"),
        (HEADER.replace("SIZE 4 4", "SIZE 4"), "TYPE and COUNT have different lengths: 2, 1, 2, 2"),
        (HEADER.replace("SIZE 4 4", "SIZE 4 2"), "v has TYPE F and SIZE 2; known: F 4 8; I 1"),
        (HEADER.replace("SIZE 4 4", "SIZE 4 16"), "v has TYPE F and SIZE 16; known: F 4 8; I 1"),
        (
            HEADER.replace("SIZE 4 4", "SIZE 4 a"),
            "SIZE of v is 'a'; must be 0 or more, 18",
        ),
        (HEADER.replace("TYPE F F", "TYPE F Q"), "v has TYPE Q and SIZE 4; known: F 4 8; I 1"),
        (
            HEADER.replace("T 1 1", "T 1 -1"),
            "COUNT of v is '-1'; must be 0 or more, 18",
        ),
        (
            HEADER.replace("POINTS 2", "POINTS"),
            "POINTS is ''; must be 0 or more, 18",
        ),
        (ASCII.replace("POINTS 2", "POINTS 1"), "POINTS is 1; must be 2 at least, WIDTH x HEIGHT"),
        (HEADER.replace("FIELDS x v", "x v"), "has no line that begins FIELDS in a header of"),
        ("# a\n" * 2**19 + ASCII, "has no line that begins DATA in a header of 1048576 bytes"),
        (ASCII.replace("POINTS 2", "POINTS 3"), "is cut off: holds 2 points; must hold 3"),
        (ASCII.replace("4.25", "x"), "can't be read: row 1 is '-2 x'; must be 2 numbers"),
        (ASCII.replace("-3", "-3 7"), "can't be read: row 0 is '1.5 -3 7'; must be 2 numbers"),
        (ASCII.replace("POINTS 2", "POINTS 1000000000"), "holds 2 points; must hold 1000000000"),
        (BINARY + 15 * "0", "2 points: is cut off: 16 bytes needed; it holds 15"),
        (BINARY.replace("POINTS 2", "POINTS 1000000000"), "8000000000 bytes needed; it holds 0"),
        (
            BINARY.replace("T 1 1", "T 1 100000000") + "0" * 64,
            "COUNT 100000000 of v: takes 400000000 bytes",
        ),
        (PACKED + "\x09\0\0\0\x10\0\0\0" + 8 * "0", "compressed points: is cut off: 9 bytes"),
        (PACKED + "\x08\0\0\0\0\0\0\x7f" + 8 * "0", "its points: is cut off: 2130706432 bytes"),
        (PACKED + "\x08\0\0\0\x0f\0\0\0" + 8 * "0", "2 points: is cut off: 16 bytes needed; it"),
    ],
)
def test_what_contradicts_itself_is_refused(content: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^a: .*{message}"):
        parse_pcd(content.encode("latin-1"), "a")
