"""The radar clouds of a topic, one by one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.formats.bags.damage import naming_damage
from radarsparse.formats.bags.kinds import BagKind, find_kind, opened
from radarsparse.formats.bags.point_cloud import decode_point_cloud
from radarsparse.formats.bags.point_cloud2 import decode_point_cloud2
from radarsparse.formats.columns import OCULII_CHANNELS, find_radar_columns
from radarsparse.formats.prepared import usable_points

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag1 import Reader as Reader1
    from rosbags.rosbag2 import Reader as Reader2

    Reader = Reader1 | Reader2

POINT_CLOUD = "sensor_msgs/msg/PointCloud"
POINT_CLOUD2 = "sensor_msgs/msg/PointCloud2"
_XYZ = ("x", "y", "z")


@dataclass(frozen=True)
class RadarTopic:
    """A topic of a bag that holds radar clouds.

    Attributes:
        path: of the bag.
        name: such as `/radar_enhanced_pcl`.
        type_name: of its messages.
        columns: what the messages call `RADAR_COLUMNS`.
        count: how many messages it has.
    """

    path: Path
    name: str
    type_name: str
    columns: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class RadarMessage:
    """A radar cloud as it stands in its bag.

    Attributes:
        topic: whose message it is.
        number: of the message on its topic, from 0.
        log_time_ns: when it was recorded.
        data: its bytes.
    """

    topic: RadarTopic
    number: int
    log_time_ns: int
    data: bytes

    @property
    def kind(self) -> BagKind:
        """Of its bag."""
        return find_kind(self.topic.path)

    @cached_property
    def stamp_ns(self) -> int:
        """The stamp of its header."""
        return self.kind.read_stamp_ns(self.data)

    @property
    def source(self) -> str:
        """What to call it in messages to the user."""
        topic = self.topic
        stamp_s = f"{self.stamp_ns // 10**9}.{self.stamp_ns % 10**9:09d}"
        return f"{topic.path}: {topic.name}: message {self.number} at {stamp_s} s"

    @cached_property
    def content(self) -> Any:
        """The message as rosbags gives it.

        Raises:
            InputError: its bytes are not those of its type.
        """
        with naming_damage(self.source, self.topic.type_name):
            return self.kind.decode(self.data, self.topic.type_name)

    def read_points(self) -> NDArray[np.float32]:
        """Its usable points [n, 5], `RADAR_COLUMNS`, in the sensor's frame.

        Raises:
            InputError: the message is damaged, lacks a column or has no usable point.
        """
        topic, fields = self.topic, _to_fields(self.content, self.topic.type_name)
        if topic.type_name == POINT_CLOUD2:
            points = decode_point_cloud2(fields, topic.columns, self.source)
        else:
            names = [name.lower() for name in topic.columns]
            points = decode_point_cloud(fields, names, _channel_names(fields), self.source)
        return usable_points(points, self.source)


def open_radar_topic(
    path: Path, name: str | None = None, columns: Sequence[str] | None = None
) -> RadarTopic:
    """Find the radar's topic in a bag and what it calls its columns.

    Args:
        path: of the bag.
        name: of the topic; found by its columns where only one can be meant.
        columns: what the messages call `RADAR_COLUMNS`; found by usual names.

    Raises:
        InputError: the bag is missing or damaged, or the topic is missing, unclear, empty, of
            another type or without a column.
    """
    with opened(path) as reader:
        topics = _list_topics(reader)
        if name is not None:
            return _open_topic(path, reader, name, columns)
        found = [topic for topic in topics if _is_radar(path, reader, topic)]
        if len(found) != 1:
            what = "several topics hold" if found else "no topic holds"
            raise InputError(
                f"{path}: {what} radar clouds, name one by --topic; {_describe(topics, found)}"
            )
        return _open_topic(path, reader, found[0], columns)


def read_radar_topic(topic: RadarTopic) -> Iterator[RadarMessage]:
    """All messages of a topic in the order of their log times, one in memory at a time.

    Raises:
        InputError: the bag is damaged.
    """
    with opened(topic.path) as reader:
        count = 0
        for message in _messages(reader, topic):
            yield message
            count += 1
        if count != topic.count:
            raise InputError(
                f"{topic.path}: its index doesn't fit its messages: {count} on {topic.name}, by"
                f" the index {topic.count}"
            )


def _list_topics(reader: "Reader") -> dict[str, str]:
    """Types by topic."""
    return {each.topic: each.msgtype for each in sorted(reader.connections, key=lambda c: c.topic)}


def _connections(reader: "Reader", name: str) -> list["Connection"]:
    return [connection for connection in reader.connections if connection.topic == name]


def _describe(topics: Mapping[str, str], names: Sequence[str] = ()) -> str:
    listed = ", ".join(f"{name} ({topics[name]})" for name in names or topics)
    return f"topics there: {listed or 'none'}"


def _open_topic(
    path: Path, reader: "Reader", name: str, columns: Sequence[str] | None
) -> RadarTopic:
    connections, topics = _connections(reader, name), _list_topics(reader)
    count = sum(connection.msgcount for connection in connections)
    if count == 0:
        raise InputError(f"{path}: no message on topic {name}; {_describe(topics)}")
    type_names = sorted({connection.msgtype for connection in connections})
    if len(type_names) > 1 or type_names[0] not in (POINT_CLOUD, POINT_CLOUD2):
        raise InputError(
            f"{path}: {name} has messages of type {' and '.join(type_names)}; must be"
            f" {POINT_CLOUD} or {POINT_CLOUD2}"
        )
    topic = RadarTopic(path, name, type_names[0], (), count)
    return RadarTopic(path, name, type_names[0], _choose_columns(reader, topic, columns), count)


def _is_radar(path: Path, reader: "Reader", name: str) -> bool:
    types = {connection.msgtype for connection in _connections(reader, name)}
    if not types <= {POINT_CLOUD, POINT_CLOUD2}:
        return False
    try:
        _open_topic(path, reader, name, None)
    except InputError:
        return False
    return True


def _choose_columns(
    reader: "Reader", topic: RadarTopic, columns: Sequence[str] | None
) -> tuple[str, ...]:
    """The columns that are asked for or else found in the first message that holds points."""
    for message in _messages(reader, topic):
        fields = _to_fields(message.content, topic.type_name)
        if _holds_points(fields):
            written = _column_names(fields)
            source = f"{topic.path}: {topic.name}"
            return find_radar_columns(written, source) if columns is None else tuple(columns)
    raise InputError(f"{topic.path}: {topic.name}: none of {topic.count} messages holds a point")


def _messages(reader: "Reader", topic: RadarTopic) -> Iterator[RadarMessage]:
    found = reader.messages(connections=_connections(reader, topic.name))
    for number, (_, log_time_ns, data) in enumerate(found):
        yield RadarMessage(topic, number, log_time_ns, data)


def _to_fields(content: Any, type_name: str) -> dict[str, Any]:
    """A message as the decoders of this project want it: mappings and arrays."""
    if type_name == POINT_CLOUD2:
        return vars(content) | {"fields": [vars(field) for field in content.fields]}
    rows = [tuple(vars(point)[axis] for axis in _XYZ) for point in content.points]
    return {
        "points": np.array(rows, dtype=[(axis, np.float32) for axis in _XYZ]),
        "channels": [{"name": each.name, "values": each.values} for each in content.channels],
    }


def _holds_points(fields: Mapping[str, Any]) -> bool:
    return len(fields["points"] if "points" in fields else fields["data"]) > 0


def _column_names(fields: Mapping[str, Any]) -> list[str]:
    if "points" in fields:
        return [*_XYZ, *_channel_names(fields)]
    return [field["name"] for field in fields["fields"]]


def _channel_names(fields: Mapping[str, Any]) -> list[str]:
    """Names of the channels, or what the Oculii calls as many where they bear none."""
    names = [channel["name"].strip().lower() for channel in fields["channels"]]
    if len(names) == len(OCULII_CHANNELS) and not any(names):
        return list(OCULII_CHANNELS)
    return names
