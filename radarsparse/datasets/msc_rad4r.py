"""MSC-RAD4R in its own layout: Oculii Eagle radar and Ouster OS1-128, as ROS 1 bags."""

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.build import Source, Unusable
from radarsparse.datasets.pairing import find_nearest, slide_over, union_of_ranges
from radarsparse.errors import InputError
from radarsparse.formats.bags.point_cloud2 import POINT_CLOUD2_TYPES, decode_point_cloud2
from radarsparse.formats.bags.recording import (
    Message,
    count_messages,
    list_volumes,
    read_messages,
    read_stamps,
)
from radarsparse.formats.prepared import DatasetCard, rigid_transform, usable_points
from radarsparse.formats.tables import INTENSITY_MAX, fingerprint, read_text
from radarsparse.scan import ScanPair

RADAR_TOPIC = "/oculii_radar/point_cloud"
RADAR_FIELDS = ("x", "y", "z", "doppler", "power")
LIDAR_TOPIC = "/ouster/points"
LIDAR_FIELDS = ("x", "y", "z", "intensity")
CALIBRATION_FILE = "calib/T_radar_lidar.txt"

PAIR_MAX_S = 0.05
"""Half a turn of the LiDAR: more apart, a radar cloud belongs to another turn."""

# Pulses without a return stand at the origin; the LiDAR itself sees nothing this near.
LIDAR_RANGE_MIN_M = 0.1

# Such as URBAN_A0: area, route, then 0 for a clear day, 1 for night and 2 for snow.
_SEQUENCE = re.compile(r"(URBAN_[A-H][01]|LOOP_[A-E]0|RURAL_[A-F][012]|SMOKE_[AB]0)")

# By area: a route stays in the same split whatever the weather or the hour, and so do the routes
# that it may cross. RURAL is a village in the mountains, LOOP another quarter of URBAN's town, and
# SMOKE was driven on URBAN's campus.
SPLIT_OF_AREA = {"URBAN": "train", "SMOKE": "train", "LOOP": "val", "RURAL": "test"}

_log = logging.getLogger("radarsparse")


def open_msc_rad4r(root: Path) -> Source:
    """Find the frames of a folder of sequences, one per LiDAR sweep.

    Args:
        root: holds `calib/T_radar_lidar.txt` and, for each sequence, a bag such as `URBAN_A0.bag`
            or a folder such as `URBAN_A0` with its bags.

    Raises:
        InputError: the calibration, a bag or a topic is missing, unknown, malformed or damaged.

    Source: data-formats.md, section 7.2.
    """
    T_radar_lidar = _read_calibration(root / CALIBRATION_FILE)
    sequences = _open_sequences(root)
    split: dict[str, list[tuple[int, int]]] = {}
    for sequence in sequences:
        ranges = split.setdefault(SPLIT_OF_AREA[sequence.area], [])
        ranges.append((sequence.first, sequence.end - 1))
    bags = (bag for sequence in sequences for bag in sequence.volumes)
    card = _make_card(fingerprint(root, bags), T_radar_lidar)
    names = tuple(f"{number:06d}" for number in range(sequences[-1].end))
    return Source(card, split, names, partial(_read_frames, sequences, T_radar_lidar))


@dataclass(frozen=True)
class _Sequence:
    """A drive.

    Attributes:
        area: where it was driven.
        volumes: its bags, in order.
        first: number of its first frame.
        end: number behind its last frame.
    """

    area: str
    volumes: tuple[Path, ...]
    first: int
    end: int


def _open_sequences(root: Path) -> list[_Sequence]:
    found = _find_volumes(root)
    counts = [_count_sweeps(volumes) for volumes in found.values()]
    bounds = zip(accumulate(counts, initial=0), accumulate(counts), strict=False)
    return [
        _Sequence(name.partition("_")[0], volumes, first, end)
        for (name, volumes), (first, end) in zip(found.items(), bounds, strict=True)
    ]


def _find_volumes(root: Path) -> dict[str, tuple[Path, ...]]:
    """The bags of each sequence, by its name, sorted."""
    lone = {path.stem: (path,) for path in root.glob("*.bag")}
    folders = {path.parent.name: path.parent for path in root.glob("*/*.bag")}
    names = sorted({*lone, *folders})
    if not names:
        raise InputError(f"{root}: holds no bag such as URBAN_A0.bag or URBAN_A0/URBAN_A0_0.bag")
    unknown = [name for name in names if not _SEQUENCE.fullmatch(name)]
    if unknown:
        raise InputError(
            f"{root / unknown[0]}: is no sequence, such as URBAN_A0, so that its place and its"
            " split are unknown"
        )
    doubled = sorted(lone.keys() & folders.keys())
    if doubled:
        raise InputError(f"{folders[doubled[0]]}: holds bags beside {doubled[0]}.bag; keep one")
    return {name: lone.get(name) or list_volumes(folders[name]) for name in names}


