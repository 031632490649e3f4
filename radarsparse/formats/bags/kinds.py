"""The two kinds of bags, ROS 1 and ROS 2, behind one form."""

import shutil
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from radarsparse.errors import InputError
from radarsparse.formats.bags.damage import naming_damage

if TYPE_CHECKING:
    from rosbags.rosbag1 import Reader as Reader1
    from rosbags.rosbag2 import Reader as Reader2
    from rosbags.typesys.store import Typestore

_ROS2_SUFFIXES = (".mcap", ".db3")
_ROS2_CARD = "metadata.yaml"
_NS_PER_S = 10**9


class BagKind(Protocol):
    """What differs between the bags of ROS 1 and of ROS 2.

    Attributes:
        name: of the kind, for messages to the user.
        suffix: of the files that it writes.
    """

    name: str
    suffix: str

    @property
    def types(self) -> "Typestore":
        """The standard types; no release of ROS has changed those of clouds."""
        ...

    def open(self, path: Path) -> "Reader1 | Reader2":
        """A reader, to be entered."""
        ...

    def read_stamp_ns(self, data: bytes) -> int:
        """The stamp of a message that begins with a header."""
        ...

    def decode(self, data: bytes, type_name: str) -> Any:
        """A message of the standard types."""
        ...

    def encode(self, message: Any, type_name: str) -> bytes:
        """The bytes of a message of the standard types."""
        ...

    def write(
        self, path: Path, topic: str, type_name: str, messages: Iterable[tuple[int, bytes]]
    ) -> None:
        """Write a bag of one topic.

        Args:
            path: of the new file.
            topic: of all messages.
            type_name: of all messages.
            messages: log time in nanoseconds and bytes of each, ascending.
        """
        ...


class _Ros1:
    name = "ROS 1 bag"
    suffix = ".bag"

    @property
    def types(self) -> "Typestore":
        return _load_types("ros1_noetic")

    def open(self, path: Path) -> "Reader1":
        from rosbags.rosbag1 import Reader  # noqa: PLC0415 (an extra)

        return Reader(path)

    def read_stamp_ns(self, data: bytes) -> int:
        seconds, rest_ns = struct.unpack_from("<II", data, 4)  # behind a counter
        return seconds * _NS_PER_S + rest_ns

    def decode(self, data: bytes, type_name: str) -> Any:
        return self.types.deserialize_ros1(data, type_name)

    def encode(self, message: Any, type_name: str) -> bytes:
        return bytes(self.types.serialize_ros1(message, type_name))

    def write(
        self, path: Path, topic: str, type_name: str, messages: Iterable[tuple[int, bytes]]
    ) -> None:
        from rosbags.rosbag1 import Writer  # noqa: PLC0415 (an extra)

        with Writer(path) as writer:
            connection = writer.add_connection(topic, type_name, typestore=self.types)
            for log_time_ns, data in messages:
                writer.write(connection, log_time_ns, data)


class _Ros2:
    name = "ROS 2 bag"
    suffix = ".mcap"

    @property
    def types(self) -> "Typestore":
        return _load_types("ros2_humble")

    def open(self, path: Path) -> "Reader2":
        from rosbags.rosbag2 import Reader  # noqa: PLC0415 (an extra)

        return Reader(path)

    def read_stamp_ns(self, data: bytes) -> int:
        order = "<" if data[1] else ">"
        seconds, rest_ns = struct.unpack_from(f"{order}iI", data, 4)  # behind the encapsulation
        return seconds * _NS_PER_S + rest_ns

    def decode(self, data: bytes, type_name: str) -> Any:
        return self.types.deserialize_cdr(data, type_name)

    def encode(self, message: Any, type_name: str) -> bytes:
        return bytes(self.types.serialize_cdr(message, type_name))

    def write(
        self, path: Path, topic: str, type_name: str, messages: Iterable[tuple[int, bytes]]
    ) -> None:
        from rosbags.rosbag2 import StoragePlugin, Writer  # noqa: PLC0415 (an extra)

        # rosbags writes a folder that holds the file and a card that repeats what is in the file.
        folder = path.with_suffix("")
        # Readers of version 9 know version 8, too, but not the other way round.
        with Writer(folder, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
            connection = writer.add_connection(topic, type_name, typestore=self.types)
            for log_time_ns, data in messages:
                writer.write(connection, log_time_ns, data)
        (folder / f"{folder.name}.mcap").replace(path)
        shutil.rmtree(folder)


_ROS1, _ROS2 = _Ros1(), _Ros2()


def is_bag(path: Path) -> bool:
    """Whether a path is named as a bag: `.bag`, `.mcap`, `.db3` or a folder with its card."""
    return path.suffix in (_Ros1.suffix, *_ROS2_SUFFIXES) or (path / _ROS2_CARD).is_file()


def find_kind(path: Path) -> BagKind:
    """The kind of a bag, by its name.

    Args:
        path: of a ROS 1 bag, an MCAP or SQLite file of ROS 2, or a folder of those with its card.

    Raises:
        InputError: there is no such bag.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if not is_bag(path):
        suffixes = ", ".join((_Ros1.suffix, *_ROS2_SUFFIXES))
        raise InputError(f"{path}: is no bag; needed is {suffixes} or a folder with {_ROS2_CARD}")
    return _ROS1 if path.suffix == _Ros1.suffix else _ROS2


@contextmanager
def opened(path: Path) -> Iterator["Reader1 | Reader2"]:
    """A bag, open; whatever its damage makes rosbags raise meanwhile becomes an `InputError`."""
    kind = find_kind(path)
    with naming_damage(str(path), kind.name), kind.open(path) as reader:
        yield reader


@cache
def _load_types(name: str) -> "Typestore":
    from rosbags.typesys import Stores, get_typestore  # noqa: PLC0415 (an extra)

    return get_typestore(Stores(name))
