"""MCAP files as recorders other than rosbags leave them, made record by record."""

import logging
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.formats.bags.topics import open_radar_topic, read_radar_topic
from radarsparse.formats.content import BYTES_MAX
from tests.formats.bags.test_topics import ROS2, TOPIC, cloud2, points_of, stamp_ns, write_mcap

MAGIC = b"\x89MCAP0\r\n"
RADAR, TEXT = 1, 2


def record(operation: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack("<BQ", operation, len(body)) + body


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def header(profile: str = "ros2") -> bytes:
    return MAGIC + record(1, text(profile), text("a recorder"))


def schema(name: str = "sensor_msgs/msg/PointCloud2") -> bytes:
    return record(3, struct.pack("<H", 7), text(name), text("ros2msg"), text(""))


def channel(encoding: str = "cdr", key: int = RADAR, topic: str = TOPIC) -> bytes:
    return record(4, struct.pack("<HH", key, 7), text(topic), text(encoding), text(""))


def message(number: int, key: int = RADAR) -> bytes:
    data = bytes(ROS2.serialize_cdr(cloud2(ROS2, number, points_of(number)).message, POINT_CLOUD2))
    return record(5, struct.pack("<HIQQ", key, 0, stamp_ns(number), stamp_ns(number)), data)


POINT_CLOUD2 = "sensor_msgs/msg/PointCloud2"


def zstd(data: bytes) -> bytes:
    return pytest.importorskip("backports.zstd").compress(data)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    "lz4": lz4.frame.compress,
    "zstd": zstd,
}
UNKNOWN = {"xz": bytes}


def chunk(
    *records: bytes, compression: str = "", size: int | None = None, crc: bool = True
) -> bytes:
    data = b"".join(records)
    packed = (PACKERS | UNKNOWN)[compression](data)
    size = len(data) if size is None else size
    head = struct.pack("<QQQI", 0, 2**63, size, zlib.crc32(data) if crc else 0)
    return record(6, head, text(compression), struct.pack("<Q", len(packed)), packed)


def index(*numbers: int, key: int = RADAR) -> bytes:
    entries = b"".join(struct.pack("<QQ", stamp_ns(number), 0) for number in numbers)
    return record(7, struct.pack("<HI", key, len(entries)), entries)


def end(*summary: bytes) -> bytes:
    footer = record(2, struct.pack("<QQI", 0, 0, 0))
    return record(15, bytes(4)) + b"".join(summary) + footer + MAGIC


def write(path: Path, *parts: bytes) -> Path:
    path.write_bytes(b"".join(parts))
    return path


def numbers_of(path: Path) -> list[int]:
    """Which clouds of `points_of` come out of a file."""
    found = list(read_radar_topic(open_radar_topic(path, TOPIC)))
    numbers = [[stamp_ns(number) for number in range(9)].index(each.stamp_ns) for each in found]
    for each, number in zip(found, numbers, strict=True):
        np.testing.assert_array_equal(each.read_points(), points_of(number))
    return numbers


ABOUT = schema() + channel()
LATER = channel(key=TEXT, topic="/other")


@pytest.mark.parametrize(
    "parts",
    [
        (header(), chunk(ABOUT, message(0), message(1)), end(ABOUT)),
        (header(), chunk(ABOUT, message(0), message(1)), index(0, 1), end(ABOUT)),
        (header(), chunk(ABOUT, message(0), message(1)), index(0, 1), end()),
        (header(), ABOUT, chunk(message(0)), chunk(message(1)), index(1), end()),
        (header(), chunk(ABOUT, message(1), message(0)), end()),
        (header(), chunk(ABOUT), chunk(message(0)), chunk(message(1), crc=False), end()),
        (header(), ABOUT, message(0), LATER, message(3, TEXT), message(1), end()),
        (header(), ABOUT, message(0), chunk(message(1)), record(200, b"of a vendor"), end()),
        (header(""), chunk(ABOUT, message(0), message(1)), end()),
        (header("some profile"), ABOUT, message(0), message(1), end(ABOUT)),
        (
            header(),
            chunk(schema("sensor_msgs/PointCloud2"), channel(), message(0), message(1)),
            end(),
        ),
        (header(), chunk(channel(), schema(), message(0), message(1)), end()),
    ],
)
def test_whatever_a_recorder_may_leave_out_is_not_needed(
    tmp_path: Path, parts: Sequence[bytes]
) -> None:
    assert numbers_of(write(tmp_path / "a.mcap", *parts)) == [0, 1]


@pytest.mark.parametrize("compression", PACKERS)
def test_chunks_may_be_compressed(tmp_path: Path, compression: str) -> None:
    packed = chunk(ABOUT, message(0), message(1), compression=compression)
    assert numbers_of(write(tmp_path / "a.mcap", header(), packed, end())) == [0, 1]


