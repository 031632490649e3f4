"""MSC-RAD4R, on tiny bags in the native layout."""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radarsparse.datasets.build import PreparedPlan, Source, Unusable, build_prepared
from radarsparse.datasets.msc_rad4r import LIDAR_TOPIC, RADAR_TOPIC, open_msc_rad4r
from radarsparse.errors import InputError
from radarsparse.formats.prepared import read_frame
from radarsparse.formats.rings import OS1_128_DEG
from radarsparse.scan import ScanPair
from tests.formats.bags.bag_files import (
    T0_S,
    LivoxVersion,
    Stamped,
    cloud2_fields,
    cloud2_message,
    make_store,
    radar_message,
    restamped,
    write_bag,
)
from tests.formats.test_tables import check_frame

STORE = make_store(LivoxVersion())
RADAR_NAMES = ("x", "y", "z", "beta", "alpha", "power", "doppler", "range")
RADAR_DTYPE = [(name, "<f4") for name in (*RADAR_NAMES, "recoveredSpeed", "denoiseFlag")]
LIDAR_DTYPE = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")]
LIDAR_DTYPE += [("t", "<u4"), ("reflectivity", "<u2"), ("ring", "u1"), ("range", "<u4")]
T_RADAR_LIDAR = "0 -1 0 0.5\n1 0 0 -0.25\n\n0 0 1 1.5\n0 0 0 1\n"
RADAR_PERIOD_S, LIDAR_PERIOD_S = 1 / 15, 0.1


def radar_cloud(number: int) -> np.ndarray:
    """Three points; the Doppler numbers the cloud."""
    rows = [(10, 1, 0.5, 2, -5, 21, number, 10.1, 0, 0), (20, -2, 1, 2, 5, 9, number, 20.2, 0, 1)]
    return np.array([*rows, (30, 0, 0, 0, 0, 12, number, 30, 0, 0)], dtype=RADAR_DTYPE)


def lidar_sweep(number: int) -> np.ndarray:
    """Two beams of two pulses, one without a return, one too strong; the first has the number."""
    first = [(5, 0, 0, number, 1, 1, 0, 5000), (0, 0, 0, 0, 2, 0, 0, 0)]
    return np.array(
        [first, [(-5, 1, 0.5, 1300, 1, 2, 1, 5123), (0, 3, 0, 9, 2, 1, 1, 3000)]], LIDAR_DTYPE
    )


def radar(stamp_s: float, number: int, points: np.ndarray | None = None) -> Stamped:
    fields = cloud2_fields(radar_cloud(number) if points is None else points)
    return cloud2_message(STORE, RADAR_TOPIC, T0_S + stamp_s, fields)


def lidar(stamp_s: float, number: int, points: np.ndarray | None = None) -> Stamped:
    fields = cloud2_fields(lidar_sweep(number) if points is None else points)
    return cloud2_message(STORE, LIDAR_TOPIC, T0_S + stamp_s, fields)


def drive(sweeps: int = 4, clouds: int = 7) -> list[Stamped]:
    """What both sensors send, by stamp."""
    messages = [lidar(LIDAR_PERIOD_S * number, number) for number in range(sweeps)]
    messages += [radar(0.01 + RADAR_PERIOD_S * number, number) for number in range(clouds)]
    return sorted(messages, key=lambda message: message.stamp_s)


def write_native(
    root: Path, name: str = "URBAN_A0.bag", messages: Sequence[Stamped] | None = None
) -> Path:
    write_bag(root / name, drive() if messages is None else messages, STORE)
    (root / "calib").mkdir(exist_ok=True)
    (root / "calib/T_radar_lidar.txt").write_text(T_RADAR_LIDAR)
    return root


def frames_of(source: Source) -> list[ScanPair | Unusable]:
    return list(source.read(source.names))


def pairs_of(source: Source) -> list[ScanPair]:
    pairs = [frame for frame in frames_of(source) if isinstance(frame, ScanPair)]
    assert len(pairs) == len(source.names)
    for pair in pairs:
        check_frame(pair)
    return pairs


