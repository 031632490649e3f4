"""The loader of anyone's paired clouds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from radarsparse.datasets.build import PreparedPlan, build_prepared
from radarsparse.datasets.folder import open_folder
from radarsparse.errors import InputError
from radarsparse.formats.prepared import PreparedFrames
from tests.formats.test_tables import frame_of, fuzz, write_float32, write_pcd, write_ply

RADAR = np.array([[10, 1, 0.5, -3.5, 46.5], [20.25, -2, 1, 0.25, 97]], dtype=np.float32)
LIDAR = np.array([[5, 0, 0, 0.25], [-5, 1, 0.5, 1.0]], dtype=np.float32)
THEIR_RADAR = ("x", "y", "z", "Doppler", "Power")
OUR_RADAR = ("x", "y", "z", "doppler_mps", "power_db")
LIDAR_NAMES = ("x", "y", "z", "intensity")
CARD = {
    "name": "Mine",
    "radar_sensor": "A",
    "lidar_sensor": "B",
    "field_of_view_deg": [120.0, 30.0],
    "radar_rate_hz": 15,
    "lidar_rate_hz": 10.0,
    "licence": "CC0",
    "citation": "none",
}
LAYOUT: dict[str, Any] = {
    "card": CARD,
    "radar": {
        "folder": "radar",
        "suffix": ".pcd",
        "columns": dict(zip(OUR_RADAR, THEIR_RADAR, strict=True)),
    },
    "lidar": {"folder": "lidar", "suffix": ".bin", "columns": ["ring", *LIDAR_NAMES]},
    "lidar_intensity_max": 1.0,
    "T_radar_lidar": [[0, -1, 0, 0.5], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    "split": {"train": [[0, 11]], "val": [[12, 12]]},
}


def write_layout(root: Path, **changes: Any) -> Path:
    root.mkdir(exist_ok=True)
    (root / "layout.yaml").write_text(yaml.safe_dump(LAYOUT | changes))
    return root


def write_clouds(root: Path, *stems: str) -> Path:
    for stem in stems:
        write_pcd(root / f"radar/{stem}.pcd", RADAR, THEIR_RADAR)
        write_float32(root / f"lidar/{stem}.bin", np.c_[[3.0, 4.0], LIDAR])
    return root


def test_a_pair_is_read(tmp_path: Path) -> None:
    source = open_folder(write_layout(write_clouds(tmp_path, "000012")))
    frame = frame_of(source, "000012")
    np.testing.assert_array_equal(frame.radar, RADAR)
    np.testing.assert_array_equal(frame.lidar, LIDAR * (1, 1, 1, 255))
    np.testing.assert_array_equal(frame.T_radar_lidar, LAYOUT["T_radar_lidar"])
    assert source.card.field_of_view_deg == (120.0, 30.0)
    assert source.card.lidar_rings_deg == ()
    ringed = write_layout(tmp_path, card=CARD | {"lidar_rings_deg": [-1, 0.5]})
    assert open_folder(ringed).card.lidar_rings_deg == (-1.0, 0.5)


@pytest.mark.parametrize("suffix", [".pcd", ".ply", ".npy", ".bin"])
def test_each_format_serves_either_sensor(tmp_path: Path, suffix: str) -> None:
    def write(folder: str, rows: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
        path = tmp_path / folder / f"7{suffix}"
        path.parent.mkdir()
        if suffix in (".npy", ".bin"):
            rows = np.ascontiguousarray(rows[:, ::-1])
            np.save(path, rows) if suffix == ".npy" else write_float32(path, rows)
            columns: Any = list(names[::-1])
        else:
            (write_pcd if suffix == ".pcd" else write_ply)(path, rows, names)
            columns = {name: name for name in names}
        return {"folder": folder, "suffix": suffix, "columns": columns}

    write_layout(tmp_path, radar=write("r", RADAR, OUR_RADAR), lidar=write("l", LIDAR, LIDAR_NAMES))
    frame = frame_of(open_folder(tmp_path), "000007")
    np.testing.assert_array_equal(frame.radar, RADAR)
    np.testing.assert_array_equal(frame.lidar, LIDAR * (1, 1, 1, 255))


def test_names_are_numbers_or_places_in_the_list(tmp_path: Path) -> None:
    root = write_layout(write_clouds(tmp_path, "12", "000003"))
    assert open_folder(root).names == ("000003", "000012")
    write_clouds(root, "1700000000.25")
    source = open_folder(root)
    assert source.names == ("000000", "000001", "000002")
    (root / "lidar/1700000000.25.bin").unlink()
    frame_of(source, "000001")
    with pytest.raises(InputError, match=r"lidar/1700000000\.25\.bin: no such file"):
        frame_of(source, "000002")


@pytest.mark.parametrize("stems", [("7", "0007"), ("3", "1000000")])
def test_numbers_that_do_not_fit_are_refused(tmp_path: Path, stems: tuple[str, str]) -> None:
    with pytest.raises(InputError, match="its files' numbers must differ and be 999999 at most"):
        open_folder(write_layout(write_clouds(tmp_path, *stems)))


def test_a_folder_is_prepared_and_its_split_read_back(tmp_path: Path) -> None:
    root = write_layout(write_clouds(tmp_path / "native", "0", "12"))
    plan = PreparedPlan(tmp_path / "prepared", open_folder(root))
    assert build_prepared(plan) == {}
    assert PreparedFrames.open(plan.target, "val").names == ("000012",)
    assert plan.is_built()
    turned = [[0, 1, 0, 0.5], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    other = PreparedPlan(plan.target, open_folder(write_layout(root, T_radar_lidar=turned)))
    with pytest.raises(InputError, match="exists with other contents"):
        other.is_built()


COLUMNS = LAYOUT["radar"]["columns"]
MIRRORED = [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rader": 1}, "rader = 1: is no key here"),
        ({"card": CARD | {"colour": "red"}}, "card.colour = .red."),
        ({"card": CARD | {"radar_rate_hz": 0}}, "card.radar_rate_hz = 0: must be .* 0"),
        ({"card": CARD | {"lidar_rings_deg": [0, -91]}}, r"card.lidar_rings_deg.1 = -91: must be"),
        ({"card": None}, "card = None: "),
        (
            {"radar": LAYOUT["radar"] | {"suffix": ".las"}},
            "radar.suffix = '.las': must be '.pcd', '.ply'",
        ),
        ({"radar": LAYOUT["radar"] | {"suffix": ".npy"}}, "radar.columns must be a list for .npy"),
        ({"radar": LAYOUT["radar"] | {"columns": ["x"]}}, "radar.columns must be a mapping of"),
        ({"radar": LAYOUT["radar"] | {"columns": 5}}, "radar.columns"),
        (
            {"radar": LAYOUT["radar"] | {"columns": COLUMNS | {"snr": "s"}}},
            "radar.columns has unknown snr",
        ),
        (
            {"lidar": LAYOUT["lidar"] | {"columns": ["x", "y", "z"]}},
            "lidar.columns lacks intensity",
        ),
        ({"lidar_intensity_max": -1.0}, "lidar_intensity_max = -1.0: must be .*0.001"),
        ({"lidar_intensity_max": 1e-300}, "lidar_intensity_max = 1e-300: must be .*0.001"),
        (
            {"lidar_intensity_max": 1e300},
            r"lidar_intensity_max = 1e\+300: must be .*1000000000",
        ),
        ({"T_radar_lidar": [[1.0, 0.0]]}, r"T_radar_lidar: has shape \(1, 2\)"),
        ({"T_radar_lidar": [[1.0], [1.0, 2.0]]}, "T_radar_lidar: must be 4x4 numbers"),
        (
            {"T_radar_lidar": [[float("inf")] * 4] * 4},
            "T_radar_lidar.0.0 = '.inf': must be a .*number",
        ),
        ({"T_radar_lidar": MIRRORED}, "T_radar_lidar: is not rigid"),
        ({"split": {"train": [[5, 4]]}}, r"split has \[5, 4\], which ends before it begins"),
        ({"split": {"train": [[-5, 4]]}}, "split.train.0.0 = -5: must be .* 0"),
        (
            {"split": {"train": [[0, 5]], "val": [[5, 6]]}},
            r"split has \[0, 5\] and \[5, 6\], which share frames",
        ),
    ],
)
def test_malformed_layouts_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    write_layout(write_clouds(tmp_path, "000012"), **changes)
    with pytest.raises(InputError, match=rf"layout\.yaml: .*{message}"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "a: b: c", "- 1", "{[1]: 2}", "a: 2020-13-45", "card: 1\ncard: 2", "[" * 2000]
)
def test_layouts_that_are_no_mapping_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "layout.yaml").write_text(text)
    with pytest.raises(InputError, match=r"layout\.yaml: "):
        open_folder(tmp_path)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"layout\.yaml: no such file"):
        open_folder(tmp_path)
    with pytest.raises(InputError, match=r"radar: no such folder; .*layout\.yaml names it"):
        open_folder(write_layout(tmp_path))
    (tmp_path / "radar").mkdir()
    with pytest.raises(InputError, match=r"radar: holds no file that ends in \.pcd"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (LIDAR, "holds 8 float32; must be a multiple of 5"),
        (np.zeros((0, 5)), "no usable point of 0"),
        (np.full((2, 5), np.nan), "no usable point of 2"),
        (np.full((2, 5), 2.0), r"intensity: lies in 2 \.\. 2; must lie in 0 \.\. 1"),
    ],
)
def test_malformed_clouds_are_named(tmp_path: Path, rows: np.ndarray, message: str) -> None:
    root = write_layout(write_clouds(tmp_path, "000012"))
    write_float32(root / "lidar/000012.bin", rows)
    with pytest.raises(InputError, match=rf"lidar/000012\.bin: {message}"):
        frame_of(open_folder(root), "000012")


def test_files_are_found_as_anyone_writes_them(tmp_path: Path) -> None:
    root = write_layout(write_clouds(write_clouds(tmp_path, "000012"), "000013"))
    (root / "radar/000013.pcd").rename(root / "radar/000013.PCD")
    (root / "lidar/000013.bin").rename(root / "lidar/000013.Bin")
    (root / "radar/._000012.pcd").write_text("of another system")
    (root / "radar/000014.pcd").mkdir()
    source = open_folder(root)
    assert source.names == ("000012", "000013")
    np.testing.assert_array_equal(frame_of(source, "000013").radar, RADAR)


def test_rows_of_another_type_are_refused(tmp_path: Path) -> None:
    root = write_layout(write_clouds(tmp_path, "000012"))
    rows = np.random.default_rng(0).uniform(0.1, 0.9, (300, 5))
    (root / "lidar/000012.bin").write_bytes(rows.tobytes())
    with pytest.raises(
        InputError, match=r"looks like rows of \d+ float64; read as 5 float32 as lay"
    ):
        frame_of(open_folder(root), "000012")


def test_the_largest_intensity_is_no_fault_and_less_than_none_is(tmp_path: Path) -> None:
    root = write_layout(write_clouds(tmp_path, "000012"), lidar_intensity_max=65535.0)
    lidar = LIDAR.copy()
    lidar[:, 3] = 65535.0, 0.0
    write_float32(root / "lidar/000012.bin", np.c_[np.zeros(2), lidar])
    assert frame_of(open_folder(root), "000012").lidar[:, 3].tolist() == [255.0, 0.0]
    lidar[1, 3] = -1e-31
    write_float32(root / "lidar/000012.bin", np.c_[np.zeros(2), lidar])
    with pytest.raises(InputError, match=r"intensity: lies in -1e-31 \.\. -1e-31; must lie in 0"):
        frame_of(open_folder(root), "000012")


def test_one_implausible_intensity_is_left_out(tmp_path: Path) -> None:
    root = write_layout(write_clouds(tmp_path, "000012"))
    lidar = np.r_[LIDAR, [[5, 1, 0, 3.4e38], [6, 1, 0, 0.5]]].astype(np.float32)
    lidar[:2, 3] /= 255
    write_float32(root / "lidar/000012.bin", np.c_[np.zeros(4), lidar])
    assert len(frame_of(open_folder(root), "000012").lidar) == 3


def test_what_no_sensor_measures_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_layout(write_clouds(tmp_path, "000012"), lidar_intensity_max=255)
    lidar = np.r_[LIDAR, np.zeros((2, 4)), [[1e6, 0, 0, 0]]].astype(np.float32)
    write_float32(root / "lidar/000012.bin", np.c_[np.zeros(5), lidar])
    radar = np.r_[RADAR, [[9, 1, 0, 3e38, 50]]].astype(np.float32)
    write_pcd(root / "radar/000012.pcd", radar, THEIR_RADAR)
    frame = frame_of(open_folder(root), "000012")
    np.testing.assert_array_equal(frame.lidar, LIDAR)
    np.testing.assert_array_equal(frame.radar, RADAR)
    assert [record.getMessage().partition(": ")[2] for record in caplog.records] == [
        "dropped 1 of 3 points: doppler_mps 3e+38 beyond -200 .. 200",
        "dropped 1 of 5 points: x 1e+06 beyond -1000 .. 1000",
        "dropped 2 of 5 points: no return, at the origin",
    ]


def test_a_field_of_several_values_beside_ours_is_passed_over(tmp_path: Path) -> None:
    root = write_layout(write_clouds(tmp_path, "000012"))
    rows = "\n".join(f"{x} {y} {z} 1 2 3 4 {v} {p}" for x, y, z, v, p in RADAR.tolist())
    (root / "radar/000012.pcd").write_text(
        "FIELDS x y z shape Doppler Power\nSIZE 4 4 4 4 4 4\nTYPE F F F F F F\n"
        f"COUNT 1 1 1 4 1 1\nPOINTS 2\nDATA ascii\n{rows}\n"
    )
    np.testing.assert_array_equal(frame_of(open_folder(root), "000012").radar, RADAR)


def test_damaged_files_give_a_frame_or_an_input_error(tmp_path: Path) -> None:
    root = write_layout(write_clouds(tmp_path, "000012"))
    files = [root / path for path in ("layout.yaml", "radar/000012.pcd", "lidar/000012.bin")]
    read_well, refused = fuzz(files, lambda: frame_of(open_folder(root), "000012"), 500)
    assert read_well > 0
    assert refused > 0
