"""Arrays in files that claim more than they hold, and rows whose length only their values show."""

import io
import zipfile
from functools import partial
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.formats.content import (
    BYTES_MAX,
    POINTS_MAX,
    array_names,
    parse_bin,
    parse_file,
    parse_npy,
    parse_rows,
    parse_txt,
    parse_unstated_bin,
    read_npz,
)
from radarsparse.simulator.pairs import simulate_pair

ROWS = np.arange(12.0).reshape(4, 3)


def npy(descr: object, shape: object, body: bytes = b"", by_columns: object = False) -> bytes:
    header = repr({"descr": descr, "fortran_order": by_columns, "shape": shape}).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


def write_npz(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("kind", ["<f4", ">f8", "<f2", ">i2", "|u1", "<i8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(4, 3), (12,), (), (0, 3), (2, 2, 3)])
def test_arrays_of_numpy_are_read(tmp_path: Path, kind: str, order, shape: tuple) -> None:
    array = np.asarray(np.resize(ROWS, shape), dtype=kind, order=order)
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", first=array, second=ROWS)
    read = (
        parse_file(tmp_path / "a.npy", parse_npy),
        read_npz(tmp_path / "a.npz", ["first"], ["x"])["first"],
    )
    for back in read:
        np.testing.assert_array_equal(back, array)
        assert back.dtype.isnative
        assert back.flags.writeable


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy("<f4", (2_000_000_000, 5)), "float32 of shape (2000000000, 5): is cut off: 400000000"),
        (npy("<f4", (10**30,)), f"is cut off: {4 * 10**30} bytes needed; it holds 0"),
        (npy("<f4", (3, 2), b"0" * 23), "is cut off: 24 bytes needed; it holds 23"),
        (npy("|O", (1,), b"\x80"), "has type object; must be real numbers"),
        (npy("<U9", (1,), b"0" * 36), "has type str288; must be real numbers"),
        (npy([("x", "<f4")], (1,), b"0000"), "has type void32; must be real numbers"),
        (npy("<c8", (1,), b"0" * 8), "has type complex64; must be real numbers"),
        (npy("<f4", (-1, 5), b"0" * 99), "float32 of shape (-1, 5): must have no negative side"),
        (npy("<f4", (1.5,), b"0" * 99), "can't be read: damaged, cut off or no .npy"),
        (npy("<f4", 7, b"0" * 99), "can't be read: damaged, cut off or no .npy"),
        (npy("<f4", (1,), b"0000", "?"), "can't be read: damaged, cut off or no .npy"),
        (npy("<f3", (1,), b"0000"), "can't be read: damaged, cut off or no .npy"),
        (b"\x93NUMPY\x07\x00" + b"\0" * 9, "can't be read: damaged, cut off or no .npy"),
        (b"", "can't be read: damaged, cut off or no .npy"),
    ],
)
def test_claims_that_a_file_cannot_keep_are_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(InputError) as caught:
        parse_file(tmp_path / "a.npy", parse_npy)
    assert str(caught.value).startswith(f"{tmp_path / 'a.npy'}: ")
    assert message in str(caught.value)
    assert "pickle" not in str(caught.value)
    path = write_npz(tmp_path / "a.npz", {"radar": content})
    with pytest.raises(InputError) as caught:
        read_npz(path, ["radar"])
    assert message.removesuffix("npy") in str(caught.value)


def test_what_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    rows = BYTES_MAX // 20
    largest = npy("<f4", (rows + 1, 5)) + bytes(20 * (rows + 1))
    path = write_npz(tmp_path / "a.npz", {"radar": largest, "lidar": npy("<f4", (1, 5), b"0" * 20)})
    assert path.stat().st_size < BYTES_MAX / 500
    with pytest.raises(
        InputError, match=rf"a\.npz: radar: takes \d+ bytes; must be {BYTES_MAX} at"
    ):
        read_npz(path, ["radar"])
    assert read_npz(path, ["lidar"])["lidar"].shape == (1, 5)
    with (tmp_path / "a.bin").open("wb") as file:
        file.truncate(BYTES_MAX + 4)
    with pytest.raises(InputError, match=rf"a\.bin: takes \d+ bytes; must be {BYTES_MAX} at most"):
        parse_file(tmp_path / "a.bin", partial(parse_bin, 5, "float32"))