def test_a_native_frame_is_read(tmp_path: Path) -> None:
    pair = pairs_of(open_msc_rad4r(write_native(tmp_path)))[3]
    expected = [[10, 1, 0.5, 4, 21], [20, -2, 1, 4, 9], [30, 0, 0, 4, 12]]
    np.testing.assert_array_equal(pair.radar, np.array(expected, np.float32), "Doppler, then power")
    np.testing.assert_array_equal(pair.lidar, [[5, 0, 0, 3], [-5, 1, 0.5, 255], [0, 3, 0, 9]])
    rows = [line.split() for line in T_RADAR_LIDAR.splitlines() if line]
    np.testing.assert_array_equal(pair.T_radar_lidar, np.array(rows, float))


def test_each_sweep_gets_the_cloud_nearest_in_time(tmp_path: Path) -> None:
    pairs = pairs_of(open_msc_rad4r(write_native(tmp_path)))
    assert [pair.name for pair in pairs] == [f"{number:06d}" for number in range(4)]
    # clouds at 10, 77, 143, 210, 277, 343 ms; sweeps at 0, 100, 200, 300 ms
    assert [pair.radar[0, 3] for pair in pairs] == [0, 1, 3, 4]
    assert [pair.lidar[0, 3] for pair in pairs] == [0, 1, 2, 3]
    gaps_s = [pair.time_gap_s for pair in pairs]
    np.testing.assert_allclose(gaps_s, [0.010, 0.023, 0.010, 0.023], atol=0.001)


def test_sweeps_without_a_cloud_nearby_are_unusable(tmp_path: Path) -> None:
    stamps_s = (0.0, 0.46, 0.549, 0.6, 1.0, 1.96)
    messages = [lidar(stamp_s, number) for number, stamp_s in enumerate(stamps_s)]
    messages += [radar(0.5, 5), radar(2.0, 20)]
    source = open_msc_rad4r(write_native(tmp_path, messages=messages))
    frames = frames_of(source)
    assert [frame.name for frame in frames] == list(source.names)
    dopplers = [frame.radar[0, 3] for frame in frames if isinstance(frame, ScanPair)]
    assert dopplers == [5, 5, 20]
    reasons = {frame.name: frame.reason for frame in frames if isinstance(frame, Unusable)}
    assert list(reasons) == ["000000", "000003", "000004"]
    message = rf"URBAN_A0\.bag: {LIDAR_TOPIC}: .* nearest message on {RADAR_TOPIC} is 0\.100 s away"
    assert re.search(message, reasons["000003"])


def test_bags_are_read_on_from_one_to_the_next(tmp_path: Path) -> None:
    messages = drive(6, 10)
    write_native(tmp_path, "LOOP_B0/LOOP_B0_10.bag", messages[7:])
    write_native(tmp_path, "LOOP_B0/LOOP_B0_9.bag", messages[:7])
    source = open_msc_rad4r(tmp_path)
    pairs = pairs_of(source)
    assert [pair.lidar[0, 3] for pair in pairs] == list(range(6))
    assert [pair.radar[0, 3] for pair in pairs] == [0, 1, 3, 4, 6, 7]
    for asked in (slice(4, None), slice(None, None, 3)):
        part = list(source.read(source.names[asked]))
        for one, other in zip(pairs[asked], part, strict=True):
            assert isinstance(other, ScanPair)
            assert one.name == other.name
            np.testing.assert_array_equal(one.radar, other.radar)
            np.testing.assert_array_equal(one.lidar, other.lidar)


