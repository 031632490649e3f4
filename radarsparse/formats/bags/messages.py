"""Messages as they stand in bags."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.formats.bags.decoding import Cursor, Decode, find_decoder
from radarsparse.formats.bags.kinds import BagKind
from radarsparse.formats.bags.opening import Bag
from radarsparse.formats.bags.point_cloud import channel_names, columns_of_point_cloud
from radarsparse.formats.bags.point_cloud2 import columns_of_point_cloud2, number_names
from radarsparse.scan import RADAR_COLUMNS, usable_points


@dataclass(frozen=True)
class Message:
    """A message of a topic; what it holds is read when it's asked for.

    Attributes:
        number: on its topic in the bag, from 0.
        log_time_ns: when it was recorded.
        decode: gives its fields.
        columns: what a radar cloud calls `RADAR_COLUMNS`.
    """

    path: Path
    kind: BagKind
    topic: str
    number: int
    log_time_ns: int
    data: bytes
    decode: Decode
    columns: tuple[str, ...]

    @cached_property
    def _stamp(self) -> tuple[int, int]:
        source = f"{self.path}: {self.topic}: message {self.number}"
        return Cursor(self.data, self.kind, source).header()

    @property
    def stamp_s(self) -> float:
        """The stamp of its header; an `InputError` where it is too short for one."""
        return self._stamp[0] + 1e-9 * self._stamp[1]

    @property
    def stamp_ns(self) -> int:
        """The same without rounding."""
        return self._stamp[0] * 10**9 + self._stamp[1]

    @property
    def source(self) -> str:
        """What to call it in messages to the user."""
        seconds, rest_ns = self._stamp
        return f"{self.path}: {self.topic}: message {self.number} at {seconds}.{rest_ns:09d} s"

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        """Its fields by name: numbers, arrays, lists of mappings.

        Raises:
            InputError: it has more or less bytes than its type says.
        """
        cursor = Cursor(self.data, self.kind, self.source)
        cursor.header()
        fields = self.decode(cursor)
        cursor.end()
        return fields

    @property
    def names(self) -> list[str]:
        """What the points of a cloud have numbers for."""
        if "data" in self.fields:
            return number_names(self.fields)
        return [*"xyz", *channel_names(self.fields)]

    def take(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Some numbers of all points of a cloud, [n, len(names)].

        Raises:
            InputError: the message is damaged or lacks some of the names.
        """
        if "data" in self.fields:
            return columns_of_point_cloud2(self.fields, names, self.source)
        names, order = [name.lower() for name in names], channel_names(self.fields)
        return columns_of_point_cloud(self.fields, names, order, self.source)

    def read_points(self) -> NDArray[np.float32]:
        """The usable points of a radar cloud [n, 5], `RADAR_COLUMNS`, in the sensor's frame.

        Raises:
            InputError: the message is damaged, lacks a column or has no usable point.
        """
        return usable_points(self.take(self.columns), RADAR_COLUMNS, self.source)


def read_topics(
    bag: Bag, topics: Sequence[str], columns: tuple[str, ...] = ()
) -> Iterator[Message]:
    """Messages of some topics of clouds, one in memory at a time.

    Args:
        bag: open.
        topics: their names.
        columns: what radar clouds call `RADAR_COLUMNS`.

    Raises:
        InputError: a topic is none of clouds, or the bag's index doesn't fit.
    """
    connections = [each for topic in topics for each in bag.find(topic)]
    decoders = {each.msgtype: find_decoder(each) for each in connections}
    numbers, counts = Counter[str](), Counter[str]()
    for each in connections:
        counts[each.topic] += each.msgcount
    # To rosbags no connection means every connection.
    for connection, time_ns, data in bag.messages(connections) if connections else ():
        topic, decode = connection.topic, decoders[connection.msgtype]
        if not isinstance(data, bytes) or not isinstance(time_ns, int):
            raise InputError(f"{bag.path}: a message on {topic} has no bytes or no time")
        yield Message(bag.path, bag.kind, topic, numbers[topic], time_ns, data, decode, columns)
        numbers[topic] += 1
    if numbers != counts:
        raise InputError(f"{bag.path}: its index doesn't fit its messages")
