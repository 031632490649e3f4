"""SNAIL-Radar in its folder form: Oculii Eagle (enhanced clouds) and Hesai XT32, as PCD files."""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.build import Source, read_each
from radarsparse.datasets.pairing import find_nearest
from radarsparse.errors import InputError
from radarsparse.formats.prepared import DatasetCard, usable_points
from radarsparse.formats.tables import (
    INTENSITY_MAX,
    CloudFiles,
    check_bounds,
    fingerprint,
    read_pcd,
    split_by_group,
)
from radarsparse.scan import ScanPair

RADAR_FOLDER = "eagleg7/enhanced"
LIDAR_FOLDER = "xt32"
PAIR_MAX_S = 0.05
"""Half a turn of the LiDAR: more apart, a radar cloud belongs to another turn."""

# Such as 20231105_aft/data2, 20231105_aft/2 or 20231105_aft_2.
_SEQUENCE = re.compile(r"(\d{8}(?:_aft|_eve)?)[/_](?:data)?(\d+)$")
_STAMP = re.compile(r"\d+\.\d+")

# Where each sequence was driven. The split is by place, since every route was driven several times.
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
# The three faculty routes contain one another, so they stay in the same split.
TEST_PLACES = ("August 1 road",)
VAL_PLACES = ("software school",)

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


def open_snail_radar(root: Path) -> Source:
    """Pair the LiDAR sweeps of all sequences with the radar clouds nearest in time.

    Args:
        root: a sequence, or a folder that holds sequences such as `20231105/data2` down to two
            folders below.

    Raises:
        InputError: there is no sequence, one is unknown, a file isn't named by its stamp, or no
            two clouds are near enough in time.

    Source: data-formats.md, section 7.3.
    """
    sequences = _find_sequences(root)
    pairs: dict[str, CloudFiles] = {}
    frames: dict[str, tuple[int, int]] = {}
    for key, folder in sequences.items():
        first, found = len(pairs), _pair_clouds(folder)
        pairs |= {f"{number:06d}": pair for number, pair in enumerate(found, first)}
        if found:
            frames[key] = first, len(pairs) - 1
    if not pairs:
        raise InputError(f"{root}: no LiDAR sweep has a radar cloud within {PAIR_MAX_S} s")
    card = _make_card(fingerprint(root, (path for pair in pairs.values() for path in pair)))
    split = split_by_group(frames, _sequences_at(VAL_PLACES), _sequences_at(TEST_PLACES))
    return Source(card, split, tuple(pairs), partial(read_each, partial(_read_frame, pairs)))


def _find_sequences(root: Path) -> dict[str, Path]:
    """Folders of the sequences by date and run, in the order of time."""
    found = [path for depth in ("", "*/", "*/*/") for path in root.glob(depth + RADAR_FOLDER)]
    sequences = {_identify(path.parents[1]): path.parents[1] for path in found}
    if not sequences:
        raise InputError(f"{root}: holds no folder {RADAR_FOLDER} down to two folders below")
    return dict(sorted(sequences.items(), key=lambda item: _order(item[0])))


def _identify(folder: Path) -> str:
    match = _SEQUENCE.search(folder.absolute().as_posix())
    key = "/".join(match.groups()) if match else folder.name
    if key not in _sequences_at(PLACES):
        raise InputError(
            f"{folder}: is none of the 44 sequences, such as 20231105/data2, so that its place and"
            " its split are unknown"
        )
    return key


def _order(key: str) -> tuple[str, int]:
    date, _, run = key.partition("/")
    return date, int(run)


def _sequences_at(places: Iterable[str]) -> set[str]:
    return {key for place in places for key in PLACES[place].split()}


def _pair_clouds(sequence: Path) -> list[CloudFiles]:
    """Each LiDAR sweep with the radar cloud nearest in time, where that is near enough."""
    radar, lidar = (_list_by_stamp(sequence / name) for name in (RADAR_FOLDER, LIDAR_FOLDER))
    radar_s, lidar_s = (np.array([_stamp_s(path) for path in paths]) for paths in (radar, lidar))
    numbers, gaps_s = find_nearest(radar_s, lidar_s)
    found = zip(numbers.tolist(), lidar, gaps_s.tolist(), strict=True)
    return [
        CloudFiles(radar[number], sweep) for number, sweep, gap_s in found if gap_s <= PAIR_MAX_S
    ]


def _list_by_stamp(folder: Path) -> Sequence[Path]:
    paths = sorted(folder.glob("*.pcd"), key=_stamp_s)
    if not paths:
        raise InputError(f"{folder}: holds no file such as 1699329600.234000000.pcd")
    return paths


def _stamp_s(path: Path) -> float:
    if not _STAMP.fullmatch(path.stem):
        raise InputError(f"{path}: isn't named by its stamp, such as 1699329600.234000000.pcd")
    return float(path.stem)


def _make_card(digest: str) -> DatasetCard:
    """The data set's card.

    Source: data-formats.md, sections 2.6 and 7.3.
    """
    return DatasetCard(
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
        provenance={"fingerprint": digest},
    )


def _read_frame(pairs: Mapping[str, CloudFiles], name: str) -> ScanPair:
    """Read one native frame.

    Source: data-formats.md, section 7.3.
    """
    return ScanPair(
        name=name,
        radar=_read_radar(pairs[name].radar),
        lidar=_read_lidar(pairs[name].lidar),
        T_radar_lidar=T_RADAR_LIDAR,
        time_gap_s=abs(_stamp_s(pairs[name].radar) - _stamp_s(pairs[name].lidar)),
    )


def _read_radar(path: Path) -> NDArray[np.float32]:
    return usable_points(read_pcd(path, ("x", "y", "z", "Doppler", "Power")), str(path))


def _read_lidar(path: Path) -> NDArray[np.float32]:
    points = usable_points(read_pcd(path, ("x", "y", "z", "intensity")), str(path))
    check_bounds(points[:, 3], f"{path}: field intensity", 0.0, INTENSITY_MAX)
    return points
