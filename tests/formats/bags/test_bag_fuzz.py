"""Damaged bags of every kind: clouds or an `InputError`, soon and in little memory.

`RADARSPARSE_MUTATIONS=3000 pytest tests/formats/bags/test_bag_fuzz.py` damages each as often.
"""

import os
import resource
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag1 import Writer
from rosbags.rosbag2 import StoragePlugin

from radarsparse.errors import InputError
from radarsparse.formats.bags.topics import open_radar_topic, read_radar_topic
from radarsparse.formats.bags.writing import encode_cloud
from tests.formats.bags.bag_files import mutate
from tests.formats.bags.test_mcap import ABOUT, chunk, end, header, index, message
from tests.formats.bags.test_topics import (
    ROS1,
    ROS2,
    cloud,
    cloud2,
    points_of,
    write_mcap,
    write_ros1,
    write_ros2,
)

MUTATIONS = int(os.environ.get("RADARSPARSE_MUTATIONS", "40"))
SECONDS_MAX, KIB_MAX = 10, 2**20
NUMBERS = range(4)


def make_bag(folder: Path) -> Path:
    return write_ros1(folder / "a.bag", [cloud2(ROS1, each, points_of(each)) for each in NUMBERS])


def make_old_bag(folder: Path) -> Path:
    """Of compressed chunks with `sensor_msgs/PointCloud`."""
    path = folder / "a.bag"
    writer = Writer(path)
    writer.set_compression(Writer.CompressionFormat.BZ2)
    kind = "sensor_msgs/msg/PointCloud"
    with writer:
        connection = writer.add_connection("/radar", kind, typestore=ROS1)
        for sent in (cloud(ROS1, each, points_of(each)) for each in NUMBERS):
            data = ROS1.serialize_ros1(sent.message, kind)
            writer.write(connection, sent.log_time_ns, data)
    return path


def make_mcap(folder: Path) -> Path:
    return write_mcap(folder / "a.mcap", [cloud(ROS2, each, points_of(each)) for each in NUMBERS])


def make_bare_mcap(folder: Path) -> Path:
    path, (first, *rest) = folder / "a.mcap", [message(each) for each in NUMBERS]
    parts = (
        header(),
        chunk(ABOUT, first, crc=False),
        chunk(*rest, compression="lz4"),
        index(1, 2, 3),
    )
    path.write_bytes(b"".join((*parts, end())))
    return path


def make_db3(folder: Path) -> Path:
    sent = [cloud2(ROS2, each, points_of(each)) for each in NUMBERS]
    return write_ros2(folder / "a", sent, StoragePlugin.SQLITE3) / "a.db3"


def read(path: Path) -> str | None:
    """Why a bag isn't read to its end, if so."""
    try:
        for each in read_radar_topic(open_radar_topic(path)):
            points = each.read_points()
            assert points.shape[1:] == (5,)
            assert np.isfinite(points).all()
            encode_cloud(each, {"x": points[:, 0]})
    except InputError as error:
        return str(error)
    return None


@pytest.mark.parametrize("make", [make_bag, make_old_bag, make_mcap, make_bare_mcap, make_db3])
def test_damaged_bags_end_in_clouds_or_input_errors(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    path, random = make(tmp_path), np.random.default_rng(zlib.crc32(make.__name__.encode()))
    whole, reasons = path.read_bytes(), []
    assert read(path) is None
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(MUTATIONS):
        path.write_bytes(mutate(whole, random))
        begin_s = time.monotonic()
        reasons.append(read(path))
        assert time.monotonic() - begin_s < SECONDS_MAX
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < KIB_MAX
    refused = [reason for reason in reasons if reason is not None]
    assert 0 < len(refused) < MUTATIONS
    assert all(reason.startswith(str(path)) for reason in refused)
