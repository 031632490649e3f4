"""ROS 1 bags, written by rosbags, read back and compared with what rosbags makes of them."""

import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag1 import Writer

from radarsparse.datasets.build import Unusable
from radarsparse.datasets.ntu4dradlm import open_ntu4dradlm
from radarsparse.errors import InputError
from radarsparse.formats.bags.decoding import stack_fields
from radarsparse.formats.bags.point_cloud import columns_of_point_cloud
from radarsparse.formats.bags.recording import (
    count_messages,
    list_bags,
    read_messages,
    read_stamps,
)
from radarsparse.scan import ScanPair
from tests.formats.bags.bag_files import (
    LIDAR,
    RADAR,
    T0_S,
    Drive,
    LivoxVersion,
    Stamped,
    cloud2_fields,
    cloud2_message,
    make_store,
    mutate,
    radar_message,
    restamped,
    write_bag,
)

POINT_CLOUD = ("sensor_msgs/msg/PointCloud",)
STORE = make_store(LivoxVersion())
CLOUD2 = cloud2_fields(np.array([(1.5, 2, 3)], dtype=[("x", "<f4"), ("y", "<i2"), ("z", "u1")]))


def clouds(*stamps_s: float) -> list[Stamped]:
    return [radar_message(STORE, T0_S + stamp_s, np.full((2, 5), stamp_s)) for stamp_s in stamps_s]


def write_two(folder: Path) -> tuple[Path, ...]:
    """Radar messages at 0 .. 4 s in bag 2, at 5 .. 6 s in bag 10."""
    write_bag(folder / "x_10.bag", clouds(5, 6), STORE)
    write_bag(folder / "x_2.bag", clouds(0, 1, 2, 3, 4), STORE)
    return list_bags(folder)


def test_bags_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    assert [path.name for path in write_two(tmp_path)] == ["x_2.bag", "x_10.bag"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("x.bag",), r"x\.bag: has no number"),
        (("x_1.bag", "y_01.bag"), r"y_01\.bag: has the number 1 of x_1\.bag"),
    ],
)
def test_bags_without_order_are_refused(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=message):
        list_bags(tmp_path)


def test_messages_are_counted_stamped_and_picked_over_bags(tmp_path: Path) -> None:
    bags = write_two(tmp_path)
    assert count_messages(bags, RADAR, POINT_CLOUD) == 7
    np.testing.assert_allclose(read_stamps(bags, [RADAR])[RADAR], T0_S + np.arange(7))
    picked = list(read_messages(bags, RADAR, np.array([1, 4, 6])))
    assert [message.stamp_s - T0_S for message in picked] == [1, 4, 6]
    assert [message.fields["points"]["x"].tolist() for message in picked] == [
        [1, 1],
        [4, 4],
        [6, 6],
    ]
    assert picked[2].source == f"{bags[1]}: {RADAR}: message 1 at {T0_S + 6:.9f} s"
    assert list(read_messages(bags, RADAR, np.empty(0, dtype=np.int64))) == []


def test_a_bag_may_lack_a_topic(tmp_path: Path) -> None:
    drive = Drive(sweeps=1, radars=1)
    write_bag(tmp_path / "x_0.bag", [drive.sweep(T0_S)], STORE)
    write_bag(tmp_path / "x_1.bag", clouds(1, 2), STORE)
    bags = list_bags(tmp_path)
    assert count_messages(bags, RADAR, POINT_CLOUD) == 2
    stamps_s = read_stamps(bags, [RADAR, LIDAR])
    assert {topic: len(stamps) for topic, stamps in stamps_s.items()} == {RADAR: 2, LIDAR: 1}
    (message,) = read_messages(bags, RADAR, np.array([1]))
    assert message.stamp_s == T0_S + 2


@pytest.mark.parametrize("compression", list(Writer.CompressionFormat))
def test_compressed_bags_are_read(tmp_path: Path, compression: Writer.CompressionFormat) -> None:
    write_bag(tmp_path / "x_0.bag", clouds(0, 1), STORE, compression)
    assert read_stamps([tmp_path / "x_0.bag"], [RADAR])[RADAR].tolist() == [T0_S, T0_S + 1]