def test_areas_are_split_whole_whatever_the_weather(tmp_path: Path) -> None:
    sweeps = {"URBAN_H1": 1, "SMOKE_B0": 2, "RURAL_C2": 1, "RURAL_C0": 3, "LOOP_E0": 2}
    for name, count in sweeps.items():
        write_native(tmp_path, f"{name}.bag", drive(count, 4))
    source = open_msc_rad4r(tmp_path)
    assert source.split == {"val": [(0, 1)], "test": [(2, 4), (5, 5)], "train": [(6, 7), (8, 8)]}
    assert [int(pair.name) for pair in pairs_of(source)] == list(range(9))
    assert [pair.lidar[0, 3] for pair in pairs_of(source)] == [0, 1, 0, 1, 2, 0, 0, 1, 0]


def test_a_folder_is_prepared_without_its_unusable_frames(tmp_path: Path) -> None:
    messages = [*drive(), lidar(9.0, 9)]
    source = open_msc_rad4r(write_native(tmp_path / "native", messages=messages))
    with pytest.raises(InputError, match="--skip-unusable leaves such frames out"):
        build_prepared(PreparedPlan(tmp_path / "all", source))
    assert list(build_prepared(PreparedPlan(tmp_path / "some", source, True))) == ["000004"]
    read_frame(tmp_path / "some/frames/000003.npz")


def test_the_card_tells_sources_apart(tmp_path: Path) -> None:
    card = open_msc_rad4r(write_native(tmp_path)).card
    assert (card.radar_rate_hz, card.lidar_rate_hz) == (15.0, 10.0)
    assert card.lidar_rings_deg == OS1_128_DEG
    assert open_msc_rad4r(tmp_path).card == card
    path = tmp_path / "calib/T_radar_lidar.txt"
    path.write_text(path.read_text().replace("1.5", "1.6"))
    assert open_msc_rad4r(tmp_path).card != card
    write_native(tmp_path, "URBAN_A1.bag")
    assert open_msc_rad4r(tmp_path).card != card


def with_changes(message: Stamped, **changes: Any) -> Stamped:
    return message._replace(message=replace(message.message, **changes))


EMPTY_RADAR, EMPTY_LIDAR = np.empty(0, RADAR_DTYPE), np.zeros((2, 2), LIDAR_DTYPE)
NO_DOPPLER = np.zeros(3, [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("power", "<f4")])


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        (
            [radar(0, 0, EMPTY_RADAR), lidar(0, 0)],
            f"{RADAR_TOPIC}: message 0 at .*: no usable point of 0",
        ),
        (
            [radar(0, 0, NO_DOPPLER), lidar(0, 0)],
            f"{RADAR_TOPIC}: message 0 at .*: has 0 fields doppler",
        ),
        (
            [radar(0, 0), lidar(0, 0, EMPTY_LIDAR)],
            f"{LIDAR_TOPIC}: message 0 at .*: no usable point of 4",
        ),
        (
            [radar(0, 0), lidar(0, 0, radar_cloud(0))],
            f"{LIDAR_TOPIC}: message 0 at .*: has 0 fields intensity",
        ),
        ([with_changes(radar(0, 0), width=4), lidar(0, 0)], "4 points of 40 bytes"),
    ],
)
def test_unusable_clouds_are_named(tmp_path: Path, messages: list[Stamped], reason: str) -> None:
    (frame,) = frames_of(open_msc_rad4r(write_native(tmp_path, messages=messages)))
    assert isinstance(frame, Unusable)
    assert re.search(rf"URBAN_A0\.bag: .*{reason}", frame.reason)


def test_points_that_are_not_finite_are_dropped(tmp_path: Path) -> None:
    cloud, sweep = radar_cloud(0), lidar_sweep(7)
    cloud["doppler"][0], cloud["x"][1] = np.nan, np.inf
    sweep["x"][1, 0], sweep["intensity"][1, 1] = -np.inf, np.nan
    messages = [radar(0, 0, cloud), lidar(0, 0, sweep)]
    (pair,) = pairs_of(open_msc_rad4r(write_native(tmp_path, messages=messages)))
    assert pair.radar.tolist() == [[30, 0, 0, 0, 12]]
    assert pair.lidar.tolist() == [[5, 0, 0, 7]]


