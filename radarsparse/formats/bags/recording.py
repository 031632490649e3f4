"""ROS 1 bags in volumes: the stamps of their messages, and messages as arrays."""

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.formats.bags.damage import naming_damage

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.rosbag1 import Reader


class Message(NamedTuple):
    """One message.

    Attributes:
        source: its file, topic and stamp, for messages to the user.
        stamp_s: of its header, seconds.
        fields: by name; numbers and whole structures of fixed size as numpy values, sequences of
            those as arrays, other structures as mappings, other sequences as lists.
    """

    source: str
    stamp_s: float
    fields: Mapping[str, Any]


def list_volumes(folder: Path) -> tuple[Path, ...]:
    """The bags of one recording, in the order of the number before `.bag`.

    Args:
        folder: holds the bags of one recording and of no other.

    Raises:
        InputError: a bag has no number, or two have the same.
    """
    volumes: dict[int, Path] = {}
    for path in sorted(folder.glob("*.bag")):
        number = re.search(r"\d+$", path.stem)
        if number is None:
            raise InputError(f"{path}: has no volume number; a name such as x_0.bag is expected")
        other = volumes.setdefault(int(number[0]), path)
        if other != path:
            raise InputError(f"{path}: has the volume number {int(number[0])} of {other.name}")
    return tuple(volumes[number] for number in sorted(volumes))


def count_messages(volumes: Sequence[Path], topic: str, types: Sequence[str]) -> int:
    """How many messages a topic has, by the indices of the bags.

    Args:
        volumes: bags of one recording; some may lack the topic.
        topic: such as `/livox/lidar`.
        types: the types that its messages may have, such as `sensor_msgs/msg/PointCloud`.

    Raises:
        InputError: a bag can't be read, or the topic is missing, empty or of another type.
    """
    count, topics = 0, set()
    for volume in volumes:
        with _opened(volume) as reader:
            topics.update(connection.topic for connection in reader.connections)
            for connection in _connections(reader, (topic,)):
                _check_type(volume, connection, types)
                count += connection.msgcount
    if count == 0:
        names = ", ".join(path.name for path in volumes)
        raise InputError(
            f"{volumes[0].parent}: no message on topic {topic} in {names};"
            f" topics there: {', '.join(sorted(topics)) or 'none'}"
        )
    return count


