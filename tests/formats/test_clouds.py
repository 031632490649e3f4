import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData, PlyElement
from pypcd4.pypcd4 import PointCloud

from radarsparse.errors import InputError
from radarsparse.formats.clouds import (
    list_clouds,
    read_probable_rows,
    read_radar,
    read_rows,
    write_cloud,
)
from radarsparse.formats.columns import Fields
from radarsparse.formats.content import LINES_MAX
from tests.formats.cloud_files import (
    BOTH,
    CLOUD,
    CLOUD_NAMES,
    NAMED,
    RADAR,
    RADAR_FORMATS,
    RADAR_NAMES,
    Writer,
    put_ascii_pcd,
    put_ascii_ply,
    put_bin,
    put_npy,
    put_npz,
    put_pcd,
    records,
)


@pytest.mark.parametrize(("suffix", "put"), RADAR_FORMATS)
@pytest.mark.parametrize("rows", [1, 2])
def test_radar_of_every_format(tmp_path: Path, suffix: str, put: Writer, rows: int) -> None:
    path = tmp_path / f"radar{suffix}"
    put(path.with_suffix(suffix.lower()), RADAR[:rows], RADAR_NAMES)
    path.with_suffix(suffix.lower()).rename(path)
    radar = read_radar(path)
    assert radar.dtype == np.float32
    np.testing.assert_array_equal(radar, RADAR[:rows])


@pytest.mark.parametrize(("suffix", "put"), BOTH)
@pytest.mark.parametrize("rows", [1, 2])
def test_cloud_of_every_format(tmp_path: Path, suffix: str, put: Writer, rows: int) -> None:
    path = tmp_path / f"cloud{suffix}"
    put(path.with_suffix(suffix.lower()), CLOUD[:rows], CLOUD_NAMES)
    path.with_suffix(suffix.lower()).rename(path)
    cloud = read_rows(path)
    assert cloud.dtype.kind == "f"
    np.testing.assert_array_equal(cloud, CLOUD[:rows])


@pytest.mark.parametrize(
    "names",
    [("X", "Y", "Z", "Doppler", "Power"), ("x", "y", "z", "V_r", "SNR"), RADAR_NAMES],
)
@pytest.mark.parametrize(("suffix", "put"), NAMED)
def test_other_names_and_orders_of_columns(
    tmp_path: Path, suffix: str, put: Writer, names: tuple[str, ...]
) -> None:
    path = tmp_path / f"radar{suffix}"
    put(path, RADAR[:, ::-1].copy(), names[::-1])
    np.testing.assert_array_equal(read_radar(path), RADAR)


