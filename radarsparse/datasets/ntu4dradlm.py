"""NTU4DRadLM in its own layout: Oculii Eagle radar and Livox Horizon, as ROS 1 bags."""

import hashlib
import logging
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from radarsparse.datasets.build import Source, Unusable
from radarsparse.datasets.pairing import find_nearest, ranges_around, slide_over, union_of_ranges
from radarsparse.datasets.trajectory import POSE_GAP_MAX_S, Trajectory, read_trajectory
from radarsparse.errors import InputError
from radarsparse.formats.bags.point_cloud import decode_point_cloud
from radarsparse.formats.bags.recording import (
    Message,
    count_messages,
    list_volumes,
    read_messages,
    read_stamps,
    select_columns,
)
from radarsparse.formats.columns import OCULII_CHANNELS
from radarsparse.formats.prepared import DatasetCard, rigid_transform, usable_points
from radarsparse.formats.tables import read_text
from radarsparse.geometry import Floats, transform_points
from radarsparse.scan import ScanPair

# The vendor's sum of several sweeps; the sweeps themselves are on `/radar_pcl`.
RADAR_TOPIC = "/radar_enhanced_pcl"
RADAR_TYPES = ("sensor_msgs/msg/PointCloud",)
LIDAR_TOPIC = "/livox/lidar"
LIDAR_TYPES = ("livox_ros_driver/msg/CustomMsg", "livox_ros_driver2/msg/CustomMsg")
POSES_FILE = "gt_odom.txt"
CALIBRATION_FILE = "calib/calib_radar_to_livox.txt"

# One Horizon sweep covers part of its view only, five of them nearly all of it.
LIDAR_WINDOW_S = 0.5
PAIRING_MAX_S = 0.1
# Twice as long as a sweep is; points that claim to be later are damaged.
SWEEP_MAX_S = 0.2
# Livox gives points at the origin where nothing came back.
LIDAR_RANGE_MIN_M = 0.1

ROTATION_TOLERANCE_DEG = 1.0
TRANSLATION_TOLERANCE_M = 0.1

# Split by place: no scene is cut. Yet the campus loops meet: loop3 shares some roads with loop1.
SPLIT_OF_SCENE = {
    "garden": "train",
    "nyl": "train",
    "loop1": "train",
    "loop2": "train",
    "cp": "val",
    "loop3": "test",
}

_T_RGB_LIVOX = (
    (-0.00687833, -0.999969, 0.00385723, 0.0291645),
    (-7.73718e-05, -0.00385679, -0.999993, 0.0456952),
    (0.999976, -0.00687858, -5.08411e-05, -0.19018),
    (0.0, 0.0, 0.0, 1.0),
)
_T_RGB_THERMAL = (
    (0.9999526089706319, 0.008963747151337641, -0.003798822163962599, 0.18106962419014),
    (-0.008945181135788245, 0.9999481006917174, 0.004876439015823288, -0.04546324090016857),
    (0.00384233617405678, -0.004842226763999368, 0.999980894463835, 0.08046453079998771),
    (0.0, 0.0, 0.0, 1.0),
)
_T_THERMAL_RADAR = (
    (0.999665, 0.00925436, -0.0241851, -0.0248342),
    (-0.00826999, 0.999146, 0.0404891, 0.0958317),
    (0.0245392, -0.0402755, 0.998887, 0.0268037),
    (0.0, 0.0, 0.0, 1.0),
)
# From forward, left, up to right, down, forward.
_T_CAMERA_AXES = (
    (0.0, -1.0, 0.0, 0.0),
    (0.0, 0.0, -1.0, 0.0),
    (1.0, 0.0, 0.0, 0.0),
    (0.0, 0.0, 0.0, 1.0),
)

_log = logging.getLogger("radarsparse")