def plain(value: Any) -> Any:
    """Messages of rosbags and our own as the same nested lists and dictionaries."""
    if is_dataclass(value):
        # rosbags keeps constants, in upper case, and the type beside the fields
        names = [each.name for each in fields(value) if each.name.islower()]
        return {name: plain(getattr(value, name)) for name in names if name != "__msgtype__"}
    if isinstance(value, np.ndarray | np.void) and value.dtype.names:
        rows = np.atleast_1d(np.asarray(value))
        records = [{name: plain(row[name]) for name in value.dtype.names} for row in rows]
        return records if value.ndim else records[0]
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("sensor_msgs/msg/PointCloud", clouds(1)[0].message),
        ("sensor_msgs/msg/PointCloud2", cloud2_message(STORE, "", T0_S, CLOUD2).message),
        ("livox_ros_driver/msg/CustomMsg", Drive().sweep(T0_S).message),
    ],
)
def test_messages_equal_those_of_rosbags(tmp_path: Path, kind: str, message: Any) -> None:
    write_bag(tmp_path / "x_0.bag", [Stamped("/topic", kind, T0_S, message)], STORE)
    (own,) = read_messages([tmp_path / "x_0.bag"], "/topic", np.array([0]))
    theirs = STORE.deserialize_ros1(bytes(STORE.serialize_ros1(message, kind)), kind)
    expected = plain(theirs)
    stamp = expected.pop("header")["stamp"]
    assert plain(own.fields) == expected
    assert own.stamp_ns == stamp["sec"] * 10**9 + stamp["nanosec"]


def test_topics_that_are_there_are_listed(tmp_path: Path) -> None:
    bags = write_two(tmp_path)
    with pytest.raises(InputError, match=f"no message on topic /nope in .*there: {RADAR}$"):
        count_messages(bags, "/nope", POINT_CLOUD)


def test_another_type_is_named(tmp_path: Path) -> None:
    bags = write_two(tmp_path)
    with pytest.raises(InputError, match=r"x_2\.bag: .* type sensor_msgs/msg/PointCloud; must be"):
        count_messages(bags, RADAR, ("livox_ros_driver/msg/CustomMsg",))


def test_a_bag_without_messages_has_no_topics(tmp_path: Path) -> None:
    write_bag(tmp_path / "x_0.bag", [], STORE)
    with pytest.raises(InputError, match="topics there: none"):
        count_messages([tmp_path / "x_0.bag"], RADAR, POINT_CLOUD)


@pytest.mark.parametrize("second", ["in the bag", "in the next bag"])
def test_stamps_must_ascend(tmp_path: Path, second: str) -> None:
    first, late = clouds(5, 6)
    early = restamped(late, T0_S + 4.5)
    parts = [[first, early], []] if second == "in the bag" else [[first], [early]]
    for number, part in enumerate(parts):
        write_bag(tmp_path / f"x_{number}.bag", part, STORE)
    message = r"x_\d\.bag: .*: a stamp of 1650000004\.500000 s follows one of 1650000005\.000000 s"
    with pytest.raises(InputError, match=message):
        read_stamps(list_bags(tmp_path), [RADAR])


def test_messages_of_other_types_are_refused(tmp_path: Path) -> None:
    text = STORE.types["std_msgs/msg/String"]("hello")
    write_bag(tmp_path / "x_0.bag", [Stamped("/text", "std_msgs/msg/String", T0_S, text)], STORE)
    with pytest.raises(InputError, match="/text: has messages of type std_msgs/msg/String"):
        read_stamps([tmp_path / "x_0.bag"], ["/text"])


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (slice(0, 20), "message 0: has 20 bytes; by its type it must have at least 21"),
        (slice(0, -3), r"message 0 at .* has \d+ bytes; by its type it must have at least \d+$"),
    ],
)
def test_messages_that_end_early_are_refused(tmp_path: Path, cut: slice, message: str) -> None:
    (cloud,) = clouds(1)
    with Writer(tmp_path / "x_0.bag") as writer:
        connection = writer.add_connection(RADAR, cloud.type, typestore=STORE)
        data = bytes(STORE.serialize_ros1(cloud.message, cloud.type))
        writer.write(connection, round(T0_S * 1e9), data[cut])
    with pytest.raises(InputError, match=message):
        _ = next(read_messages([tmp_path / "x_0.bag"], RADAR, np.array([0]))).fields


