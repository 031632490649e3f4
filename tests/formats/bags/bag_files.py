"""Tiny real ROS 1 bags in the layout of NTU4DRadLM: a car that drives past known points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rosbags.rosbag1 import Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore
from scipy.spatial.transform import Rotation

T0_S = 1_650_000_000.0
POINTS = 40
RADAR, LIDAR = "/radar_enhanced_pcl", "/livox/lidar"
CHANNELS = ("Doppler", "Range", "Power", "Alpha", "Beta")

_CUSTOM_MSG = """std_msgs/Header header
uint64 timebase
{timestep}uint32 point_num
uint8 lidar_id
uint8[3] rsvd
CustomPoint[] points
"""
_POINT_FIELDS = {
    "offset_time": "uint32",
    "x": "float32",
    "y": "float32",
    "z": "float32",
    "reflectivity": "uint8",
    "tag": "uint8",
    "line": "uint8",
}


class Stamped(NamedTuple):
    """A message with its topic, its type and the moment of its header."""

    topic: str
    type: str
    stamp_s: float
    message: Any


@dataclass(frozen=True)
class LivoxVersion:
    """Fields that a version of livox_ros_driver has or lacks."""

    package: str = "livox_ros_driver"
    lacks: tuple[str, ...] = ()
    timestep: bool = False

    @property
    def type(self) -> str:
        return f"{self.package}/msg/CustomMsg"

    @property
    def point_type(self) -> str:
        return f"{self.package}/msg/CustomPoint"


@cache
def make_store(version: LivoxVersion) -> Typestore:
    """ROS 1 types with those of a version of the driver."""
    store = get_typestore(Stores.ROS1_NOETIC)
    fields = {name: kind for name, kind in _POINT_FIELDS.items() if name not in version.lacks}
    point = "".join(f"{kind} {name}\n" for name, kind in fields.items())
    text = _CUSTOM_MSG.format(timestep="uint32 timestep\n" if version.timestep else "")
    store.register(get_types_from_msg(text, version.type))
    store.register(get_types_from_msg(point, version.point_type))
    return store


def write_bag(
    path: Path,
    messages: Sequence[Stamped],
    store: Typestore,
    compression: Writer.CompressionFormat | None = None,
) -> None:
    """Write a bag whose messages arrive in the given order, 50 ms after their stamps."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = Writer(path)
    if compression:
        writer.set_compression(compression)
    # Small chunks, so that a tiny bag has several.
    writer.chunk_threshold = 4000
    with writer:
        connections: dict[str, Any] = {}
        for topic, kind, stamp_s, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            arrival_ns = round((stamp_s - T0_S + 0.05) * 1e9) + round(T0_S) * 10**9
            writer.write(connections[topic], arrival_ns, store.serialize_ros1(message, kind))


def header_message(store: Typestore, stamp_s: float) -> Any:
    types = store.types
    seconds = int(stamp_s)
    stamp = types["builtin_interfaces/msg/Time"](seconds, round((stamp_s - seconds) * 1e9))
    return types["std_msgs/msg/Header"](0, stamp, "frame")


def radar_message(
    store: Typestore,
    stamp_s: float,
    points: NDArray[np.floating],
    channels: Sequence[str] = CHANNELS,
) -> Stamped:
    """Points [n, 5] x, y, z, Doppler, power, as `sensor_msgs/PointCloud`."""
    point, channel = (
        store.types[name]
        for name in ("geometry_msgs/msg/Point32", "sensor_msgs/msg/ChannelFloat32")
    )
    table = np.zeros((len(CHANNELS), len(points)), dtype=np.float32)
    table[0], table[1], table[2] = points[:, 3], 7.0, points[:, 4]
    message = store.types["sensor_msgs/msg/PointCloud"](
        header_message(store, stamp_s),
        [point(*row) for row in points[:, :3].tolist()],
        [channel(name, values) for name, values in zip(channels, table, strict=False)],
    )
    return Stamped(RADAR, "sensor_msgs/msg/PointCloud", stamp_s, message)


def livox_message(
    store: Typestore,
    version: LivoxVersion,
    stamp_s: float,
    points: NDArray[np.floating],
    offsets_s: NDArray[np.floating],
) -> Stamped:
    """Points [n, 4] x, y, z, reflectivity, as `CustomMsg`."""
    names = [name for name in _POINT_FIELDS if name not in version.lacks]
    columns: Mapping[str, list[Any]] = {
        "offset_time": np.rint(offsets_s * 1e9).astype(int).tolist(),
        "x": points[:, 0].tolist(),
        "y": points[:, 1].tolist(),
        "z": points[:, 2].tolist(),
        "reflectivity": points[:, 3].astype(int).tolist(),
        "tag": [0] * len(points),
        "line": [1] * len(points),
    }
    point = store.types[version.point_type]
    rows = zip(*(columns[name] for name in names), strict=True)
    fields = {
        "header": header_message(store, stamp_s),
        "timebase": round(stamp_s * 1e9),
        "point_num": len(points),
        "lidar_id": 0,
        "rsvd": np.zeros(3, dtype=np.uint8),
        "points": [point(*row) for row in rows],
    }
    fields |= {"timestep": 5} if version.timestep else {}
    return Stamped(LIDAR, version.type, stamp_s, store.types[version.type](**fields))