def open_ntu4dradlm(root: Path, topic: str = RADAR_TOPIC) -> Source:
    """Find the frames of a folder of scenes, one per radar message.

    Args:
        root: holds a folder for each scene, named as in `SPLIT_OF_SCENE`, with its bags and
            `gt_odom.txt`, and may hold `calib/calib_radar_to_livox.txt`.
        topic: of the radar, `/radar_enhanced_pcl` or `/radar_pcl`.

    Raises:
        InputError: a scene, a file or a topic is missing, unknown, malformed or damaged.

    Source: data-formats.md, section 2.
    """
    T_lidar_radar = _choose_calibration(root / CALIBRATION_FILE)
    T_radar_lidar = np.linalg.inv(T_lidar_radar).astype(np.float64)
    scenes: list[_Scene] = []
    for folder in _list_scenes(root):
        first = scenes[-1].end if scenes else 0
        scenes.append(_open_scene(folder, topic, first, T_radar_lidar))
    split: dict[str, list[list[int]]] = {}
    for scene in scenes:
        ranges = split.setdefault(SPLIT_OF_SCENE[scene.folder.name], [])
        ranges.append([scene.first, scene.end - 1])
    names = tuple(f"{number:06d}" for number in range(scenes[-1].end))
    card = _make_card(_fingerprint(scenes, T_radar_lidar), topic)
    return Source(card, split, names, partial(_read_frames, scenes))


def _documented_calibration() -> NDArray[np.float64]:
    """The pose of the radar in the LiDAR's frame by the authors' own SLAM code, [4, 4].

    Source: data-formats.md, section 2.5.
    """
    chain = (_T_RGB_THERMAL, _T_THERMAL_RADAR, _T_CAMERA_AXES)
    return np.linalg.multi_dot([np.linalg.inv(_T_RGB_LIVOX), *map(np.array, chain)])


def _make_card(fingerprint: str, topic: str) -> DatasetCard:
    """The data set's card.

    Source: data-formats.md, sections 2 and 2.6.
    """
    return DatasetCard(
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
        provenance={
            "fingerprint": fingerprint,
            "radar_topic": topic,
            "lidar_window_ms": round(1000 * LIDAR_WINDOW_S),
        },
    )


@dataclass(frozen=True)
class _Scene:
    """A recording at one place.

    Attributes:
        folder: where its files are.
        volumes: its bags, in order.
        topic: of the radar.
        poses: of the LiDAR.
        T_radar_lidar: [4, 4].
        first: number of its first frame.
        end: number behind its last frame.
    """

    folder: Path
    volumes: tuple[Path, ...]
    topic: str
    poses: Trajectory
    T_radar_lidar: NDArray[np.float64]
    first: int
    end: int

    @property
    def files(self) -> tuple[Path, ...]:
        return (*self.volumes, self.folder / POSES_FILE)


def _list_scenes(root: Path) -> list[Path]:
    """Folders that hold bags, in the order of the table."""
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; the scenes of NTU4DRadLM are expected there")
    folders = {path.parent.name: path.parent for path in root.glob("*/*.bag")}
    known = ", ".join(SPLIT_OF_SCENE)
    if not folders:
        raise InputError(f"{root}: holds no scene with bags; known scenes: {known}")
    unknown = sorted(folders.keys() - SPLIT_OF_SCENE.keys())
    if unknown:
        raise InputError(f"{folders[unknown[0]]}: is an unknown scene; known scenes: {known}")
    return [folders[name] for name in SPLIT_OF_SCENE if name in folders]


def _open_scene(folder: Path, topic: str, first: int, T_radar_lidar: NDArray[np.float64]) -> _Scene:
    volumes, poses = list_volumes(folder), read_trajectory(folder / POSES_FILE)
    count = count_messages(volumes, topic, RADAR_TYPES)
    count_messages(volumes, LIDAR_TOPIC, LIDAR_TYPES)
    return _Scene(folder, volumes, topic, poses, T_radar_lidar, first, first + count)