def test_messages_with_something_behind_them_are_refused(tmp_path: Path) -> None:
    (cloud,) = clouds(1)
    with Writer(tmp_path / "x_0.bag") as writer:
        connection = writer.add_connection(RADAR, cloud.type, typestore=STORE)
        data = bytes(STORE.serialize_ros1(cloud.message, cloud.type))
        writer.write(connection, round(T0_S * 1e9), data + b"more")
    with pytest.raises(InputError, match=f"has {len(data) + 4} bytes;.* must have {len(data)}$"):
        _ = next(read_messages([tmp_path / "x_0.bag"], RADAR, np.array([0]))).fields


def test_a_definition_without_points_is_refused(tmp_path: Path) -> None:
    kind = "livox_ros_driver/msg/CustomMsg"
    for definition in (
        "std_msgs/Header header\nuint8 x\nCustomPoint[] dots\n===\nMSG: a/CustomPoint\nuint8 x\n",
        "std_msgs/Header header\nuint8 x\n",
    ):
        with Writer(path := tmp_path / f"x_{len(definition)}.bag") as writer:
            connection = writer.add_connection(LIDAR, kind, msgdef=definition, md5sum="0" * 32)
            writer.write(connection, 0, bytes(50))
        with pytest.raises(InputError, match=r"x_\d+\.bag: is damaged|defines no points behind"):
            next(read_messages([path], LIDAR, np.array([0])))


def test_messages_must_be_of_the_topic_that_the_index_says(tmp_path: Path) -> None:
    first, second = clouds(0, 1)
    write_bag(tmp_path / "x_0.bag", [first, second._replace(topic="/other")], STORE)
    data = (tmp_path / "x_0.bag").read_bytes()
    message = data.index(bytes(STORE.serialize_ros1(first.message, first.type)))
    at = data.rindex(b"conn=", 0, message) + len(b"conn=")
    other = (1).to_bytes(4, "little")
    (tmp_path / "x_0.bag").write_bytes(data[:at] + other + data[at + 4 :])
    with pytest.raises(InputError, match=r"x_0\.bag: its index doesn't fit its messages"):
        read_stamps([tmp_path / "x_0.bag"], [RADAR, "/other"])


DAMAGED = r"is damaged, cut off or no ROS 1 bag$"


def make_cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-700])


def make_unindexed(path: Path) -> None:
    data = path.read_bytes()
    at = data.index(b"index_pos=") + len(b"index_pos=")
    path.write_bytes(data[:at] + bytes(8) + data[at + 8 :])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (make_cut_off, DAMAGED),
        (make_unindexed, "has no index; `rosbag reindex` makes one"),
        (lambda path: path.write_bytes(b""), DAMAGED),
        (lambda path: path.write_text("#ROSBAG V1.2\n"), "can't be read: its version, sto"),
        (lambda path: path.write_bytes(b"\xff\xd8\n"), DAMAGED),
        (lambda path: path.unlink(), "no such file or folder"),
    ],
)
def test_bags_that_cannot_be_read_are_named(tmp_path: Path, spoil: Any, message: str) -> None:
    bags = write_two(tmp_path)
    spoil(bags[1])
    with pytest.raises(InputError, match=r"x_10\.bag: " + message):
        count_messages(bags, RADAR, POINT_CLOUD)


def test_without_rosbags_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bags = write_two(tmp_path)
    monkeypatch.setitem(sys.modules, "rosbags", None)
    with pytest.raises(InputError, match=r"pip install 'radarsparse\[ros\]'"):
        count_messages(bags, RADAR, POINT_CLOUD)


