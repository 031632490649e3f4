"""MSC-RAD4R in its own layout: Oculii Eagle radar and Ouster OS1-128, as ROS 1 bags."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.bag_source import (
    BagRecording,
    Clouds,
    Numbers,
    Stamps,
    source_of_recordings,
)
from radarsparse.datasets.build import Source
from radarsparse.datasets.native import (
    HALF_TURN_S,
    clipped_lidar,
    fingerprint,
    nearest_stamps,
    parse_numbers,
)
from radarsparse.errors import InputError
from radarsparse.formats.bags.decoding import POINT_CLOUD2
from radarsparse.formats.bags.point_cloud2 import columns_of_point_cloud2
from radarsparse.formats.bags.recording import Message, list_bags
from radarsparse.formats.prepared import DatasetCard, rigid_transform
from radarsparse.formats.rings import OS1_128_DEG
from radarsparse.formats.tables import read_text
from radarsparse.scan import LIDAR_COLUMNS, RADAR_COLUMNS, usable_points

RADAR_TOPIC = "/oculii_radar/point_cloud"
RADAR_FIELDS = ("x", "y", "z", "doppler", "power")
LIDAR_TOPIC = "/ouster/points"
CALIBRATION_FILE = "calib/T_radar_lidar.txt"

# Such as URBAN_A0: area, route, then 0 for a clear day, 1 for night and 2 for snow.
_RECORDING = re.compile(r"(URBAN_[A-H][01]|LOOP_[A-E]0|RURAL_[A-F][012]|SMOKE_[AB]0)")

# By area: a route stays in the same split whatever the weather or the hour, and so do the routes
# that it may cross. RURAL is a village in the mountains, LOOP another quarter of URBAN's town, and
# SMOKE was driven on URBAN's campus.
SPLIT_OF_AREA = {"URBAN": "train", "SMOKE": "train", "LOOP": "val", "RURAL": "test"}

_CARD = DatasetCard(
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
    lidar_rings_deg=OS1_128_DEG,
)


def open_msc_rad4r(root: Path) -> Source:
    """Find the frames of a folder of recordings, one per LiDAR sweep.

    Args:
        root: holds `calib/T_radar_lidar.txt` and, for each recording, a bag such as `URBAN_A0.bag`
            or a folder such as `URBAN_A0` with its bags.

    Raises:
        InputError: the calibration, a bag or a topic is missing, unknown, malformed or damaged.

    Source: mscrad4r.github.io/platform.
    """
    T_radar_lidar = _read_calibration(root / CALIBRATION_FILE)
    found = _find_bags(root)
    topics = {LIDAR_TOPIC: (POINT_CLOUD2,), RADAR_TOPIC: (POINT_CLOUD2,)}
    recordings = [
        _MscRecording(
            SPLIT_OF_AREA[name.partition("_")[0]], bags, topics, HALF_TURN_S, T_radar_lidar
        )
        for name, bags in found.items()
    ]
    provenance = {
        "fingerprint": fingerprint(root, chain.from_iterable(found.values())),
        "T_radar_lidar": hashlib.sha256(T_radar_lidar.tobytes()).hexdigest()[:16],
    }
    return source_of_recordings(replace(_CARD, provenance=provenance), recordings)


def _find_bags(root: Path) -> dict[str, tuple[Path, ...]]:
    """The bags of each recording, by its name, sorted."""
    lone = {path.stem: (path,) for path in root.glob("*.bag")}
    folders = {path.parent.name: path.parent for path in root.glob("*/*.bag")}
    names = sorted({*lone, *folders})
    if not names:
        raise InputError(f"{root}: holds no bag such as URBAN_A0.bag or URBAN_A0/URBAN_A0_0.bag")
    if unknown := [name for name in names if not _RECORDING.fullmatch(name)]:
        raise InputError(
            f"{root / unknown[0]}: is no recording, such as URBAN_A0, so that its place and its"
            " split are unknown"
        )
    if doubled := sorted(lone.keys() & folders.keys()):
        raise InputError(f"{folders[doubled[0]]}: holds bags beside {doubled[0]}.bag; keep one")
    return {name: lone.get(name) or list_bags(folders[name]) for name in names}


def _read_calibration(path: Path) -> NDArray[np.float64]:
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; it must hold the 4x4 numbers of T_radar_lidar (p_radar ="
            " T_radar_lidar @ p_lidar), made from the calibration that MSC-RAD4R's site offers"
        )
    lines = read_text(path).splitlines()
    rows = [parse_numbers(line, 4, str(path)) for line in lines if line.strip()]
    return rigid_transform(rows, str(path))


class _MscRecording(BagRecording):
    """Frames of a LiDAR sweep and the radar cloud nearest in time."""

    def choose(self, stamps_s: Stamps, numbers: Numbers) -> tuple[Numbers, Numbers]:
        nearest, _ = nearest_stamps(stamps_s[RADAR_TOPIC], stamps_s[LIDAR_TOPIC][numbers])
        return nearest, nearest + 1

    def make_clouds(self, message: Message, chosen: Sequence[Message]) -> Clouds:
        (cloud,) = chosen
        radar = columns_of_point_cloud2(cloud.fields, RADAR_FIELDS, cloud.source)
        lidar = columns_of_point_cloud2(message.fields, LIDAR_COLUMNS, message.source)
        return (
            usable_points(radar, RADAR_COLUMNS, cloud.source),
            clipped_lidar(lidar, message.source),
        )