def _count_sweeps(volumes: tuple[Path, ...]) -> int:
    count_messages(volumes, RADAR_TOPIC, POINT_CLOUD2_TYPES)
    return count_messages(volumes, LIDAR_TOPIC, POINT_CLOUD2_TYPES)


def _read_calibration(path: Path) -> NDArray[np.float64]:
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; it must hold the 4x4 numbers of T_radar_lidar (p_radar ="
            " T_radar_lidar @ p_lidar), made from the calibration that MSC-RAD4R's site offers"
        )
    lines = read_text(path).splitlines()
    return rigid_transform([line.split() for line in lines if line.strip()], str(path))


def _make_card(digest: str, T_radar_lidar: NDArray[np.float64]) -> DatasetCard:
    """The data set's card.

    Source: data-formats.md, section 7.2.
    """
    return DatasetCard(
        name="MSC-RAD4R",
        radar_sensor="Oculii Eagle",
        lidar_sensor="Ouster OS1-128",
        field_of_view_deg=(113.0, 45.0),
        radar_rate_hz=15.0,
        lidar_rate_hz=10.0,
        licence="none stated by the authors",
        citation=(
            "M. Choi, S. Yang, S. Han, Y. Lee, M. Lee, K. H. Choi, K.-S. Kim: MSC-RAD4R: ROS-Based"
            " Automotive Dataset With 4D Radar. IEEE Robotics and Automation Letters,"
            " 2023 (MSC-RAD4R)."
        ),
        provenance={
            "fingerprint": digest,
            "T_radar_lidar": hashlib.sha256(T_radar_lidar.tobytes()).hexdigest()[:16],
        },
    )


class _Moment(NamedTuple):
    """A LiDAR sweep with the radar cloud nearest in time, and how far apart they are."""

    name: str
    radar: Message
    lidar: Message
    gap_s: float


def _read_frames(
    sequences: Sequence[_Sequence], T_radar_lidar: NDArray[np.float64], names: Sequence[str]
) -> Iterator[ScanPair | Unusable]:
    """Frames of some of the names, which ascend."""
    asked = np.array([int(name) for name in names], dtype=np.int64)
    for sequence in sequences:
        here = asked[(asked >= sequence.first) & (asked < sequence.end)] - sequence.first
        if len(here):
            for moment in _read_moments(sequence, here):
                yield _make_frame(moment, T_radar_lidar)


def _read_moments(sequence: _Sequence, numbers: NDArray[np.int64]) -> Iterator[_Moment]:
    volumes = sequence.volumes
    _log.info("%s: reading the stamps of its messages", volumes[0])
    stamps_s = read_stamps(volumes, (RADAR_TOPIC, LIDAR_TOPIC))
    nearest = find_nearest(stamps_s[RADAR_TOPIC], stamps_s[LIDAR_TOPIC][numbers])
    # Two sweeps may have the same radar cloud nearest.
    ranges = np.stack([nearest.numbers, nearest.numbers + 1], axis=1)
    radar = read_messages(volumes, RADAR_TOPIC, union_of_ranges(ranges))
    lidar = read_messages(volumes, LIDAR_TOPIC, numbers)
    moments = zip(numbers, slide_over(radar, ranges), lidar, nearest.gaps_s, strict=True)
    for number, (cloud,), sweep, gap_s in moments:
        yield _Moment(f"{sequence.first + number:06d}", cloud, sweep, float(gap_s))


def _make_frame(moment: _Moment, T_radar_lidar: NDArray[np.float64]) -> ScanPair | Unusable:
    try:
        if moment.gap_s > PAIR_MAX_S:
            raise InputError(
                f"{moment.lidar.source}: the nearest message on {RADAR_TOPIC} is"
                f" {moment.gap_s:.3f} s away; at most {PAIR_MAX_S} s are allowed"
            )
        radar, lidar = _read_radar(moment.radar), _read_lidar(moment.lidar)
    except InputError as error:
        return Unusable(moment.name, str(error))
    return ScanPair(moment.name, radar, lidar, T_radar_lidar, moment.gap_s)


def _read_radar(message: Message) -> NDArray[np.float32]:
    """Points [n, 5], `RADAR_COLUMNS`, radar frame.

    Source: data-formats.md, section 7.2.
    """
    points = decode_point_cloud2(message.fields, RADAR_FIELDS, message.source)
    return usable_points(points, message.source)


def _read_lidar(message: Message) -> NDArray[np.float32]:
    """Points [m, 4], `LIDAR_COLUMNS`, LiDAR frame."""
    points = decode_point_cloud2(message.fields, LIDAR_FIELDS, message.source)
    with np.errstate(over="ignore"):
        range_m = np.linalg.norm(points[:, :3], axis=1)
    usable = usable_points(points[range_m > LIDAR_RANGE_MIN_M], message.source)
    # The sensor counts photons, without an upper bound; only strong reflectors pass 255.
    usable[:, 3] = usable[:, 3].clip(0.0, INTENSITY_MAX)
    return usable
