"""Tables of points in each format, and the fuzzing that the readers of all data sets share."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData, PlyElement
from pypcd4.pypcd4 import Encoding, PointCloud

from radarsparse.datasets.build import Source
from radarsparse.errors import InputError
from radarsparse.formats.prepared import rigid_transform
from radarsparse.formats.tables import read_float32, read_named, read_npy, read_text
from radarsparse.scan import ScanPair

NAMES = ("x", "y", "z", "Power")
ROWS = np.array([[1.5, -2.0, 0.25, 30.0], [4.0, 5.0, -6.5, 12.0]], dtype=np.float32)
ASCII_PCD = (
    "# .PCD v0.7 - Point Cloud Data file format\nVERSION 0.7\nFIELDS x y z Power t\n"
    "SIZE 4 4 4 4 4\nTYPE F F F F U\nCOUNT 1 1 1 1 1\nWIDTH 2\nHEIGHT 1\n"
    "VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 2\nDATA ascii\n1.5 -2 0.25 30 7\n4 5 -6.5 12 8e0\n"
)


Damage = Callable[[bytes, np.random.Generator], bytes]


def mutate(content: bytes, random: np.random.Generator) -> bytes:
    """Damage a file as broken disks, broken writers and careless hands do."""
    damaged = bytearray(content)
    first, last = sorted(random.integers(0, len(content) + 1, 2).tolist())
    kind = random.integers(5)
    if kind == 0:
        return content[:first]
    if kind == 1:
        return content[:first] + content[last:]
    if kind == 2:
        return content[:first] + random.bytes(int(random.integers(1, 9))) + content[first:]
    if kind == 3:
        numbers = (b"-1", b"nan", b"inf", b"1e300", b"99999999", b"x", b" ", b"\n", b"0")
        number = numbers[random.integers(len(numbers))]
        return content[:first] + number + content[first + len(number) :]
    for place in random.integers(0, len(content), 1 + int(random.integers(4))).tolist():
        damaged[place] = int(random.integers(256))
    return bytes(damaged)


def fuzz(
    files: Sequence[Path],
    read: Callable[[], object],
    rounds: int,
    seed: int = 0,
    damage: Damage = mutate,
) -> tuple[int, int]:
    """Read damaged files one after the other; anything but `InputError` ends the test.

    Returns:
        How often the reading went well and how often it was refused.
    """
    logging.getLogger("radarsparse").setLevel(logging.ERROR)
    random = np.random.default_rng(seed)
    whole = {path: path.read_bytes() for path in files}
    refused = 0
    for _ in range(rounds):
        path = files[random.integers(len(files))]
        _replace(path, damage(whole[path], random))
        try:
            read()
        except InputError:
            refused += 1
        _replace(path, whole[path])
    logging.getLogger("radarsparse").setLevel(logging.NOTSET)
    return rounds - refused, refused


def _replace(path: Path, content: bytes) -> None:
    path.unlink()  # a file that is cut to nothing and written again goes to the disk at once
    path.write_bytes(content)


def frame_of(source: Source, name: str) -> ScanPair:
    """One frame of a source, as `build_prepared` gets it, and checked."""
    (frame,) = source.read([name])
    if not isinstance(frame, ScanPair):
        raise InputError(frame.reason)
    assert frame.name == name
    check_frame(frame)
    return frame


def check_frame(frame: ScanPair) -> None:
    """Points of the right shape, finite and in their bounds, and a rigid transform."""
    for points, columns in ((frame.radar, 5), (frame.lidar, 4)):
        assert points.dtype == np.float32
        assert points.ndim == 2
        assert points.shape[1] == columns
        assert len(points) > 0
        assert np.isfinite(points).all()
    assert frame.lidar[:, 3].min() >= 0
    assert frame.lidar[:, 3].max() <= 255
    rigid_transform(frame.T_radar_lidar, frame.name)


def write_float32(path: Path, rows: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.asarray(rows, dtype="<f4").tofile(path)


def write_pcd(
    path: Path, rows: np.ndarray, names: Sequence[str], encoding: Encoding = Encoding.BINARY
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PointCloud.from_points(rows, names, [np.float32] * len(names)).save(path, encoding)


def write_ply(path: Path, rows: np.ndarray, names: Sequence[str], text: bool = False) -> None:
    table = np.array([tuple(row) for row in rows], dtype=[(name, "<f4") for name in names])
    PlyData([PlyElement.describe(table, "vertex")], text=text).write(str(path))


def test_raw_rows_are_read(tmp_path: Path) -> None:
    write_float32(tmp_path / "a.bin", ROWS)
    np.testing.assert_array_equal(read_float32(tmp_path / "a.bin", 4), ROWS)
    np.testing.assert_array_equal(read_float32(tmp_path / "a.bin", 8), ROWS.reshape(1, 8))
    (tmp_path / "empty.bin").touch()
    assert read_float32(tmp_path / "empty.bin", 4).shape == (0, 4)


@pytest.mark.parametrize("encoding", list(Encoding)[:3])
def test_pcd_fields_are_read_by_name(tmp_path: Path, encoding: Encoding) -> None:
    write_pcd(tmp_path / "a.pcd", ROWS, NAMES, encoding)
    np.testing.assert_array_equal(read_named(tmp_path / "a.pcd", ("Power", "x")), ROWS[:, [3, 0]])


def test_ascii_pcd_may_write_integers_as_it_likes(tmp_path: Path) -> None:
    (tmp_path / "a.pcd").write_text(ASCII_PCD)
    np.testing.assert_array_equal(
        read_named(tmp_path / "a.pcd", (*NAMES, "t")), np.c_[ROWS, [7.0, 8.0]]
    )


@pytest.mark.parametrize("text", [False, True])
def test_ply_properties_are_read_by_name(tmp_path: Path, text: bool) -> None:
    write_ply(tmp_path / "a.ply", ROWS, NAMES, text)
    np.testing.assert_array_equal(read_named(tmp_path / "a.ply", ("z", "Power")), ROWS[:, [2, 3]])


def test_text_columns_are_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\nx y z Power t \n1.5 -2 0.25 30 7\n\n4 5 -6.5 1.2e1 8\n")
    np.testing.assert_array_equal(read_named(tmp_path / "a.txt", ("Power", "x")), ROWS[:, [3, 0]])


def test_npy_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS.astype(np.float16))
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy", (4, 5)), ROWS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"12345", "has 5 bytes; must be a multiple of 4"),
        (b"12345678", "holds 2 float32; must be a multiple of 4"),
    ],
)
def test_malformed_raw_rows_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.bin: {message}"):
        read_float32(path, 4)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 6)), r"has shape \(3, 6\); must be \(n, 4 or 5\)"),
        (np.zeros(4), r"has shape \(4,\)"),
        (np.zeros((2, 4), dtype=complex), "has type complex128"),
        (np.full((2, 4), "a"), "has type str32; must be real numbers"),
        (np.full((2, 4), None), "has type object; must be real numbers"),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=rf"a\.npy: {message}"):
        read_npy(tmp_path / "a.npy", (4, 5))


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.pcd").write_text(ASCII_PCD)
    with pytest.raises(InputError, match=r"a\.pcd: has no column power; there are: x, y, z, Power"):
        read_named(tmp_path / "a.pcd", ("x", "power"))


def test_malformed_ply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    write_ply(path, ROWS[:, :3], NAMES[:3])
    with pytest.raises(InputError, match=r"a\.ply: has no column Power; there are: x, y, z"):
        read_named(path, NAMES)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"a\.ply: can't be read"):
        read_named(path, NAMES[:3])
    path.write_bytes(path.read_bytes().replace(b"vertex", b"corner"))
    with pytest.raises(InputError, match=r"a\.ply"):
        read_named(path, NAMES[:3])


@pytest.mark.parametrize(
    "read",
    [
        lambda path: read_float32(path, 4),
        lambda path: read_npy(path, (4,)),
        lambda path: read_named(path, NAMES),
        read_text,
    ],
)
def test_missing_files_are_named(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "folder.ply").mkdir()
    for path in (tmp_path / "nowhere.pcd", tmp_path / "folder.ply"):
        with pytest.raises(InputError, match=f"{path}: no such file"):
            read(path)


def test_text_must_be_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"a\.txt: can't be read: byte 0 is no UTF-8"):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (np.inf, "is not rigid"),
        (-np.inf, "is not rigid"),
        (np.nan, "is not rigid"),
        (1e300, "is not rigid"),
        (10**400, "must be 4x4 numbers"),
        ("x", "must be 4x4 numbers"),
    ],
)
@pytest.mark.parametrize("row", [0, 3])
def test_transforms_of_no_rotation_are_refused(number: object, message: str, row: int) -> None:
    rows: list[list[object]] = np.eye(4).tolist()
    rows[row][1] = number
    with pytest.raises(InputError, match=f"^a: {message}"):
        rigid_transform(rows, "a")
