"""Radar clouds out of real small bags of both kinds, enhanced clouds into them."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from radarsparse.errors import InputError
from radarsparse.formats.bags.kinds import find_kind
from radarsparse.formats.bags.topics import open_radar_topic, read_radar_topic
from radarsparse.formats.bags.writing import encode_cloud, write_bag
from radarsparse.formats.columns import OCULII_CHANNELS
from radarsparse.formats.content import BYTES_MAX

POINT_CLOUD, POINT_CLOUD2 = "sensor_msgs/msg/PointCloud", "sensor_msgs/msg/PointCloud2"
TOPIC = "/radar"
FIELDS = ("x", "y", "z", "velocity", "snr")
# No float of seconds holds these.
FIRST_STAMP_NS, STEP_NS, DELAY_NS = 1_689_152_348_123_456_789, 66_666_667, 1_234_567
ROS1, ROS2 = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.ROS2_JAZZY)


class Sent(NamedTuple):
    """A message with its topic, its type and the moment of its recording."""

    topic: str
    type: str
    log_time_ns: int
    message: Any


def stamp_ns(number: int) -> int:
    return FIRST_STAMP_NS + number * STEP_NS


def header(store: Typestore, number: int) -> Any:
    types, moment_ns = store.types, stamp_ns(number)
    stamp = types["builtin_interfaces/msg/Time"](moment_ns // 10**9, moment_ns % 10**9)
    counter = {"seq": number} if store is ROS1 else {}
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id="front_radar", **counter)


def cloud(
    store: Typestore, number: int, points: NDArray[Any], names: Sequence[str] = FIELDS
) -> Sent:
    """Points [n, c] as `sensor_msgs/PointCloud`: fields x, y, z, then channels."""
    types = store.types
    point, channel = types["geometry_msgs/msg/Point32"], types["sensor_msgs/msg/ChannelFloat32"]
    columns = np.ascontiguousarray(points.T, dtype=np.float32)
    message = types[POINT_CLOUD](
        header=header(store, number),
        points=[point(*row) for row in points[:, :3].tolist()],
        channels=[channel(*pair) for pair in zip(names[3:], columns[3:], strict=True)],
    )
    return Sent(TOPIC, POINT_CLOUD, stamp_ns(number) + DELAY_NS, message)


def cloud2(
    store: Typestore, number: int, points: NDArray[Any], names: Sequence[str] = FIELDS
) -> Sent:
    """Points [n, c] as `sensor_msgs/PointCloud2` of float32 fields."""
    types, width = store.types, points.shape[1]
    field = types["sensor_msgs/msg/PointField"]
    message = types[POINT_CLOUD2](
        header=header(store, number),
        height=1,
        width=len(points),
        fields=[field(name, 4 * at, 7, 1) for at, name in enumerate(names)],
        is_bigendian=False,
        point_step=4 * width,
        row_step=4 * width * len(points),
        data=np.frombuffer(points.astype("<f4").tobytes(), dtype=np.uint8),
        is_dense=True,
    )
    return Sent(TOPIC, POINT_CLOUD2, stamp_ns(number) + DELAY_NS, message)


def write_ros1(path: Path, messages: Sequence[Sent]) -> Path:
    writer = Writer1(path)
    # Small chunks, so that a tiny bag has several.
    writer.chunk_threshold = 2000
    with writer:
        connections: dict[str, Any] = {}
        for topic, kind, log_time_ns, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=ROS1)
            writer.write(connections[topic], log_time_ns, ROS1.serialize_ros1(message, kind))
    return path


def write_ros2(
    folder: Path, messages: Sequence[Sent], plugin: StoragePlugin = StoragePlugin.MCAP
) -> Path:
    with Writer2(folder, version=9, storage_plugin=plugin) as writer:
        connections: dict[str, Any] = {}
        for topic, kind, log_time_ns, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=ROS2)
            writer.write(connections[topic], log_time_ns, ROS2.serialize_cdr(message, kind))
    return folder


def write_mcap(path: Path, messages: Sequence[Sent]) -> Path:
    folder = write_ros2(path.with_suffix(""), messages)
    return (folder / f"{folder.name}.mcap").rename(path)


BAGS = {
    "drive.bag": (ROS1, write_ros1),
    "drive.mcap": (ROS2, write_mcap),
    "drive": (ROS2, write_ros2),
}
kinds = pytest.mark.parametrize("name", ["drive.bag", "drive.mcap"])
make = pytest.mark.parametrize("make", [cloud, cloud2])


def points_of(number: int, count: int = 5) -> NDArray[np.float32]:
    random = np.random.default_rng(number)
    return random.uniform(-30, 30, (count, 5)).astype(np.float32)


def write(
    folder: Path, name: str, make: Callable[..., Sent] = cloud2, clouds: Sequence[Any] = ()
) -> Path:
    """A bag of the clouds of `points_of`, or of these."""
    store, put = BAGS[name]
    clouds = clouds or [points_of(number) for number in range(3)]
    return put(folder / name, [make(store, number, each) for number, each in enumerate(clouds)])


@make
@pytest.mark.parametrize("name", BAGS)
def test_clouds_come_out_as_they_went_in(tmp_path: Path, name: str, make: Any) -> None:
    topic = open_radar_topic(write(tmp_path, name, make))
    assert (topic.name, topic.columns, topic.count) == (TOPIC, FIELDS, 3)
    messages = list(read_radar_topic(topic))
    assert [message.number for message in messages] == [0, 1, 2]
    assert [message.stamp_ns for message in messages] == [stamp_ns(n) for n in range(3)]
    assert [message.log_time_ns - DELAY_NS for message in messages] == [
        stamp_ns(n) for n in range(3)
    ]
    for message in messages:
        np.testing.assert_array_equal(message.read_points(), points_of(message.number))


def test_sqlite_files_are_read(tmp_path: Path) -> None:
    messages = [cloud2(ROS2, 0, points_of(0))]
    folder = write_ros2(tmp_path / "drive", messages, StoragePlugin.SQLITE3)
    for path in (folder, folder / "drive.db3"):
        (message,) = read_radar_topic(open_radar_topic(path))
        np.testing.assert_array_equal(message.read_points(), points_of(0))


@pytest.mark.parametrize("mode", ["MESSAGE", "FILE"])
def test_compressed_messages_are_refused(tmp_path: Path, mode: str) -> None:
    folder = write_ros2(tmp_path / "drive", [cloud2(ROS2, 0, points_of(0))])
    card = folder / "metadata.yaml"
    old = "compression_mode: ''"
    assert old in card.read_text()
    card.write_text(card.read_text().replace(old, f"compression_mode: {mode}"))
    message = rf"drive: can't be read: compression_mode {mode} of its card is not supported; NONE"
    with pytest.raises(InputError, match=message):
        open_radar_topic(folder)


@pytest.mark.parametrize("name", ["drive.bag", "drive.mcap"])
def test_capitals_of_a_suffix_do_not_matter(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name).rename(tmp_path / name.upper())
    assert open_radar_topic(path).count == 3


@make
def test_columns_without_end_are_refused(tmp_path: Path, make: Any) -> None:
    names = tuple(f"c{number}" for number in range(1004))
    path = write_ros1(tmp_path / "drive.bag", [make(ROS1, 0, np.zeros((1, 1004)), names)])
    with pytest.raises(InputError, match=r"has 100[14] columns; must be 1000 at most"):
        open_radar_topic(path, TOPIC)


@pytest.mark.parametrize(
    ("written", "columns"),
    [
        (("x", "y", "z", "Doppler", "Range", "Power"), ("x", "y", "z", "Doppler", "Power")),
        (("x", "y", "z", "intensity", "velocity"), ("x", "y", "z", "velocity", "intensity")),
        (("x", "y", "z", "rcs", "v_r", "snr"), ("x", "y", "z", "v_r", "snr")),
        (("X", "Y", "Z", "Radial Speed", "mag"), ("X", "Y", "Z", "Radial Speed", "mag")),
        (("range_rate", "z", "y", "x", "amplitude"), ("x", "y", "z", "range_rate", "amplitude")),
    ],
)
def test_columns_are_found_by_their_usual_names(
    tmp_path: Path, written: tuple[str, ...], columns: tuple[str, ...]
) -> None:
    table = np.arange(2.0 * len(written)).reshape(2, -1)
    path = write_mcap(tmp_path / "a.mcap", [cloud2(ROS2, 0, table, written)])
    topic = open_radar_topic(path)
    assert topic.columns == columns
    (message,) = read_radar_topic(topic)
    wanted = table[:, [written.index(column) for column in columns]]
    np.testing.assert_array_equal(message.read_points(), wanted)


@kinds
def test_capitals_of_a_column_are_no_second_column(tmp_path: Path, name: str) -> None:
    store, put = BAGS[name]
    names = ("x", "y", "z", "velocity", "power", "Power")
    points = np.c_[points_of(0), np.full(5, 1e9, np.float32)]
    topic = open_radar_topic(put(tmp_path / name, [cloud2(store, 0, points, names)]))
    assert topic.columns == ("x", "y", "z", "velocity", "power")
    np.testing.assert_array_equal(next(read_radar_topic(topic)).read_points(), points_of(0))


@make
def test_columns_can_be_named(tmp_path: Path, make: Any) -> None:
    names = ("x", "y", "z", "Speed over ground", "Echo")
    path = write_ros1(tmp_path / "a.bag", [make(ROS1, 0, points_of(0), names)])
    listed = ", ".join(names if make is cloud2 else map(str.lower, names))
    expected = rf"a\.bag: /radar: has no column doppler_mps, power_db .*there are: {listed}"
    with pytest.raises(InputError, match=expected):
        open_radar_topic(path, TOPIC)
    topic = open_radar_topic(path, TOPIC, names)
    np.testing.assert_array_equal(next(read_radar_topic(topic)).read_points(), points_of(0))
    assert open_radar_topic(path, None, names) == topic
    with pytest.raises(InputError, match=r"message 0 at 1689152348\.123456789 s.*(?i:gain)"):
        open_radar_topic(path, TOPIC, (*names[:4], "Gain"))


def test_channels_without_names_go_by_the_order_of_the_oculii(tmp_path: Path) -> None:
    table = np.arange(16.0).reshape(2, 8)
    path = write_ros1(tmp_path / "a.bag", [cloud(ROS1, 0, table, ("x", "y", "z", *[""] * 5))])
    topic = open_radar_topic(path)
    assert topic.columns == ("x", "y", "z", "doppler", "power")
    at = [0, 1, 2, *(3 + OCULII_CHANNELS.index(name) for name in ("doppler", "power"))]
    np.testing.assert_array_equal(next(read_radar_topic(topic)).read_points(), table[:, at])


@kinds
def test_the_only_radar_topic_is_taken(tmp_path: Path, name: str) -> None:
    store, put = BAGS[name]
    names = ("x", "y", "z", "intensity")
    lidar = cloud2(store, 0, np.ones((3, 4)), names)._replace(topic="/lidar")
    text = Sent("/text", "std_msgs/msg/String", 5, store.types["std_msgs/msg/String"]("hello"))
    radar = cloud2(store, 0, points_of(0))
    path = put(tmp_path / f"one_{name}", [lidar, text, radar])
    assert open_radar_topic(path).name == TOPIC
    other = radar._replace(topic="/rear")
    path = put(tmp_path / f"two_{name}", [lidar, text, radar, other])
    with pytest.raises(InputError, match=r"several topics .*/radar \(.*PointCloud2\), /rear \("):
        open_radar_topic(path)
    assert open_radar_topic(path, "/rear").name == "/rear"
    path = put(tmp_path / f"one_lidar_{name}", [lidar, text])
    with pytest.raises(InputError, match=r"/lidar: has no column doppler_mps .*--fields"):
        open_radar_topic(path)
    path = put(tmp_path / f"both_{name}", [lidar, lidar._replace(topic="/rear"), text])
    with pytest.raises(InputError, match=r"no topic .*--topic.*--fields; .*/text \(std_msgs/msg/S"):
        open_radar_topic(path)
    path = put(tmp_path / f"none_{name}", [lidar, text])
    with pytest.raises(InputError, match=r"no message on topic /rear; topics there: /lidar"):
        open_radar_topic(path, "/rear")
    with pytest.raises(InputError, match=r"/text has messages of type std_msgs/msg/String; must"):
        open_radar_topic(path, "/text")


@make
@kinds
def test_unusable_clouds_are_named_with_number_and_stamp(
    tmp_path: Path, name: str, make: Any
) -> None:
    holes = points_of(1)
    holes[[0, 2], [1, 3]] = np.nan
    clouds = [np.empty((0, 5)), holes, np.full((2, 5), np.nan)]
    topic = open_radar_topic(write(tmp_path, name, make, clouds))
    assert topic.columns == FIELDS
    empty, some, none = read_radar_topic(topic)
    np.testing.assert_array_equal(some.read_points(), holes[[1, 3, 4]])
    for message, stamp in ((empty, r"348\.123456789"), (none, r"348\.256790123")):
        expected = rf"{name}: /radar: message {message.number} at 1689152{stamp} s: no usable point"
        with pytest.raises(InputError, match=expected):
            message.read_points()


def test_points_that_no_sensor_measured_are_dropped_or_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    some, most = points_of(0), points_of(1)
    some[1, 3], some[2, :3] = np.finfo(np.float32).max, 0.0
    most[1:, 4] = 3e5
    first, second = read_radar_topic(
        open_radar_topic(write(tmp_path, "drive.mcap", cloud2, [some, most]))
    )
    np.testing.assert_array_equal(first.read_points(), some[[0, 3, 4]])
    assert "message 0 at" in caplog.text
    assert "dropped 1 of 5 points: doppler_mps 3.40282e+38 beyond" in caplog.text
    with pytest.raises(InputError, match=r"message 1 at .*: power_db 300000 beyond .* in 4 of 5"):
        second.read_points()


def test_rows_without_a_step_are_read(tmp_path: Path) -> None:
    sent = cloud2(ROS1, 0, points_of(0))
    path = write_ros1(
        tmp_path / "a.bag", [sent._replace(message=replace(sent.message, row_step=0))]
    )
    (message,) = read_radar_topic(open_radar_topic(path))
    np.testing.assert_array_equal(message.read_points(), points_of(0))


@make
def test_messages_may_be_big_endian(tmp_path: Path, make: Any) -> None:
    sent, columns = make(ROS2, 0, points_of(0)), ("x", "y", "z")
    with Writer2(tmp_path / "a", version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection(TOPIC, sent.type, typestore=ROS2)
        data = ROS2.serialize_cdr(sent.message, sent.type, little_endian=False)
        writer.write(connection, sent.log_time_ns, data)
    (message,) = read_radar_topic(open_radar_topic(tmp_path / "a"))
    points = message.read_points()
    np.testing.assert_array_equal(points, points_of(0))
    encoded = encode_cloud(message, dict(zip(columns, points.T[:3], strict=True)))
    made: Any = ROS2.deserialize_cdr(encoded, POINT_CLOUD2)
    assert made.header == sent.message.header
    np.testing.assert_array_equal(made.data.view("<f4").reshape(-1, 3), points[:, :3])
    with pytest.raises(InputError, match=r"message 0: begins with b'\\x00\\x07', must with"):
        replace(message, data=b"\0\7" + message.data[2:]).read_points()


def test_chunks_are_unpacked_up_to_a_limit(tmp_path: Path) -> None:
    writer = Writer1(tmp_path / "a.bag")
    writer.set_compression(Writer1.CompressionFormat.LZ4)
    with writer:
        connection = writer.add_connection(TOPIC, POINT_CLOUD2, typestore=ROS1)
        writer.write(connection, 0, bytes(BYTES_MAX))
    with pytest.raises(InputError, match=rf"bytes of a chunk unpack to over {BYTES_MAX}"):
        open_radar_topic(tmp_path / "a.bag")


def test_a_topic_without_any_point_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "drive.mcap", cloud2, [np.empty((0, 5))] * 2)
    with pytest.raises(InputError, match=r"/radar: none of 2 messages holds a point"):
        open_radar_topic(path, TOPIC)


@kinds
def test_damaged_bags_are_named(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    whole = path.read_bytes()
    for size in (0, 20, len(whole) // 8):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match=rf"{name}: is damaged, cut off or no ROS . bag"):
            list(read_radar_topic(open_radar_topic(path)))
    with pytest.raises(InputError, match=r"none\.bag: no such file"):
        open_radar_topic(tmp_path / "none.bag")
    with pytest.raises(InputError, match=r"is no bag"):
        open_radar_topic(tmp_path)


@kinds
def test_a_damaged_message_leaves_the_others(tmp_path: Path, name: str) -> None:
    store, put = BAGS[name]
    messages = [cloud2(store, number, points_of(number)) for number in range(3)]
    short = messages[1].message
    messages[1] = messages[1]._replace(message=replace(short, width=99, row_step=99 * 20))
    first, second, third = read_radar_topic(open_radar_topic(put(tmp_path / name, messages)))
    with pytest.raises(InputError, match=r"message 1 at .* has 100 bytes of data"):
        second.read_points()
    torn = replace(third, data=third.data[:-30])
    with pytest.raises(InputError, match=r"message 2 at .* bytes; by its type it must have at"):
        torn.read_points()
    np.testing.assert_array_equal(first.read_points(), points_of(0))


def test_without_rosbags_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "drive.mcap")
    monkeypatch.setitem(sys.modules, "rosbags", None)
    with pytest.raises(InputError, match=r"pip install 'radarsparse\[ros\]'"):
        open_radar_topic(path)


@make
@kinds
def test_written_clouds_keep_header_and_time(tmp_path: Path, name: str, make: Any) -> None:
    path = write(tmp_path, name, make)
    columns = ("x", "y", "z", "intensity", "probability")

    def encoded() -> Iterator[tuple[int, bytes]]:
        for each in read_radar_topic(open_radar_topic(path)):
            named = zip(columns, each.read_points().T, strict=True)
            yield each.log_time_ns, encode_cloud(each, dict(named))

    outs = [tmp_path / str(number) / name for number in range(2)]
    for out in outs:
        out.parent.mkdir()
        write_bag(find_kind(path), out, "/radar_enhanced", encoded())
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert list(outs[0].parent.iterdir()) == [outs[0]]
    with AnyReader([path]) as before, AnyReader([outs[0]]) as after:
        read = list(after.messages())
        for number, (old, new) in enumerate(zip(before.messages(), read, strict=True)):
            made: list[Any] = [
                r.deserialize(m[2], m[0].msgtype) for r, m in ((before, old), (after, new))
            ]
            radar, sent = made
            assert (new[0].topic, new[0].msgtype, new[1]) == (
                "/radar_enhanced",
                POINT_CLOUD2,
                old[1],
            )
            assert repr(sent.header) == repr(radar.header)
            assert [field.name for field in sent.fields] == list(columns)
            table = sent.data.view("<f4").reshape(-1, len(columns))
            np.testing.assert_array_equal(table, points_of(number))