def cloud2_fields(records: NDArray[Any]) -> dict[str, Any]:
    """Structures as the fields of a `sensor_msgs/PointCloud2`; one more axis makes rows."""
    height, width = np.atleast_2d(records).shape
    numbers = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}
    dtypes = (records.dtype.fields or {}).items()
    return {
        "height": height,
        "width": width,
        "fields": [
            {"name": name, "offset": offset, "datatype": numbers[dtype.str[1:]], "count": 1}
            for name, (dtype, offset, *_) in dtypes
        ],
        "is_bigendian": int(any(dtype.str[0] == ">" for _, (dtype, *_) in dtypes)),
        "point_step": records.dtype.itemsize,
        "row_step": width * records.dtype.itemsize,
        "data": np.frombuffer(records.tobytes(), dtype=np.uint8),
        "is_dense": 1,
    }


def cloud2_message(store: Typestore, topic: str, stamp_s: float, fields: dict[str, Any]) -> Stamped:
    """A `sensor_msgs/PointCloud2` of what `cloud2_fields` gives."""
    kind, point_field = "sensor_msgs/msg/PointCloud2", store.types["sensor_msgs/msg/PointField"]
    listed = [point_field(**field) for field in fields["fields"]]
    header = header_message(store, stamp_s)
    parts: dict[str, Any] = fields | {"fields": listed}
    message = store.types[kind](header=header, **parts)
    return Stamped(topic, kind, stamp_s, message)