@pytest.mark.parametrize("suffix", [".ply", ".pcd", ".npz"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_written_clouds_read_back(tmp_path: Path, suffix: str, dtype: type) -> None:
    path = tmp_path / f"cloud{suffix}"
    write_cloud(path, np.zeros((9, 4), dtype=dtype))
    write_cloud(path, CLOUD.astype(dtype))
    np.testing.assert_array_equal(read_rows(path), CLOUD)
    assert list(tmp_path.iterdir()) == [path]


def test_others_can_read_what_is_written(tmp_path: Path) -> None:
    write_cloud(tmp_path / "cloud.ply", CLOUD)
    ply = PlyData.read(str(tmp_path / "cloud.ply"))
    assert not ply.text
    assert ply["vertex"].data.dtype.names == CLOUD_NAMES
    write_cloud(tmp_path / "cloud.pcd", CLOUD)
    pcd = PointCloud.from_path(tmp_path / "cloud.pcd")
    assert pcd.fields == CLOUD_NAMES
    np.testing.assert_array_equal(pcd.numpy(), CLOUD)


def test_cloud_of_a_bin_file_has_four_columns(tmp_path: Path) -> None:
    path = tmp_path / "cloud.bin"
    put_bin(path, CLOUD, CLOUD_NAMES)
    np.testing.assert_array_equal(read_rows(path), CLOUD)
    put_bin(path, CLOUD[:, :3], CLOUD_NAMES)
    with pytest.raises(InputError, match=r"cloud\.bin: holds 6 float32; must be a multiple of 4"):
        read_rows(path)


@pytest.mark.parametrize(("suffix", "put"), BOTH)
def test_rows_are_what_the_file_holds(tmp_path: Path, suffix: str, put: Writer) -> None:
    points = CLOUD.copy()
    points[0, 1] = np.nan
    path = tmp_path / f"cloud{suffix.lower()}"
    put(path, points, CLOUD_NAMES)
    np.testing.assert_array_equal(read_rows(path), points)
    put(path, points[:, :3], CLOUD_NAMES[:3])
    np.testing.assert_array_equal(read_rows(path), points[:, :3])


def test_rows_are_real_numbers(tmp_path: Path) -> None:
    path = tmp_path / "cloud.npy"
    np.save(path, CLOUD.astype(int))
    np.testing.assert_array_equal(read_rows(path), CLOUD.astype(int))
    np.save(path, CLOUD.astype(complex))
    with pytest.raises(InputError, match=r"cloud\.npy: has type complex128; must be real numbers"):
        read_rows(path)


@pytest.mark.parametrize("suffix", [".ply", ".pcd", ".npz"])
def test_probability_lies_beside_the_cloud(tmp_path: Path, suffix: str) -> None:
    path, probability = tmp_path / f"cloud{suffix}", np.linspace(0, 1, len(CLOUD))
    write_cloud(path, CLOUD, probability)
    np.testing.assert_array_equal(read_rows(path), CLOUD)
    if suffix == ".ply":
        found = PlyData.read(str(path))["vertex"]["probability"]
    elif suffix == ".pcd":
        found = PointCloud.from_path(path).pc_data["probability"]
    else:
        with np.load(path) as arrays:
            found = arrays["probability"]
    np.testing.assert_array_equal(found, probability.astype(np.float32))


@pytest.mark.parametrize("suffix", [".ply", ".pcd", ".npz"])
def test_an_empty_cloud_can_be_written_and_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cloud{suffix}"
    write_cloud(path, np.zeros((0, 4)))
    assert read_rows(path).shape == (0, 4)


def test_write_refuses_other_shapes_suffixes_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.ply: shape \(2, 3\) given, \(n, 4\) expected"):
        write_cloud(tmp_path / "a.ply", CLOUD[:, :3])
    with pytest.raises(InputError, match=r"a\.las: unknown suffix '\.las'; known: \.npz, \.pcd, "):
        write_cloud(tmp_path / "a.las", CLOUD)
    with pytest.raises(InputError, match=r"a\.ply: no such folder: .*missing"):
        write_cloud(tmp_path / "missing" / "a.ply", CLOUD)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cloud.ply"
    write_cloud(path, CLOUD)

    def fail(*_: object) -> None:
        raise OSError("no rename")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no rename"):
        write_cloud(path, np.zeros((5, 4)))
    np.testing.assert_array_equal(read_rows(path), CLOUD)


@pytest.mark.parametrize("read", [read_radar, read_rows])
def test_missing_files_and_unknown_suffixes(
    tmp_path: Path, read: Callable[[Path], np.ndarray]
) -> None:
    with pytest.raises(InputError, match=r"gone\.npy: no such file"):
        read(tmp_path / "gone.npy")
    with pytest.raises(InputError, match=r"a\.csv: unknown suffix '\.csv'; known: .*\.npy, "):
        read(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"plain: unknown suffix ''; known: "):
        read(tmp_path / "plain")


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".ply", ".pcd", ".txt"])
@pytest.mark.parametrize("content", [b"\x93\xff\x00garbage\n" * 9, b"plain words\nmore\n"])
def test_corrupt_files_are_named(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"bad{suffix}: "):
        read_radar(path)


@pytest.mark.parametrize(
    ("suffix", "put"), [(s, p) for s, p in BOTH if p not in (put_ascii_ply, put_ascii_pcd)]
)
def test_files_that_were_cut_off_are_refused(tmp_path: Path, suffix: str, put: Writer) -> None:
    path = tmp_path / f"cut{suffix.lower()}"
    put(path, np.tile(RADAR, (20, 1)), RADAR_NAMES)
    whole = path.read_bytes()
    for missing in (1, RADAR[0].nbytes, 300):
        path.write_bytes(whole[:-missing])
        with pytest.raises(InputError, match=r"cut\.[a-z]+: "):
            read_radar(path)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".ply", ".pcd", ".bin", ".txt"])
def test_files_of_zero_bytes_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"hollow{suffix}"
    path.touch()
    with pytest.raises(InputError, match=rf"hollow{suffix}: "):
        read_radar(path)


def test_wrong_shapes_name_what_was_found_and_expected(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((7, 6)))
    with pytest.raises(
        InputError, match=r"a\.npy: shape \(7, 6\) found, \(n, 5\) expected; --fields"
    ):
        read_radar(path)
    with pytest.raises(InputError, match=r"a\.npy: shape \(7, 6\) found, \(n, 3 or 4\) expected"):
        read_rows(path)
    np.save(path, np.zeros(5))
    with pytest.raises(InputError, match=r"shape \(5,\) found"):
        read_radar(path)
    path = tmp_path / "a.bin"
    np.zeros(12, dtype=np.float32).tofile(path)
    with pytest.raises(InputError, match=r"a\.bin: holds 12 float32; must be a multiple of 5"):
        read_radar(path)