def read_stamps(volumes: Sequence[Path], topics: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Stamps of all messages of some topics, in one pass that keeps no message.

    Args:
        volumes: bags of one recording, in order.
        topics: the topics; messages of all begin with a header.

    Returns:
        By topic, [n] seconds, ascending; two may be equal.

    Raises:
        InputError: a bag is damaged, or a stamp lies before the one of the message in front.
    """
    stamps_s = {topic: array("d") for topic in topics}
    for volume in volumes:
        with _opened(volume) as reader:
            for raw in _raw_messages(reader, _connections(reader, topics)):
                seen_s, stamp_s = stamps_s[raw.type.topic], raw.type.read_stamp_s(raw.data)
                if seen_s and stamp_s < seen_s[-1]:
                    raise InputError(
                        f"{volume}: {raw.type.topic}: a stamp of {stamp_s:.6f} s follows one of"
                        f" {seen_s[-1]:.6f} s; stamps must ascend, also over the volumes"
                    )
                seen_s.append(stamp_s)
    return {topic: np.array(seen_s) for topic, seen_s in stamps_s.items()}


def read_messages(
    volumes: Sequence[Path], topic: str, numbers: NDArray[np.int64]
) -> Iterator[Message]:
    """Some messages of a topic, one by one.

    Args:
        volumes: bags of one recording, in order.
        topic: whose messages begin with a header.
        numbers: [n] ascending, which of the topic's messages, counted over all volumes.

    Raises:
        InputError: a bag is damaged, or a message isn't what its definition says.
    """
    first = 0
    for volume in volumes:
        with _opened(volume) as reader:
            connections = _connections(reader, (topic,))
            end = first + sum(connection.msgcount for connection in connections)
            here = numbers[(numbers >= first) & (numbers < end)] - first
            for raw in _pick(reader, connections, here.tolist()):
                stamp_s = raw.type.read_stamp_s(raw.data)
                source = f"{volume}: {topic} at {stamp_s:.3f} s"
                yield Message(source, stamp_s, raw.type.read_fields(raw.data))
            first = end


def select_columns(records: object, names: Sequence[str], source: str) -> NDArray[np.float64]:
    """Some fields of an array of structures as columns.

    Args:
        records: [n] structures, a field of a `Message`.
        names: of the fields.
        source: what to call the records in errors.

    Returns:
        [n, len(names)].

    Raises:
        InputError: these are no structures, or a field is missing or no real number.
    """
    dtype = records.dtype if isinstance(records, np.ndarray) else np.dtype([])
    found = dtype.names or ()
    missing = [name for name in names if name not in found or dtype[name].kind not in "fiu"]
    if missing or not isinstance(records, np.ndarray):
        raise InputError(
            f"{source}: no numbers in field {', '.join(missing)};"
            f" fields there: {', '.join(found) or 'none'}"
        )
    return np.stack([_as_float64(records[name]) for name in names], axis=1)


def select_channel(
    channels: Any, name: str, order: Sequence[str], source: str
) -> NDArray[np.float64]:
    """Values of one channel of a `sensor_msgs/PointCloud`.

    Args:
        channels: field of that name of a `Message`.
        name: of the channel, lower case; the message's own names may be in any case.
        order: names to go by, in order, where the message uses none of them.
        source: what to call the channels in errors.

    Returns:
        [n], one for each point.

    Raises:
        InputError: these are no channels, or there is none of that name.
    """
    try:
        names = [channel["name"].strip().lower() for channel in channels]
        values = [_as_float64(channel["values"]) for channel in channels]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{source}: holds no channels with name and values ({error!r})") from error
    known = dict(zip(names if set(names) & set(order) else order, values, strict=False))
    if name not in known:
        raise InputError(
            f"{source}: no channel {name}; channels there: {', '.join(names) or 'none'}"
        )
    return known[name]


def _as_float64(values: Any) -> NDArray[np.float64]:
    # Some of the NaNs in damaged bags are of the kind that raises floating-point errors.
    with np.errstate(invalid="ignore"):
        return np.asarray(values, dtype=np.float64)


@contextmanager
def _opened(volume: Path) -> Iterator["Reader"]:
    """A bag, open; whatever its damage makes rosbags raise meanwhile becomes an `InputError`."""
    with naming_damage(str(volume), "ROS 1 bag"):
        from rosbags.rosbag1 import Reader  # noqa: PLC0415 (an extra)

        with Reader(volume) as reader:
            yield reader


def _connections(reader: "Reader", topics: Sequence[str]) -> list["Connection"]:
    return [connection for connection in reader.connections if connection.topic in topics]


def _check_type(volume: Path, connection: "Connection", types: Sequence[str]) -> None:
    if connection.msgtype not in types:
        raise InputError(
            f"{volume}: {connection.topic} has messages of type {connection.msgtype};"
            f" must be {' or '.join(types)}"
        )


class _RawMessage(NamedTuple):
    type: "_MessageType"
    data: bytes


def _raw_messages(reader: "Reader", connections: Sequence["Connection"]) -> Iterator[_RawMessage]:
    # To rosbags no connection means every connection.
    if connections:
        types = {each.id: _MessageType.parse(reader, each) for each in connections}
        left = {each.id: each.msgcount for each in connections}
        for connection, _, data in reader.messages(connections):
            left[connection.id] -= 1
            yield _RawMessage(types[connection.id], data)
        if any(left.values()):
            raise InputError(f"{reader.path}: its index doesn't fit its messages")


def _pick(
    reader: "Reader", connections: Sequence["Connection"], numbers: list[int]
) -> Iterator[_RawMessage]:
    wanted = set(numbers)
    if wanted:
        messages = islice(_raw_messages(reader, connections), numbers[-1] + 1)
        yield from (raw for number, raw in enumerate(messages) if number in wanted)


@dataclass(frozen=True)
class _Text:
    """Layout of a string."""


@dataclass(frozen=True)
class _Record:
    """Layout of a structure whose size is known only when it's read."""

    fields: Mapping[str, "_Layout"]


@dataclass(frozen=True)
class _Repeat:
    """Layout of several items; without a count the data say how many."""

    item: "_Layout"
    count: int | None


# Whatever has a fixed size is a dtype, so that a million points are read in one go.
_Layout = np.dtype[Any] | _Text | _Record | _Repeat

_COUNT = np.dtype("<u4")
_TIME = np.dtype([("sec", "<u4"), ("nanosec", "<u4")])
# What definitions in bags use without defining it, under the names that rosbags gives.
_BUILT_IN = {
    "builtin_interfaces/msg/Time": _TIME,
    "builtin_interfaces/msg/Duration": np.dtype([("sec", "<i4"), ("nanosec", "<i4")]),
}
_OLD_NAMES = {"bool": "uint8", "byte": "int8", "char": "uint8"}


@dataclass(frozen=True)
class _MessageType:
    """How to read the messages of a connection, by the definition that the bag itself holds."""

    topic: str
    source: str
    layout: _Record

    @staticmethod
    def parse(reader: "Reader", connection: "Connection") -> "_MessageType":
        from rosbags.typesys import get_types_from_msg  # noqa: PLC0415 (an extra)

        types = get_types_from_msg(connection.msgdef.data, connection.msgtype)
        fields = {
            name: _make_layout(description, types)
            for name, description in types[connection.msgtype][1]
        }
        source = f"{reader.path}: {connection.topic}"
        header = fields.get("header")
        if not (
            isinstance(header, _Record)
            and next(iter(fields)) == "header"
            and header.fields.get("stamp") == _TIME
        ):
            raise InputError(
                f"{source}: {connection.msgtype} doesn't begin with a header that has a stamp;"
                f" its fields: {', '.join(fields) or 'none'}"
            )
        return _MessageType(connection.topic, source, _Record(fields))

    def read_stamp_s(self, data: bytes) -> float:
        stamp = _Cursor(data, self.source).read(self.layout.fields["header"])["stamp"]
        return float(stamp["sec"]) + 1e-9 * float(stamp["nanosec"])

    def read_fields(self, data: bytes) -> dict[str, Any]:
        cursor = _Cursor(data, self.source)
        fields = cursor.read(self.layout)
        if cursor.position != len(data):
            raise InputError(
                f"{self.source}: a message has {len(data)} bytes;"
                f" by its definition it must have {cursor.position}"
            )
        return fields


def _make_layout(description: Any, types: Mapping[str, Any]) -> _Layout:
    """Layout of what rosbags' parser describes as a kind with its particulars."""
    from rosbags.interfaces import Nodetype  # noqa: PLC0415 (an extra)

    kind, what = description
    if kind == Nodetype.BASE:
        name = _OLD_NAMES.get(what[0], what[0])
        return _Text() if name == "string" else np.dtype(name).newbyteorder("<")
    if kind == Nodetype.NAME:
        if what in _BUILT_IN:
            return _BUILT_IN[what]
        return _make_record({name: _make_layout(each, types) for name, each in types[what][1]})
    item, count = _make_layout(what[0], types), what[1]
    if kind == Nodetype.SEQUENCE:
        return _Repeat(item, None)
    return np.dtype((item, (count,))) if isinstance(item, np.dtype) else _Repeat(item, count)


def _make_record(fields: Mapping[str, _Layout]) -> _Layout:
    fixed = [(name, each) for name, each in fields.items() if isinstance(each, np.dtype)]
    return np.dtype(fixed) if len(fixed) == len(fields) else _Record(fields)


class _Cursor:
    """Reads the bytes of one message from front to back."""

    def __init__(self, data: bytes, source: str) -> None:
        self.data = data
        self.source = source
        self.position = 0

    def read(self, layout: _Layout) -> Any:
        match layout:
            case _Record(fields):
                return {name: self.read(each) for name, each in fields.items()}
            case _Repeat(item, count):
                return self._read_items(item, self._read_count() if count is None else count)
            case _Text():
                text = self._take(np.dtype("u1"), self._read_count())
                return text.tobytes().decode(errors="replace")
            case _:
                return self._take(layout, 1)[0]

    def _read_items(self, item: _Layout, count: int) -> Any:
        if isinstance(item, np.dtype):
            return self._take(item, count)
        return [self.read(item) for _ in range(count)]

    def _read_count(self) -> int:
        return int(self._take(_COUNT, 1)[0])

    def _take(self, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        end = self.position + dtype.itemsize * count
        if end > len(self.data):
            raise InputError(
                f"{self.source}: a message has {len(self.data)} bytes;"
                f" by its definition it must have at least {end}"
            )
        start, self.position = self.position, end
        return np.frombuffer(self.data, dtype, count, start)
