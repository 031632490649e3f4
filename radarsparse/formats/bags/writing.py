"""Enhanced clouds as messages `sensor_msgs/PointCloud2`, and bags of them."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.formats.bags.decoding import POINT_CLOUD2, Cursor
from radarsparse.formats.bags.kinds import ROS1, BagKind
from radarsparse.formats.bags.messages import Message

_FLOAT32 = 7  # as `sensor_msgs/PointField` numbers it


def encode_cloud(message: Message, columns: Mapping[str, NDArray[np.float32]]) -> bytes:
    """The bytes of a cloud in the kind of bag that the radar's message is from.

    Args:
        message: whose header the cloud takes over, byte by byte.
        columns: [n] each, by name; a point's fields in their order.

    Raises:
        InputError: the radar's message is damaged.
    """
    cursor = Cursor(message.data, message.kind, message.source)
    cursor.header()
    body = bytearray(message.data[: cursor.at])

    def put(*numbers: int) -> None:
        if cursor.is_cdr:
            body.extend(bytes(-len(body) % 4))
        body.extend(np.array(numbers, f"{cursor.order}u4").tobytes())

    table = np.stack(list(columns.values()), axis=1).astype("<f4")
    step = table.itemsize * len(columns)
    put(1, len(table), len(columns))  # height, width, and how many fields follow
    for number, name in enumerate(columns):
        text = name.encode() + b"\0" * cursor.is_cdr
        put(len(text))
        body.extend(text)
        put(table.itemsize * number)
        body.append(_FLOAT32)
        put(1)
    body.append(0)  # is_bigendian
    put(step, step * len(table), table.nbytes)
    return bytes(body) + table.tobytes() + b"\1"  # is_dense


def write_bag(kind: BagKind, path: Path, topic: str, messages: Iterable[tuple[int, bytes]]) -> None:
    """Write a bag of one topic of clouds, with one message in memory at a time.

    Args:
        kind: of the bag.
        path: of the new file; beside it the path without suffix must be free, too.
        topic: of the clouds.
        messages: log time in nanoseconds and bytes by `encode_cloud`, ascending.
    """
    from rosbags import rosbag1, rosbag2, typesys  # noqa: PLC0415 (an extra)

    folder = path.with_suffix("")
    if kind is ROS1:
        release, opened = typesys.Stores.ROS1_NOETIC, rosbag1.Writer(path)
    else:
        # Readers of version 9 know version 8, too, but not the other way round.
        release, plugin = typesys.Stores.ROS2_HUMBLE, rosbag2.StoragePlugin.MCAP
        opened = rosbag2.Writer(folder, version=8, storage_plugin=plugin)
    with opened as writer:
        types = typesys.get_typestore(release)
        connection = writer.add_connection(topic, POINT_CLOUD2, typestore=types)
        for log_time_ns, data in messages:
            writer.write(connection, log_time_ns, data)
    if kind is not ROS1:
        # Beside the file the folder has a card that repeats what is in it.
        (folder / f"{folder.name}.mcap").replace(path)
        shutil.rmtree(folder)