@pytest.mark.parametrize(("suffix", "put"), NAMED)
def test_missing_columns_are_named(tmp_path: Path, suffix: str, put: Writer) -> None:
    path = tmp_path / f"a{suffix}"
    put(path, CLOUD, CLOUD_NAMES)
    with pytest.raises(
        InputError, match=r"a\.[a-z]+: has no column doppler_mps by any usual name, --fields"
    ):
        read_radar(path)
    put(path, CLOUD, ("x", "y", "height", "intensity"))
    with pytest.raises(InputError, match=r"has no column z; there are: x, y, height, intensity"):
        read_rows(path)


def test_missing_keys_and_elements_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", lidar=CLOUD, stamp=1)
    with pytest.raises(InputError, match=r"a\.npz: no array radar; there are: lidar, stamp"):
        read_radar(tmp_path / "a.npz")
    with pytest.raises(InputError, match=r"a\.npz: no array points; there are: lidar, stamp"):
        read_rows(tmp_path / "a.npz")
    PlyData([PlyElement.describe(records(CLOUD, CLOUD_NAMES), "splat")]).write(
        str(tmp_path / "a.ply")
    )
    with pytest.raises(InputError, match=r"a\.ply: no element vertex; there are: splat"):
        read_rows(tmp_path / "a.ply")


def test_uneven_text_rows_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n\nX Y Z V_r Mag\n1 2 3 4 5\n1 2 3\n")
    with pytest.raises(
        InputError, match=r"a\.txt: can't be read: row 1 is '1 2 3'; must be 5 numbers"
    ):
        read_radar(path)
    path.write_text("X Y Z V_r Mag\n")
    with pytest.raises(InputError, match=r"a\.txt: no usable point of 0; at least 1 is needed"):
        read_radar(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"x " * 2**20, "has 2097152 bytes in its line of names; must be 1048576 at most"),
        (b"x " * 1001, "has 1001 columns; must be 1000 at most"),
        (b"\n" * (LINES_MAX + 1), f"has {LINES_MAX + 1} lines; must be {LINES_MAX} at most"),
        (b"x y\n" + b"1 " * 10**6, "row 0 is '1 1 .*; must be 2 numbers"),
    ],
)
def test_text_without_end_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.txt: .*{message}"):
        read_radar(tmp_path / "a.txt")


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"a\.npy: has type object; must be real numbers$"):
        read_radar(tmp_path / "a.npy")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_dropped_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, value: float
) -> None:
    points = np.concatenate([RADAR, RADAR, RADAR]).astype(np.float64)
    points[1, 3] = points[4, 0] = value
    np.save(tmp_path / "a.npy", points)
    with caplog.at_level(logging.WARNING, logger="radarsparse"):
        radar = read_radar(tmp_path / "a.npy")
    np.testing.assert_array_equal(radar, points[[0, 2, 3, 5]].astype(np.float32))
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'a.npy'}: dropped 2 of 6 points: NaN or infinity"
    ]


def test_clean_files_are_read_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    np.save(tmp_path / "a.npy", CLOUD)
    read_rows(tmp_path / "a.npy")
    assert caplog.records == []


def test_values_that_no_radar_measures_are_dropped_with_their_bound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    points = np.concatenate([RADAR, RADAR, [[0, 0, 0, 1, 1]]]).astype(np.float32)
    points[1, 3] = np.finfo(np.float32).max
    put_pcd(tmp_path / "a.pcd", points, RADAR_NAMES)
    np.testing.assert_array_equal(read_radar(tmp_path / "a.pcd"), points[[0, 2, 3]])
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "dropped 1 of 5 points: doppler_mps 3.40282e+38 beyond -200 .. 200",
        "dropped 1 of 5 points: no return, at the origin",
    ]
    points[:, 4] = 10 ** (points[:, 4] / 10)
    put_pcd(tmp_path / "a.pcd", points, RADAR_NAMES)
    message = r"a\.pcd: power_db 50118.7 beyond -200 \.\. 200 in 4 of [45] points; --fields"
    with pytest.raises(InputError, match=message):
        read_radar(tmp_path / "a.pcd")


@pytest.mark.parametrize(("suffix", "put"), BOTH)
def test_pulses_without_a_return_are_no_rows(tmp_path: Path, suffix: str, put: Writer) -> None:
    path = tmp_path / f"cloud{suffix.lower()}"
    put(path, np.concatenate([CLOUD, np.zeros_like(CLOUD)]), CLOUD_NAMES)
    np.testing.assert_array_equal(read_rows(path), CLOUD)