def test_a_recording_that_was_cut_off_is_read_as_far_as_it_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = [header(), chunk(ABOUT, message(0), message(1)), index(0, 1)]
    second = [chunk(message(2), message(3, TEXT)), index(2), index(3, key=TEXT)]
    rest = [chunk(LATER, message(4)), end(ABOUT, LATER)]
    whole = b"".join((*first, *second, *rest))
    assert numbers_of(write(tmp_path / "a.mcap", whole)) == [0, 1, 2, 4]
    assert caplog.records == []
    ends = np.cumsum([len(part) for part in (*first, *second, *rest)])
    with caplog.at_level(logging.ERROR):
        for size in (*range(ends[1], len(whole), 7), *ends[1:-1]):
            path = write(tmp_path / "a.mcap", whole[:size])
            assert numbers_of(path) == [0, 1] + [2] * int(size >= ends[3]) + [4] * int(
                size >= ends[6]
            )
    write(tmp_path / "a.mcap", whole[: len(whole) - 1])
    assert numbers_of(tmp_path / "a.mcap") == [0, 1, 2, 4]
    assert "a.mcap: its recording was not closed" in caplog.text


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((header(), chunk(ABOUT)), "no message on topic /radar; topics there: /radar"),
        ((header(),), r"is damaged, cut off or no ROS 2 bag \(ends before its first mes"),
        ((b"\x89MCAP1\r\n", header(), end()), r"begins with b'\\x89MCAP1\\r\\n'"),
        ((b"",), "begins with b''"),
        (
            (header(), chunk(schema(), channel("json"), message(0)), end()),
            "/radar has messages encoded as json; must be cdr$",
        ),
        (
            (header(), chunk(schema("my_msgs/msg/Radar"), channel(), message(0)), end()),
            "/radar has messages of type my_msgs/msg/Radar; must be sensor_msgs/msg/PointCloud or",
        ),
        (
            (header(), ABOUT, chunk(message(0)), index(0, 1), end()),
            "its index doesn't fit its messages$",
        ),
        ((header(), chunk(ABOUT, message(0), size=5), end()), "has another size or checksum"),
        (
            (header(), chunk(ABOUT, message(0), compression="zstd", size=5), end()),
            r"bytes of a chunk unpack to over 5\)",
        ),
        (
            (header(), chunk(ABOUT, bytes(50_000_000), compression="zstd", size=99), end()),
            r"bytes of a chunk unpack to over 99\)",
        ),
        (
            (header(), chunk(ABOUT, message(0), compression="lz4", size=BYTES_MAX + 1), end()),
            f"can't be read: a chunk of {BYTES_MAX + 1} bytes is not supported; {BYTES_MAX} are",
        ),
        (
            (header(), *[chunk(ABOUT, message(0), size=BYTES_MAX)] * 9, end()),
            r"can't be read: 1207959552 bytes in chunks of \d+ are not supported",
        ),
        (
            (header(), chunk(ABOUT, message(0), compression="xz"), end()),
            "can't be read: compression 'xz' is not supported",
        ),
        ((header(), chunk(ABOUT, message(0)[:-1]), end()), "of a chunk reaches beyond its end"),
        (
            (header(), ABOUT, message(0), struct.pack("<BQ", 9, 2**63), end()),
            r"the record at byte \d+ reaches beyond the end",
        ),
        ((header(), ABOUT, record(4), end()), "a record: has 0 bytes; by its type it must have at"),
    ],
)
def test_what_can_not_be_read_is_named(
    tmp_path: Path, parts: Sequence[bytes], expected: str
) -> None:
    path = write(tmp_path / "a.mcap", *parts)
    with pytest.raises(InputError, match=rf"^\S+a\.mcap: .*{expected}"):
        numbers_of(path)


@pytest.mark.parametrize("operation", [3, 4, 5, 6])
def test_records_that_no_memory_holds_are_refused(tmp_path: Path, operation: int) -> None:
    path = write(tmp_path / "a.mcap", header(), struct.pack("<BQ", operation, 2**32))
    with path.open("r+b") as file:
        file.truncate(2**33)
    message = f"a.mcap: can't be read: a record of {2**32} bytes is not supported; {BYTES_MAX} are"
    with pytest.raises(InputError, match=message):
        numbers_of(path)


def test_a_folder_of_such_files_is_read_in_the_order_of_its_card(tmp_path: Path) -> None:
    write(tmp_path / "x_10.mcap", header(""), chunk(ABOUT, message(2)), end())
    write(tmp_path / "x_9.mcap", header(), chunk(ABOUT, message(0), message(1)))
    names = "[drive/x_9.mcap, x_10.mcap]"
    card = f"rosbag2_bagfile_information: {{relative_file_paths: {names}}}"
    (tmp_path / "metadata.yaml").write_text(card)
    assert numbers_of(tmp_path) == [0, 1, 2]
    (tmp_path / "x_10.mcap").unlink()
    with pytest.raises(InputError, match=r"lacks x_10\.mcap, which its metadata\.yaml names"):
        open_radar_topic(tmp_path)


def test_the_order_of_messages_is_that_of_the_file(tmp_path: Path) -> None:
    sent: list[Any] = [cloud2(ROS2, number, points_of(number)) for number in (2, 0, 1)]
    assert numbers_of(write_mcap(tmp_path / "a.mcap", sent)) == [0, 1, 2]