POINTS = np.array([(1, 2, 3), (4, 5, 6)], dtype=[("x", "f4"), ("y", "f4"), ("z", "f4")])
RECORDS = np.array([(1.5, 2, "a"), (2.5, 3, "b")], dtype=[("x", "f4"), ("n", "u1"), ("s", "U1")])


def test_fields_become_columns() -> None:
    np.testing.assert_array_equal(stack_fields(RECORDS, ("n", "x"), "it"), [[2, 1.5], [3, 2.5]])


def test_every_kind_of_nan_stays_nan() -> None:
    signalling = np.array([0x7F800001], dtype=np.uint32).view([("x", np.float32)])
    assert np.isnan(stack_fields(signalling, ("x",), "it")).all()
    cloud = {"points": POINTS[:1], "channels": [{"name": "x", "values": signalling["x"]}]}
    assert np.isnan(columns_of_point_cloud(cloud, ("x", "y", "z", "x"), ("x",), "it")[:, 3]).all()


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (RECORDS, "it: no numbers in field y, s; fields there: x, n, s"),
        (np.zeros(3), "it: no numbers in field x, y, s; fields there: none"),
        ([{"x": 1}], "it: no numbers in field x, y, s; fields there: none"),
        (None, "it: no numbers in field x, y, s; fields there: none"),
    ],
)
def test_fields_that_are_no_numbers_are_named(records: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        stack_fields(records, ("x", "y", "s"), "it")


def channels(*names: str) -> dict[str, Any]:
    """A cloud of two points; the values of the channels are their numbers."""
    those = [{"name": name, "values": np.full(2, number)} for number, name in enumerate(names)]
    return {"points": POINTS, "channels": those}


@pytest.mark.parametrize(
    ("names", "number"),
    [
        (("Doppler", "Power"), 1),
        (("Alpha", " POWER", "power_x"), 1),
        (("", "", "", ""), 2),
        (("velocity", "distance", "snr"), 2),
    ],
)
def test_a_channel_is_found_by_name_or_by_order(names: tuple[str, ...], number: int) -> None:
    order = ("doppler", "range", "power")
    points = columns_of_point_cloud(channels(*names), ("z", "y", "x", "power"), order, "it")
    np.testing.assert_array_equal(points, [[3, 2, 1, number], [6, 5, 4, number]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (channels("Doppler", "SNR", "x"), "it: no channel power; channels there: doppler, snr, x"),
        (channels("a", "b"), "it: no channel power; channels there: a, b"),
        (channels(), "it: no channel power; channels there: none"),
        (
            channels("power") | {"points": POINTS[:1]},
            "it: 2 values of power for 1 points; there must be one each",
        ),
    ],
)
def test_a_missing_channel_is_named(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        columns_of_point_cloud(given, ("x", "y", "z", "power"), ("doppler", "range", "power"), "it")


def is_usable(pair: ScanPair) -> bool:
    clouds = (pair.radar, 5), (pair.lidar, 4)
    return all(
        cloud.shape[1:] == (columns,) and len(cloud) > 0 and bool(np.isfinite(cloud).all())
        for cloud, columns in clouds
    )


def outcome_of(root: Path) -> list[ScanPair | Unusable] | InputError:
    try:
        source = open_ntu4dradlm(root)
        return list(source.read(source.names))
    except InputError as error:
        return error


@pytest.mark.parametrize("seed", range(10))
def test_damaged_bags_give_errors_or_usable_frames(tmp_path: Path, seed: int) -> None:
    drive = Drive(sweeps=6, radars=2)
    folder = drive.write_one(tmp_path / "cp", drive.messages())
    path, random = folder / "cp_0.bag", np.random.default_rng(seed)
    intact, seen = path.read_bytes(), set()
    for _ in range(40):
        path.write_bytes(mutate(intact, random))
        outcome = outcome_of(tmp_path)
        if isinstance(outcome, InputError):
            assert str(path) in str(outcome)
        else:
            assert [frame.name for frame in outcome] == [f"{at:06d}" for at in range(len(outcome))]
            assert all(is_usable(frame) for frame in outcome if isinstance(frame, ScanPair))
        seen.add(type(outcome))
    assert seen == {list, InputError}
