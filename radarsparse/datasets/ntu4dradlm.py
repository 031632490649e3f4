"""NTU4DRadLM in its own layout: Oculii Eagle radar and Livox Horizon, as ROS 1 bags."""

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from radarsparse.datasets.bag_source import (
    BagRecording,
    Clouds,
    Numbers,
    Stamps,
    source_of_recordings,
)
from radarsparse.datasets.build import Source
from radarsparse.datasets.native import fingerprint, parse_numbers
from radarsparse.datasets.trajectory import POSE_GAP_MAX_S, Trajectory, read_trajectory
from radarsparse.errors import InputError
from radarsparse.formats.bags.decoding import LIVOX, POINT_CLOUD, stack_fields
from radarsparse.formats.bags.messages import Message
from radarsparse.formats.bags.point_cloud import columns_of_point_cloud
from radarsparse.formats.bags.recording import list_bags
from radarsparse.formats.columns import OCULII_CHANNELS
from radarsparse.formats.prepared import DatasetCard, rigid_transform
from radarsparse.formats.tables import read_text
from radarsparse.geometry import Floats, transform_points
from radarsparse.scan import LIDAR_COLUMNS, NO_RETURN_M, RADAR_COLUMNS, usable_points

# The vendor's sum of several sweeps; the sweeps themselves are on `/radar_pcl`.
RADAR_TOPIC = "/radar_enhanced_pcl"
LIDAR_TOPIC = "/livox/lidar"
POSES_FILE = "gt_odom.txt"
CALIBRATION_FILE = "calib/calib_radar_to_livox.txt"

# One Horizon sweep covers part of its view only, five of them nearly all of it.
LIDAR_WINDOW_S = 0.5
PAIR_MAX_S = 0.1
# Twice as long as a sweep is; points that claim to be later are damaged.
SWEEP_MAX_S = 0.2

ROTATION_TOLERANCE_DEG = 1.0
TRANSLATION_TOLERANCE_M = 0.1

# By place: no recording is cut. Yet the campus loops meet: loop3 shares some roads with loop1.
SPLIT_OF_PLACE = {
    "garden": "train",
    "nyl": "train",
    "loop1": "train",
    "loop2": "train",
    "cp": "val",
    "loop3": "test",
}

# A product in the authors' SLAM code (apps/preprocessing_nodelet.cpp of zhuge2333/4DRadarSLAM):
# Livox to RGB, inverted, thermal to RGB, radar to thermal, forward, left, up to a camera's axes.
_T_LIDAR_RADAR = np.array(
    [
        [0.9987420694356728, -0.02154593184251807, 0.04527979957349117, 0.2960016945940701],
        [0.020570177936264686, 0.9995486686923027, 0.021904589263183345, -0.12988683745751756],
        [-0.045731279730371714, -0.02094561026271845, 0.998733968425007, -0.004543126256660528],
        [0.0, 0.0, 0.0, 1.0],
    ]
)

_CARD = DatasetCard(
    name="NTU4DRadLM",
    radar_sensor="Oculii Eagle",
    lidar_sensor="Livox Horizon",
    field_of_view_deg=(113.0, 45.0),
    radar_rate_hz=15.0,
    lidar_rate_hz=10.0,
    licence="none stated for the data; the authors' repository is under MIT",
    citation=(
        "J. Zhang, H. Zhuge, Y. Liu, G. Peng, Z. Wu, H. Zhang, Q. Lyu, H. Li, C. Zhao,"
        " D. Kircali, S. Mharolkar, X. Yang, S. Yi, Y. Wang, D. Wang: NTU4DRadLM: 4D"
        " Radar-centric Multi-Modal Dataset for Localization and Mapping. IEEE ITSC, 2023"
        " (arXiv 2309.00962)."
    ),
)

_log = logging.getLogger("radarsparse")


def open_ntu4dradlm(root: Path, topic: str = RADAR_TOPIC) -> Source:
    """Find the frames of a folder of recordings, one per radar message.

    Args:
        root: holds a folder for each recording, named by its place as in `SPLIT_OF_PLACE`, with its
            bags and `gt_odom.txt`, and may hold `calib/calib_radar_to_livox.txt`.
        topic: of the radar, `/radar_enhanced_pcl` or `/radar_pcl`.

    Raises:
        InputError: a recording, a file or a topic is missing, unknown, malformed or damaged.

    Source: README of junzhang2016/NTU4DRadLM; topics by zhuge2333/4DRadarSLAM.
    """
    T_lidar_radar = _choose_calibration(root / CALIBRATION_FILE)
    T_radar_lidar = np.linalg.inv(T_lidar_radar).astype(np.float64)
    recordings = [
        _NtuRecording(
            split=SPLIT_OF_PLACE[folder.name],
            bags=list_bags(folder),
            topics={topic: (POINT_CLOUD,), LIDAR_TOPIC: LIVOX},
            gap_max_s=PAIR_MAX_S,
            T_radar_lidar=T_radar_lidar,
            poses=read_trajectory(folder / POSES_FILE),
        )
        for folder in _list_folders(root)
    ]
    files = (file for each in recordings for file in (*each.bags, each.poses_file))
    provenance = {
        "fingerprint": fingerprint(root, files, T_radar_lidar.tobytes()),
        "radar_topic": topic,
        "lidar_window_ms": round(1000 * LIDAR_WINDOW_S),
    }
    return source_of_recordings(replace(_CARD, provenance=provenance), recordings)