def spoil_bag(root: Path) -> None:
    path = root / "URBAN_A0.bag"
    path.write_bytes(path.read_bytes()[:-400])


def write_calibration(text: str) -> Callable[[Path], object]:
    return lambda root: (root / "calib/T_radar_lidar.txt").write_text(text)


def retype_radar(root: Path) -> None:
    old = radar_message(STORE, T0_S, np.ones((2, 5)))._replace(topic=RADAR_TOPIC)
    write_native(root, "URBAN_B0.bag", [old, lidar(0, 0)])


def turn_back(root: Path) -> None:
    first, *others = drive()
    messages = [first, *others[:-1], restamped(others[-1], T0_S + 0.1)]
    write_native(root, "URBAN_B0.bag", messages)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: (root / "calib/T_radar_lidar.txt").unlink(),
            r"calib/T_radar_lidar\.txt: no such file; it must hold the 4x4 numbers of T_",
        ),
        (write_calibration(""), r"T_radar_lidar\.txt: has shape \(0,\); must be \(4, 4\)"),
        (write_calibration("1 0 0 0\n" * 3), r"T_radar_lidar\.txt: has shape \(3, 4\)"),
        (write_calibration("1 0 0\n1\n"), r"T_radar_lidar\.txt: '1 0 0'; must be 4 finite numbers"),
        (write_calibration("1 a 0 0\n" * 4), r"T_radar_lidar\.txt: '1 a 0 0'; must be 4"),
        (write_calibration("1 0 0 0\n" * 4), r"T_radar_lidar\.txt: is not rigid"),
        (write_calibration("1 inf nan 0\n" * 4), r"T_radar_lidar\.txt: '1 inf nan 0'; must be 4"),
        (write_calibration("1 1e300 0 0\n" * 4), r"T_radar_lidar\.txt: is not rigid"),
        (spoil_bag, r"URBAN_A0\.bag: is damaged, cut off or no ROS 1 bag"),
        (retype_radar, rf"URBAN_B0\.bag: {RADAR_TOPIC} has messages of type sensor_msgs/msg/Point"),
        (turn_back, r"URBAN_B0\.bag: .*: a stamp of .* follows one of .*; stamps must ascend"),
        (
            lambda root: write_native(root, "URBAN_B0.bag", [lidar(0, 0)]),
            f"no message on topic {RADAR_TOPIC} in URBAN_B0.bag; topics there: {LIDAR_TOPIC}",
        ),
        (
            lambda root: write_native(root, "URBAN_A0/a_0.bag"),
            r"URBAN_A0: holds bags beside URBAN_A0\.bag; keep one",
        ),
        (lambda root: write_native(root, "URBAN_A2.bag"), "URBAN_A2: is no recording, such as URB"),
        (lambda root: write_native(root, "city/a_0.bag"), "city: is no recording, such as URBAN"),
        (lambda root: (root / "URBAN_A0.bag").unlink(), r"holds no bag such as URBAN_A0\.bag or"),
    ],
)
def test_what_is_missing_or_malformed_is_named(
    tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(write_native(tmp_path))
    with pytest.raises(InputError, match=message):
        frames_of(open_msc_rad4r(tmp_path))


def test_each_of_the_41_recordings_has_a_split(tmp_path: Path) -> None:
    routes = {"URBAN": ("ABCDEFGH", "01"), "LOOP": ("ABCDE", "0"), "SMOKE": ("AB", "0")}
    routes["RURAL"] = ("ABCDEF", "012")
    for area, (letters, weathers) in routes.items():
        for name in (f"{area}_{letter}{weather}" for letter in letters for weather in weathers):
            write_native(tmp_path, f"{name}.bag", drive(1, 1))
    source = open_msc_rad4r(tmp_path)
    assert {name: len(ranges) for name, ranges in source.split.items()} == {
        "train": 18,
        "val": 5,
        "test": 18,
    }