@pytest.mark.parametrize("suffix", [".ply", ".pcd", ".npz"])
def test_probability_stays_with_its_point(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cloud{suffix}"
    write_cloud(path, np.concatenate([np.zeros_like(CLOUD), CLOUD]), np.array([0.1, 0.2, 0.3, 0.4]))
    points, probability = read_probable_rows(path)
    np.testing.assert_array_equal(points, CLOUD)
    np.testing.assert_array_equal(probability, np.float32([0.3, 0.4]))
    write_cloud(path, CLOUD)
    assert read_probable_rows(path)[1] is None


def test_what_was_taken_for_our_columns_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="radarsparse")
    for name in ("a.pcd", "b.pcd"):
        put_pcd(tmp_path / name, RADAR, ("x", "y", "z", "v", "RCS"))
        np.testing.assert_array_equal(read_radar(tmp_path / name), RADAR)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: doppler_mps from v, power_db from RCS"
    ]


def test_power_in_db_is_taken_where_linear_power_stands_beside_it(tmp_path: Path) -> None:
    names = ("x", "y", "z", "velocity", "rcs", "power", "snr")
    linear = 10 ** (RADAR[:, 4:] / 10)
    put_pcd(tmp_path / "a.pcd", np.c_[RADAR[:, :4], 0 * linear, linear, RADAR[:, 4:]], names)
    np.testing.assert_array_equal(read_radar(tmp_path / "a.pcd"), RADAR)


@pytest.mark.parametrize(("suffix", "put"), NAMED)
def test_columns_can_be_named(tmp_path: Path, suffix: str, put: Writer) -> None:
    path = tmp_path / f"a{suffix}"
    put(path, np.c_[RADAR, RADAR[:, 3:]], ("east", "y", "up", "own", "p", "doppler", "power"))
    np.testing.assert_array_equal(read_radar(path, Fields.parse("east, y,up,own,p")), RADAR)
    with pytest.raises(InputError, match="has no column x; there are: east, y, up, own, p, "):
        read_radar(path, Fields.parse("x,y,up,own,p"))
    with pytest.raises(InputError, match="--fields a,b: must be five names, for x, y, z, doppler"):
        read_radar(path, Fields.parse("a,b"))


@pytest.mark.parametrize(
    ("suffix", "put"), [(".bin", put_bin), (".npy", put_npy), (".npz", put_npz)]
)
def test_all_columns_of_a_row_can_be_named(tmp_path: Path, suffix: str, put: Writer) -> None:
    path = tmp_path / f"a{suffix}"
    rows = np.c_[RADAR[:, :3], RADAR[:, 4], RADAR[:, 3], [0, 0], [1, 1]].astype(np.float32)
    put(path, rows, RADAR_NAMES)
    fields = Fields.parse("x,y,z,rcs,v_r,v_r_compensated,time")
    np.testing.assert_array_equal(read_radar(path, fields), RADAR)
    with pytest.raises(InputError, match="has no column doppler_mps by any usual name, --fields"):
        read_radar(path, Fields.parse("x,y,z,rcs,_,_,time"))
    with pytest.raises(InputError, match=r"must be a multiple of 8|\(2, 7\) found, \(n, 8\)"):
        read_radar(path, Fields.parse("x,y,z,rcs,v_r,_,_,_"))


def test_the_type_of_a_bin_file_can_be_said(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    points = np.random.default_rng(0).normal((20, 0, 0, 0, 70), (9, 5, 1, 4, 9), (60, 5))
    put_bin(path, points, ())
    with pytest.raises(InputError, match=r"a\.bin: looks like rows of 5 float64; .*--bin-type the"):
        read_radar(path)
    radar = read_radar(path, Fields(bin_type="float64"))
    np.testing.assert_array_equal(radar, points.astype(np.float32))


def test_files_without_a_finite_row_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((3, 5), np.nan))
    with pytest.raises(InputError, match=r"a\.npy: no usable point of 3; at least 1 is needed$"):
        read_radar(tmp_path / "a.npy")


def test_list_of_a_folder_is_sorted_and_holds_known_files_only(tmp_path: Path) -> None:
    for name in ("b.ply", "a.npz", "c.PCD", "notes.md", ".hidden.ply", ".b.ply.7.part"):
        (tmp_path / name).touch()
    (tmp_path / "folder.ply").mkdir()
    assert [path.name for path in list_clouds(tmp_path)] == ["a.npz", "b.ply", "c.PCD"]


def test_list_of_a_file_is_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.npz").touch()
    assert list_clouds(tmp_path / "a.npz") == [tmp_path / "a.npz"]


def test_list_of_a_prepared_data_set_is_its_frames(tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    (tmp_path / "LICENSE.txt").touch()
    (tmp_path / "frames" / "000001.npz").touch()
    assert list_clouds(tmp_path) == [tmp_path / "frames" / "000001.npz"]


def test_list_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone: no such file or folder"):
        list_clouds(tmp_path / "gone")
    with pytest.raises(InputError, match=r"no file ending in \.bin, .*\.txt"):
        list_clouds(tmp_path)