def _list_folders(root: Path) -> list[Path]:
    """Folders that hold bags, in the order of the table."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; recordings of NTU4DRadLM are expected there")
    folders = {path.parent.name: path.parent for path in root.glob("*/*.bag")}
    known = ", ".join(SPLIT_OF_PLACE)
    if not folders:
        raise InputError(f"{root}: holds no recording with bags; known ones: {known}")
    if unknown := sorted(folders.keys() - SPLIT_OF_PLACE.keys()):
        raise InputError(f"{folders[unknown[0]]}: is an unknown recording; known ones: {known}")
    return [folders[name] for name in SPLIT_OF_PLACE if name in folders]


def _choose_calibration(path: Path) -> Floats:
    """The file's T_lidar_radar, checked against the documented one, which serves without a file."""
    if not path.is_file():
        _log.info("%s: no such file; the documented calibration is used", path)
        return _T_LIDAR_RADAR
    found = _read_calibration(path)
    turn = Rotation.from_matrix(_T_LIDAR_RADAR[:3, :3].T @ found[:3, :3]).magnitude()
    angle_deg, shift_m = np.degrees(turn), math.dist(found[:3, 3], _T_LIDAR_RADAR[:3, 3])
    if angle_deg > ROTATION_TOLERANCE_DEG or shift_m > TRANSLATION_TOLERANCE_M:
        _log.warning(
            "%s: differs from the documented calibration by %.1f deg and %.2f m"
            " (up to %g deg and %g m are expected); the file is used",
            *(path, angle_deg, shift_m, ROTATION_TOLERANCE_DEG, TRANSLATION_TOLERANCE_M),
        )
    return found


def _read_calibration(path: Path) -> NDArray[np.float64]:
    """T_lidar_radar of lines `R:` with 9 numbers, row by row, and `T:` with 3 [m]."""
    lines = dict(re.findall(r"^\s*([RT]):(.*)$", read_text(path), re.MULTILINE))
    R, t = (
        parse_numbers(lines.get(key, ""), count, f"{path}: {key}: of p_lidar = R p_radar + T")
        for key, count in (("R", 9), ("T", 3))
    )
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = np.reshape(R, (3, 3)), t
    return rigid_transform(transform, str(path))


# The moments [n] of a LiDAR message's points, and the points [n, 4] in the world frame.
_Sweep = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class _NtuRecording(BagRecording):
    """Frames of a radar message and the LiDAR points of a window around it.

    Attributes:
        poses: of the LiDAR.
    """

    poses: Trajectory

    @property
    def poses_file(self) -> Path:
        return self.bags[0].parent / POSES_FILE

    def choose(self, stamps_s: Stamps, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """The sweeps that may hold points of the windows."""
        radar_s, lidar_s = (stamps_s[topic] for topic in self.topics)
        if not self.poses.covers(radar_s).any():
            first_s, last_s = self.poses.stamps_s[[0, -1]]
            raise InputError(
                f"{self.poses_file}: has poses from {first_s:.3f} to {last_s:.3f} s; the bags have"
                f" {next(iter(self.topics))} from {radar_s[0]:.3f} to {radar_s[-1]:.3f} s"
            )
        begin_s = radar_s[numbers] - (LIDAR_WINDOW_S / 2 + SWEEP_MAX_S)
        end_s = radar_s[numbers] + LIDAR_WINDOW_S / 2
        return np.searchsorted(lidar_s, begin_s), np.searchsorted(lidar_s, end_s, side="right")

    def decode(self, message: Message) -> _Sweep:
        """Undo the sensor's own motion; points that nothing is known of are left out.

        Source: CustomMsg.msg and CustomPoint.msg of Livox-SDK/livox_ros_driver.
        """
        records = message.fields.get("points")
        points = stack_fields(records, ("x", "y", "z", "reflectivity"), message.source)
        offsets_s = _read_offsets_s(records, message.source)
        # Offsets count from `timebase`, which is what the driver writes into the header, too.
        moments_s = message.stamp_s + offsets_s
        with np.errstate(over="ignore"):
            range_m = np.linalg.norm(points[:, :3], axis=1)
        # Livox gives points at the origin where nothing came back.
        usable = np.isfinite(range_m) & (range_m >= NO_RETURN_M)
        usable &= (offsets_s <= SWEEP_MAX_S) & self.poses.covers(moments_s)
        points, moments_s = points[usable], moments_s[usable]
        points[:, :3] = self.poses.to_world(points[:, :3], moments_s)
        return moments_s, points

    def make_clouds(self, message: Message, chosen: Sequence[_Sweep]) -> Clouds:
        if not self.poses.covers(np.array([message.stamp_s]))[0]:
            first_s, last_s = self.poses.stamps_s[[0, -1]]
            raise InputError(
                f"{message.source}: {POSES_FILE} has no poses around it; it reaches from"
                f" {first_s:.3f} to {last_s:.3f} s, and gaps of over {POSE_GAP_MAX_S} s aren't"
                " bridged"
            )
        names, source = ("x", "y", "z", "doppler", "power"), message.source
        radar = columns_of_point_cloud(message.fields, names, OCULII_CHANNELS, source)
        points = [
            points[np.abs(moments_s - message.stamp_s) <= LIDAR_WINDOW_S / 2]
            for moments_s, points in chosen
        ]
        T_lidar_world = np.linalg.inv(self.poses.T_world_body(message.stamp_s))
        lidar = transform_points(T_lidar_world, np.concatenate(points))
        return (
            usable_points(radar, RADAR_COLUMNS, source),
            usable_points(lidar, LIDAR_COLUMNS, f"{source}: {LIDAR_TOPIC} around it"),
        )


def _read_offsets_s(records: Any, source: str) -> NDArray[np.float64]:
    """Seconds from the stamp of a message to each of its points; old drivers don't tell them."""
    if "offset_time" not in records.dtype.names:
        return np.zeros(len(records))
    return stack_fields(records, ("offset_time",), source)[:, 0] * 1e-9