@pytest.mark.parametrize(("type_", "rows"), [("|i1", 26_000_000), ("<f4", POINTS_MAX + 1)])
def test_points_without_end_are_refused_whatever_their_type(
    tmp_path: Path, type_: str, rows: int
) -> None:
    columns = 5 if type_ == "|i1" else 4
    body = bytes(rows * columns * np.dtype(type_).itemsize)
    path = write_npz(tmp_path / "a.npz", {"radar": npy(type_, (rows, columns)) + body})
    with pytest.raises(InputError, match=rf"has {rows} rows; must be {POINTS_MAX} at most"):
        read_npz(path, ["radar"])


def test_archives_that_numpy_does_not_write_are_refused(tmp_path: Path) -> None:
    np.save(stream := io.BytesIO(), ROWS)
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = write_npz(tmp_path / "a.npz", {"radar": stream.getvalue()}, method)
        with pytest.raises(InputError, match=r"a\.npz: radar: is packed by a method that NumPy"):
            read_npz(path, ["radar"])
    with pytest.raises(InputError, match=r"a\.npz: no array lidar, x; there are: radar"):
        read_npz(path, ["lidar", "radar", "x"])
    assert array_names(path) == ["radar"]
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 no archive")
    assert array_names(tmp_path / "a.npz") == []
    with pytest.raises(InputError, match=r"a\.npz: can't be read: damaged, cut off or no \.npz"):
        read_npz(path, ["radar"])


def test_members_that_unpack_to_more_than_they_state_are_refused(tmp_path: Path) -> None:
    small = npy("<f4", (1,), b"0000")
    path = write_npz(tmp_path / "a.npz", {"radar": small + bytes(10**6)})
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\1\2") + 24
    content[at : at + 4] = len(small).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.npz: can't be read: damaged"):
        read_npz(path, ["radar"])


def test_archives_without_end_are_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", {str(number): b"" for number in range(1001)})
    with pytest.raises(InputError, match=r"a\.npz: has 1001 members; must be 1000 at most"):
        read_npz(path, ["1"])
    assert array_names(path) == []


def test_rows_without_end_are_refused() -> None:
    rows = BYTES_MAX // 8 // 500
    line = "1 " * 500
    assert parse_rows([line] * 2, 500, "a").shape == (2, 500)
    with pytest.raises(InputError, match=f"^a: has over {rows} rows of 500 numbers"):
        parse_rows(repeat(line), 500, "a")


def test_rows_without_end_of_raw_numbers_are_refused() -> None:
    content = bytes((POINTS_MAX + 1) * 20)
    with pytest.raises(InputError, match=rf"has {POINTS_MAX + 1} rows; must be {POINTS_MAX} at"):
        parse_bin(5, "float32", content, "a")


@pytest.mark.parametrize("first", ["x y", "# x y", "//x y", "\ufeffx y", "x y x", "x\ty"])
def test_tables_of_text_of_other_programs_are_read(first: str) -> None:
    more = " 9" if first.endswith("x") else ""
    text = f"{first}\n1 2{more}\n\n-nan(ind) 1.#QNAN{more}\n"
    table = parse_txt(text.encode(), "a")
    assert list(table) == ["x", "y"]
    np.testing.assert_array_equal(np.stack([*table.values()]), [[1, np.nan], [2, np.nan]])


def test_a_table_of_text_needs_names() -> None:
    with pytest.raises(InputError, match="a: holds no line of names"):
        parse_txt(b"\n \n", "a")


@pytest.mark.parametrize(("name", "columns", "wider"), [("radar", 5, 10), ("lidar", 4, 8)])
def test_rows_of_twice_the_columns_are_refused(name: str, columns: int, wider: int) -> None:
    rows = getattr(simulate_pair(0, 0), name)[:1000, :columns]
    high = np.array([31, 0.1, 360, 5, 1000])[: wider - columns]
    more = np.random.default_rng(0).uniform(0, high, (len(rows), len(high)))
    read = partial(parse_unstated_bin, columns, "float32", "; a hint")
    np.testing.assert_array_equal(read(rows.astype("<f4").tobytes(), "a"), rows)
    message = f"^a: looks like rows of {wider} float32; read as {columns} float32; a hint$"
    with pytest.raises(InputError, match=message):
        read(np.c_[rows, more].astype("<f4").tobytes(), "a")


