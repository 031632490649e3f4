"""SNAIL-Radar in its folder form: Oculii Eagle (enhanced clouds) and Hesai XT32, as PCD files."""

import re
from pathlib import Path

import numpy as np

from radarsparse.datasets.build import Source
from radarsparse.datasets.native import (
    HALF_TURN_S,
    nearest_stamps,
    source_of_files,
    split_by_group,
    usable_lidar,
)
from radarsparse.errors import InputError
from radarsparse.formats.prepared import DatasetCard, frame_name
from radarsparse.formats.tables import read_named
from radarsparse.scan import LIDAR_COLUMNS, RADAR_COLUMNS, ScanPair, usable_points

RADAR_FOLDER = "eagleg7/enhanced"
LIDAR_FOLDER = "xt32"

# Such as 20231105_aft/data2, 20231105_aft/2 or 20231105_aft_2.
_RECORDING = re.compile(r"(\d{8}(?:_aft|_eve)?)[/_](?:data)?(\d+)$")
_STAMP = re.compile(r"\d+\.\d+")

# Where each recording was driven. The split is by place: every route was driven several times.
PLACES = {
    "basketball court": "20230920/1 20230921/2 20231007/4 20231105/6 20231105_aft/2",
    "starlake": (
        "20230920/2 20230921/3 20230921/5 20231007/2 20231019/1 20231105/2 20231105/3"
        " 20231105_aft/4 20231109/3"
    ),
    "software school": "20230921/4 20231019/2 20231105/4 20231105/5 20231105_aft/5 20231109/4",
    "info faculty": (
        "20231208/4 20231213/4 20231213/5 20240115/3 20240116/5 20240116_eve/5 20240123/3"
    ),
    "info and arts faculty": (
        "20231201/2 20231201/3 20231208/5 20231213/2 20231213/3 20240113/2 20240113/3"
        " 20240116_eve/4"
    ),
    "info, arts and engineering faculty": "20240113/5 20240115/2 20240116/4",
    "starlake tower": "20231208/1 20231213/1 20240113/1",
    "August 1 road": "20240116/2 20240116_eve/3 20240123/2",
}
RECORDINGS = tuple(key for keys in PLACES.values() for key in keys.split())
# The three faculty routes contain one another, so they stay in the same split.
TEST_PLACE = "August 1 road"
VAL_PLACE = "software school"

_T_BODY_LIDAR = np.array(
    [[0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
# Its rotation was refined by the authors with the radar's own velocity.
_T_BODY_RADAR = np.array(
    [
        [0.999829834123514, 0.0183936527785399, -0.001405821470991, 0.07],
        [-0.0183512882701082, 0.999498727400647, 0.0257977546176971, 0.0],
        [0.00187963171211191, -0.0257675660851007, 0.999666194048132, -0.115],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
T_RADAR_LIDAR = np.linalg.inv(_T_BODY_RADAR) @ _T_BODY_LIDAR


_CARD = DatasetCard(
    name="SNAIL-Radar",
    radar_sensor="Oculii Eagle G7, enhanced clouds (several frames, joined by the maker)",
    lidar_sensor="Hesai Pandar XT32",
    field_of_view_deg=(113.0, 45.0),
    radar_rate_hz=15.0,
    lidar_rate_hz=10.0,
    licence="ODbL 1.0, contents under DbCL 1.0",
    citation=(
        "J. Huai, B. Wang, Y. Zhuang, Y. Chen, Q. Li, Y. Han: SNAIL Radar: A large-scale"
        " diverse dataset for the evaluation of 4D-radar-based SLAM systems."
        " arXiv:2407.11705, 2024 (SNAIL-Radar)."
    ),
)


def open_snail_radar(root: Path) -> Source:
    """Pair the LiDAR sweeps of all recordings with the radar clouds nearest in time.

    Args:
        root: a recording, or a folder that holds recordings such as `20231105/data2` down to two
            folders below.

    Raises:
        InputError: there is no recording, one is unknown, a file isn't named by its stamp, or no
            two clouds are near enough in time.

    Source: docs/format.md and docs/hardware.md of snail-radar/snail-radar.github.io;
        matlab/Body_T_Oculii.m and Body_T_Xt32.m of snail-radar/dataset_tools.
    """
    pairs: list[tuple[Path, Path]] = []
    frames: dict[str, tuple[int, int]] = {}
    for key, folder in _find_recordings(root).items():
        if found := _pair_clouds(folder):
            frames[key] = len(pairs), len(pairs) + len(found) - 1
        pairs += found
    if not pairs:
        raise InputError(f"{root}: no LiDAR sweep has a radar cloud within {HALF_TURN_S} s")
    val, test = (PLACES[place].split() for place in (VAL_PLACE, TEST_PLACE))
    split = split_by_group(frames, val, test)
    files = {frame_name(number): pair for number, pair in enumerate(pairs)}
    return source_of_files(_CARD, split, root, files, _read_frame)


def _find_recordings(root: Path) -> dict[str, Path]:
    """Folders of the recordings by date and run, in the order of time."""
    found = [path for depth in ("", "*/", "*/*/") for path in root.glob(depth + RADAR_FOLDER)]
    if not found:
        raise InputError(f"{root}: holds no folder {RADAR_FOLDER} down to two folders below")
    return dict(sorted((_identify(path.parents[1]), path.parents[1]) for path in found))


def _identify(folder: Path) -> str:
    match = _RECORDING.search(folder.absolute().as_posix())
    key = "/".join(match.groups()) if match else folder.name
    if key not in RECORDINGS:
        raise InputError(
            f"{folder}: is none of the {len(RECORDINGS)} recordings, such as 20231105/data2, so"
            " that its place and its split are unknown"
        )
    return key


def _pair_clouds(recording: Path) -> list[tuple[Path, Path]]:
    """Each LiDAR sweep with the radar cloud nearest in time, where that is near enough."""
    radar, lidar = (_list_by_stamp(recording / name) for name in (RADAR_FOLDER, LIDAR_FOLDER))
    radar_s, lidar_s = (np.array([_stamp_s(path) for path in paths]) for paths in (radar, lidar))
    numbers, gaps_s = nearest_stamps(radar_s, lidar_s)
    near = np.flatnonzero(gaps_s <= HALF_TURN_S).tolist()
    return [(radar[numbers[sweep]], lidar[sweep]) for sweep in near]


def _list_by_stamp(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("*.pcd"), key=_stamp_s)
    if not paths:
        raise InputError(f"{folder}: holds no file such as 1699329600.234000000.pcd")
    return paths


def _stamp_s(path: Path) -> float:
    if not _STAMP.fullmatch(path.stem):
        raise InputError(f"{path}: isn't named by its stamp, such as 1699329600.234000000.pcd")
    return float(path.stem)


def _read_frame(name: str, radar: Path, lidar: Path) -> ScanPair:
    radar_points = read_named(radar, ("x", "y", "z", "Doppler", "Power"))
    return ScanPair(
        name,
        usable_points(radar_points, RADAR_COLUMNS, str(radar)),
        usable_lidar(read_named(lidar, LIDAR_COLUMNS), str(lidar)),
        T_RADAR_LIDAR,
        abs(_stamp_s(radar) - _stamp_s(lidar)),
    )