@dataclass(frozen=True)
class Drive:
    """A car on a straight line that turns about itself, and what its sensors send.

    Attributes:
        version: of the LiDAR's driver.
        sweeps: how many LiDAR messages, 0.1 s apart.
        radars: how many radar messages, 0.083 s apart.
        channels: names of the radar's channels.
        point_s: time between two points of a sweep.
        pose_span_s: first and last pose, seconds after `T0_S`.
    """

    version: LivoxVersion = field(default_factory=LivoxVersion)
    sweeps: int = 20
    radars: int = 20
    channels: Sequence[str] = CHANNELS
    point_s: float = 0.0024
    pose_span_s: tuple[float, float] = (-0.5, 4.0)

    @property
    def store(self) -> Typestore:
        return make_store(self.version)

    @property
    def world_points(self) -> NDArray[np.float64]:
        """[POINTS, 4] x, y, z, intensity; the intensity numbers the points."""
        random = np.random.default_rng(0)
        xyz = random.uniform((20, -10, -2), (60, 10, 4), (POINTS, 3))
        return np.c_[xyz, np.arange(POINTS)]

    def T_world_lidar(self, stamp_s: float) -> NDArray[np.float64]:
        """Pose [4, 4] of the LiDAR."""
        elapsed_s = stamp_s - T0_S
        transform = np.eye(4)
        transform[:3, :3] = Rotation.from_euler("zy", [0.3 * elapsed_s, 0.05]).as_matrix()
        transform[:3, 3] = (3 + 10 * elapsed_s, -2 * elapsed_s, 0.5)
        return transform

    def seen(self, stamp_s: float, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """World points [n, 4] as the LiDAR has them at one moment."""
        points = self.world_points[indices]
        T_lidar_world = np.linalg.inv(self.T_world_lidar(stamp_s))
        points[:, :3] = points[:, :3] @ T_lidar_world[:3, :3].T + T_lidar_world[:3, 3]
        return points

    def radar_points(self, number: int) -> NDArray[np.float32]:
        """Points [8, 5] of a radar message."""
        random = np.random.default_rng(number)
        return random.uniform(-30, 30, (8, 5)).astype(np.float32)

    def radar_stamps_s(self) -> NDArray[np.floating]:
        # Half a unit off, so that no end of a window meets a point's moment.
        return T0_S + 0.01005 + np.arange(self.radars) * 0.083

    def lidar_stamps_s(self) -> NDArray[np.floating]:
        return T0_S + np.arange(self.sweeps) * 0.1

    def sweep(self, stamp_s: float) -> Stamped:
        """All world points, one after the other."""
        offsets_s = self.point_s * np.arange(POINTS)
        rows = [
            self.seen(stamp_s + offset_s, np.array([index]))[0]
            for index, offset_s in enumerate(offsets_s)
        ]
        return livox_message(self.store, self.version, stamp_s, np.array(rows), offsets_s)

    def radar(self, number: int) -> Stamped:
        stamp_s = float(self.radar_stamps_s()[number])
        return radar_message(self.store, stamp_s, self.radar_points(number), self.channels)

    def messages(self) -> list[Stamped]:
        """What the sensors send, by stamp."""
        sweeps = [self.sweep(float(stamp_s)) for stamp_s in self.lidar_stamps_s()]
        radars = [self.radar(number) for number in range(self.radars)]
        return sorted([*sweeps, *radars], key=lambda each: each.stamp_s)

    def write(self, folder: Path) -> Path:
        """Bags 9 and 10 of a scene with its poses; returns the folder."""
        messages = self.messages()
        half = len(messages) // 2
        for number, part in ((9, messages[:half]), (10, messages[half:])):
            write_bag(folder / f"{folder.name}_2022-02-03_{number}.bag", part, self.store)
        self.write_poses(folder / "gt_odom.txt")
        return folder

    def write_poses(self, path: Path) -> None:
        lines = ["timestamp tx ty tz qx qy qz qw"]
        for stamp_s in T0_S + np.arange(*self.pose_span_s, 0.1):
            T_world_lidar = self.T_world_lidar(float(stamp_s))
            turn = Rotation.from_matrix(T_world_lidar[:3, :3]).as_quat()
            numbers = " ".join(f"{value:.9f}" for value in (*T_world_lidar[:3, 3], *turn))
            lines.append(f"{stamp_s:.6f} {numbers}")
        path.write_text("\n".join(lines) + "\n")

    def write_one(self, folder: Path, messages: Sequence[Stamped]) -> Path:
        """One bag of these messages and the poses; returns the folder."""
        write_bag(folder / f"{folder.name}_0.bag", messages, self.store)
        self.write_poses(folder / "gt_odom.txt")
        return folder

    def lidar_error_m(self, number: int, lidar: NDArray[np.float32]) -> float:
        """How far points [n, 4] are from where the LiDAR is to see them with a radar message."""
        stamp_s = float(self.radar_stamps_s()[number])
        return float(np.abs(self.seen(stamp_s, lidar[:, 3].astype(np.int64)) - lidar).max())

    def with_radar(
        self, number: int, points: NDArray[np.floating], channels: Sequence[str] = CHANNELS
    ) -> list[Stamped]:
        """All messages, one of the radar's made of these points."""
        messages, old = self.messages(), self.radar_stamps_s()[number]
        new = radar_message(self.store, float(old), points, channels)
        return [new if (each.topic, each.stamp_s) == (RADAR, old) else each for each in messages]

    def with_surplus_values(self, number: int) -> list[Stamped]:
        """All messages, one of the radar's with less points than its channels have values."""
        messages = self.messages()
        at = [at for at, each in enumerate(messages) if each.topic == RADAR][number]
        cloud = messages[at].message
        messages[at] = messages[at]._replace(message=replace(cloud, points=cloud.points[:3]))
        return messages

    def with_lidar(self, points: NDArray[np.floating], offset_s: float = 0.0) -> list[Stamped]:
        """All messages, those of the LiDAR made of these points."""
        offsets_s = np.full(len(points), offset_s)
        return [
            livox_message(self.store, self.version, each.stamp_s, points, offsets_s)
            if each.topic == LIDAR
            else each
            for each in self.messages()
        ]


def restamped(message: Stamped, stamp_s: float) -> Stamped:
    """The same message with another stamp in its header, on its way as before."""
    seconds = int(stamp_s)
    stamp = message.message.header.stamp
    moved = replace(stamp, sec=seconds, nanosec=round((stamp_s - seconds) * 1e9))
    header = replace(message.message.header, stamp=moved)
    return message._replace(message=replace(message.message, header=header))


def mutate(data: bytes, random: np.random.Generator) -> bytes:
    """Change a few bytes of a bag, drop or repeat a piece, or cut the rest off."""
    # Between the header of a ROS 1 bag and its first chunk there are blanks only.
    first = 4100 if data.startswith(b"#ROSBAG") else 0
    low, high = (0, 100) if random.random() < 0.05 else (first, len(data))
    at = int(random.integers(low, high))
    end = at + int(random.integers(1, 30))
    variants = (
        data[:at] + random.bytes(1) + data[at + 1 :],
        data[:at] + random.bytes(4) + data[at + 4 :],
        data[:at] + b"\xff" * 4 + data[at + 4 :],
        data[:at] + bytes(4) + data[at + 4 :],
        data[:at] + data[end:],
        data[:end] + data[at:],
        data[:at],
    )
    return variants[random.integers(len(variants))]
