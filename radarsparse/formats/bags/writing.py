"""Enhanced clouds as messages `sensor_msgs/PointCloud2`, and bags of them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.formats.bags.kinds import BagKind
from radarsparse.formats.bags.topics import POINT_CLOUD2, RadarMessage

_FLOAT32 = 7  # as `sensor_msgs/PointField` numbers it


def encode_cloud(message: RadarMessage, columns: Mapping[str, NDArray[np.float32]]) -> bytes:
    """The bytes of a cloud in the kind of bag that the radar's message is from.

    Args:
        message: whose header the cloud takes over.
        columns: [n] each, by name; a point's fields in their order.

    Raises:
        InputError: the radar's message is damaged.
    """
    types, names = message.kind.types.types, list(columns)
    table = np.stack([columns[name] for name in names], axis=1).astype("<f4")
    step = table.itemsize * len(names)
    point_field = types["sensor_msgs/msg/PointField"]
    cloud = types[POINT_CLOUD2](
        header=message.content.header,
        height=1,
        width=len(table),
        fields=[
            point_field(name, table.itemsize * at, _FLOAT32, 1) for at, name in enumerate(names)
        ],
        is_bigendian=False,
        point_step=step,
        row_step=step * len(table),
        data=np.frombuffer(table.tobytes(), dtype=np.uint8),
        is_dense=True,
    )
    return message.kind.encode(cloud, POINT_CLOUD2)


def write_bag(kind: BagKind, path: Path, topic: str, messages: Iterable[tuple[int, bytes]]) -> None:
    """Write a bag of one topic of clouds, with one message in memory at a time.

    Args:
        kind: of the bag.
        path: of the new file; beside it the path without suffix must be free, too.
        topic: of the clouds.
        messages: log time in nanoseconds and bytes by `encode_cloud`, ascending.
    """
    kind.write(path, topic, POINT_CLOUD2, messages)