def test_numbers_without_a_header_are_read() -> None:
    for kind in ("float32", "float64"):
        content = ROWS.astype(kind).tobytes()
        for rows in (
            parse_bin(3, kind, content, "a"),
            parse_unstated_bin(3, kind, "", content, "a"),
        ):
            np.testing.assert_array_equal(rows, ROWS)
            assert rows.dtype == kind
    assert parse_bin(5, "float32", b"", "a").shape == (0, 5)
    assert parse_unstated_bin(5, "float32", "", b"", "a").shape == (0, 5)
    with pytest.raises(InputError, match=r"^a: has 5 bytes; must be a multiple of 4 \(float32"):
        parse_bin(1, "float32", b"12345", "a")
    with pytest.raises(InputError, match=r"^a: holds 2 float32; must be a multiple of 5, a row's"):
        parse_bin(5, "float32", b"12345678", "a")


def check(values: np.ndarray, columns: int = 5) -> None:
    rows = parse_unstated_bin(columns, values.dtype.name, "", values.tobytes(), "a")
    np.testing.assert_array_equal(rows.ravel(), values.ravel())


@pytest.fixture(scope="module")
def clouds() -> list[np.ndarray]:
    return [simulate_pair(0, number).radar for number in range(12)]


def with_seven_columns(radar: np.ndarray) -> np.ndarray:
    """X, y, z, RCS, Doppler, Doppler without own motion, time, as View-of-Delft has it."""
    x, y, z, doppler, power = radar.T
    return np.c_[x, y, z, power - 60, doppler, 0.3 * doppler, np.zeros_like(x)]


def with_eight_columns(radar: np.ndarray) -> np.ndarray:
    """X, y, z, Doppler, range, power, azimuth, elevation, as TJ4DRadSet has it."""
    x, y, z, doppler, power = radar.T
    range_m = np.linalg.norm(radar[:, :3], axis=1)
    return np.c_[x, y, z, doppler, range_m, power, np.arctan2(y, x), np.arcsin(z / range_m)]


def test_rows_of_five_are_never_taken_for_others(clouds: list[np.ndarray]) -> None:
    random = np.random.default_rng(0)
    for radar in clouds:
        check(radar)
        for count in (1, 2, 3, 4, 5, 6, 7, 8, 12, 14, 16, 21, 24, 28, 32, 48, 64, 96):
            check(radar[:count])
            check(random.choice(radar, count))
    for values in (np.zeros(60), np.ones(60), np.full(60, np.nan), np.arange(60)):
        check(values.astype(np.float32))


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (with_seven_columns, "7 float32"),
        (with_eight_columns, "8 float32"),
        (lambda radar: radar[:, [0, 1, 2, 4]], "4 float32"),
        (lambda radar: radar.astype(np.float64), "5 float64"),
        (lambda radar: radar.astype(np.float64) / 3, "5 float64"),
        (lambda radar: with_seven_columns(radar).astype(np.float64), "7 float64"),
    ],
)
def test_rows_of_others_are_seen(clouds, change, seen: str) -> None:
    for radar in clouds:
        content = change(radar).astype(seen.split()[1]).tobytes()
        with pytest.raises(InputError, match=f"^a: looks like rows of {seen}; read as 5 float32!"):
            parse_unstated_bin(5, "float32", "!", content, "a")
        if seen.endswith("float64"):
            rows = parse_bin(int(seen.split(maxsplit=1)[0]), "float64", content, "a")
            np.testing.assert_array_equal(rows, change(radar))


def test_rows_of_another_length_are_seen_in_float64(clouds: list[np.ndarray]) -> None:
    content = with_seven_columns(clouds[0]).astype(np.float64).tobytes()
    with pytest.raises(InputError, match=r"^a: looks like rows of 7 float64; read as 5 float64"):
        parse_unstated_bin(5, "float64", "", content, "a")


def test_rows_that_were_cut_off_are_not_taken_for_others(clouds: list[np.ndarray]) -> None:
    for radar in clouds:
        for missing in range(1, 5):
            with pytest.raises(InputError, match=r"^a: holds \d+ float32; must be a multiple of 5"):
                check(radar.ravel()[:-missing])