def _fingerprint(scenes: Sequence[_Scene], T_radar_lidar: NDArray[np.float64]) -> str:
    """Short hash of what tells one source from another, without reading the bags."""
    digest = hashlib.sha256(T_radar_lidar.tobytes())
    for path in (path for scene in scenes for path in scene.files):
        digest.update(f"{path.parent.name}/{path.name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def _choose_calibration(path: Path) -> NDArray[np.float64]:
    """The file's T_lidar_radar, checked against the documented one, which serves without a file."""
    documented = _documented_calibration()
    if not path.is_file():
        _log.info("%s: no such file; the documented calibration is used", path)
        return documented
    found = _read_calibration(path)
    turn = Rotation.from_matrix(documented[:3, :3].T @ found[:3, :3]).magnitude()
    angle_deg, shift_m = np.degrees(turn), math.dist(found[:3, 3], documented[:3, 3])
    if angle_deg > ROTATION_TOLERANCE_DEG or shift_m > TRANSLATION_TOLERANCE_M:
        _log.warning(
            "%s: differs from the documented calibration by %.1f deg and %.2f m"
            " (up to %g deg and %g m are expected); the file is used",
            *(path, angle_deg, shift_m, ROTATION_TOLERANCE_DEG, TRANSLATION_TOLERANCE_M),
        )
    return found


def _read_calibration(path: Path) -> NDArray[np.float64]:
    """T_lidar_radar of lines `R:` with 9 numbers, row by row, and `T:` with 3 [m]."""
    text = read_text(path)
    transform = np.eye(4)
    transform[:3, :3] = np.reshape(_read_numbers(text, "R", 9, path), (3, 3))
    transform[:3, 3] = _read_numbers(text, "T", 3, path)
    return rigid_transform(transform, str(path))


def _read_numbers(text: str, key: str, count: int, path: Path) -> list[float]:
    line = re.search(rf"^\s*{key}:(.*)$", text, re.MULTILINE)
    words = line[1].split() if line else []
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise InputError(f"{path}: {key}: is no row of numbers ({error})") from error
    if len(numbers) != count:
        raise InputError(
            f"{path}: {len(numbers)} numbers in a line {key}: ...; must be {count}"
            " (p_lidar = R p_radar + T)"
        )
    return numbers


class _Sweep(NamedTuple):
    """A LiDAR message: [n] moments in seconds, and [n, 4] x, y, z, intensity, world frame."""

    moments_s: NDArray[np.float64]
    points: NDArray[np.float64]


class _Moment(NamedTuple):
    """What a frame is made from; the gap is that to the stamp of the nearest sweep."""

    name: str
    radar: Message
    sweeps: Sequence[_Sweep]
    gap_s: float


def _read_frames(scenes: Sequence[_Scene], names: Sequence[str]) -> Iterator[ScanPair | Unusable]:
    """Frames of some of the names, which ascend."""
    asked = np.array([int(name) for name in names], dtype=np.int64)
    for scene in scenes:
        here = asked[(asked >= scene.first) & (asked < scene.end)] - scene.first
        if len(here):
            for moment in _read_moments(scene, here):
                yield _make_frame(scene, moment)


def _read_moments(scene: _Scene, numbers: NDArray[np.int64]) -> Iterator[_Moment]:
    _log.info("%s: reading the stamps of its messages", scene.folder)
    stamps_s = read_stamps(scene.volumes, (scene.topic, LIDAR_TOPIC))
    _check_poses(scene, stamps_s[scene.topic])
    asked_s = stamps_s[scene.topic][numbers]
    gaps_s = find_nearest(stamps_s[LIDAR_TOPIC], asked_s).gaps_s
    radar = read_messages(scene.volumes, scene.topic, numbers)
    windows = _read_windows(scene, stamps_s[LIDAR_TOPIC], asked_s)
    for number, message, window, gap_s in zip(numbers, radar, windows, gaps_s, strict=True):
        yield _Moment(f"{scene.first + number:06d}", message, window, float(gap_s))


def _read_windows(
    scene: _Scene, lidar_s: NDArray[np.float64], moments_s: NDArray[np.float64]
) -> Iterator[tuple[_Sweep, ...]]:
    """For each moment the sweeps that may hold points of the window around it."""
    before_s, after_s = LIDAR_WINDOW_S / 2 + SWEEP_MAX_S, LIDAR_WINDOW_S / 2
    ranges = ranges_around(lidar_s, moments_s, before_s, after_s)
    messages = read_messages(scene.volumes, LIDAR_TOPIC, union_of_ranges(ranges))
    return slide_over((_make_sweep(scene.poses, message) for message in messages), ranges)


def _check_poses(scene: _Scene, radar_s: NDArray[np.float64]) -> None:
    if not scene.poses.covers(radar_s).any():
        first_s, last_s = scene.poses.stamps_s[[0, -1]]
        raise InputError(
            f"{scene.folder / POSES_FILE}: has poses from {first_s:.3f} to {last_s:.3f} s;"
            f" the bags have {scene.topic} from {radar_s[0]:.3f} to {radar_s[-1]:.3f} s"
        )


def _make_sweep(poses: Trajectory, message: Message) -> _Sweep:
    """Undo the sensor's own motion; points that nothing is known of are left out.

    Source: data-formats.md, section 2.4.
    """
    records = message.fields.get("points")
    points = select_columns(records, ("x", "y", "z", "reflectivity"), message.source)
    offsets_s = _read_offsets_s(records, message.source)
    # Offsets count from `timebase`, which is what the driver writes into the header, too.
    moments_s = message.stamp_s + offsets_s
    with np.errstate(over="ignore"):
        range_m = np.linalg.norm(points[:, :3], axis=1)
    usable = np.isfinite(range_m) & (range_m > LIDAR_RANGE_MIN_M)
    usable &= (offsets_s <= SWEEP_MAX_S) & poses.covers(moments_s)
    points, moments_s = points[usable], moments_s[usable]
    points[:, :3] = poses.to_world(points[:, :3], moments_s)
    return _Sweep(moments_s, points)


def _read_offsets_s(records: Any, source: str) -> NDArray[np.float64]:
    """Seconds from the stamp of a message to each of its points; old drivers don't tell them."""
    if "offset_time" not in records.dtype.names:
        return np.zeros(len(records))
    return select_columns(records, ("offset_time",), source)[:, 0] * 1e-9


def _make_frame(scene: _Scene, moment: _Moment) -> ScanPair | Unusable:
    try:
        _check_moment(scene, moment)
        radar = usable_points(_radar_points(moment.radar), moment.radar.source)
        lidar_source = f"{moment.radar.source}: {LIDAR_TOPIC} around it"
        lidar = usable_points(_lidar_points(scene.poses, moment), lidar_source)
    except InputError as error:
        return Unusable(moment.name, str(error))
    return ScanPair(moment.name, radar, lidar, scene.T_radar_lidar, moment.gap_s)


def _check_moment(scene: _Scene, moment: _Moment) -> None:
    if moment.gap_s > PAIRING_MAX_S:
        raise InputError(
            f"{moment.radar.source}: the nearest message on {LIDAR_TOPIC} is {moment.gap_s:.3f} s"
            f" away; at most {PAIRING_MAX_S} s are allowed"
        )
    if not scene.poses.covers(np.array([moment.radar.stamp_s]))[0]:
        first_s, last_s = scene.poses.stamps_s[[0, -1]]
        raise InputError(
            f"{moment.radar.source}: {POSES_FILE} has no poses around it; it reaches from"
            f" {first_s:.3f} to {last_s:.3f} s, and gaps of over {POSE_GAP_MAX_S} s aren't bridged"
        )


def _radar_points(message: Message) -> NDArray[np.float64]:
    """Points [n, 5], `RADAR_COLUMNS`, radar frame.

    Source: data-formats.md, section 2.3.
    """
    names = ("x", "y", "z", "doppler", "power")
    return decode_point_cloud(message.fields, names, OCULII_CHANNELS, message.source)


def _lidar_points(poses: Trajectory, moment: _Moment) -> Floats:
    """Points [m, 4] of the window around the radar's stamp, LiDAR frame at that stamp."""
    stamp_s = moment.radar.stamp_s
    points = [
        sweep.points[np.abs(sweep.moments_s - stamp_s) <= LIDAR_WINDOW_S / 2]
        for sweep in moment.sweeps
    ]
    T_lidar_world = np.linalg.inv(poses.T_world_body(stamp_s))
    return transform_points(T_lidar_world, np.concatenate(points))
