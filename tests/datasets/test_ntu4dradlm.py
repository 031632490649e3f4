"""NTU4DRadLM, on tiny bags of a car that drives past known points."""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radarsparse.datasets.build import PreparedPlan, Source, Unusable, build_prepared
from radarsparse.datasets.ntu4dradlm import open_ntu4dradlm
from radarsparse.errors import InputError
from radarsparse.formats.prepared import read_frame
from radarsparse.scan import ScanPair
from tests.formats.bags.bag_files import (
    LIDAR,
    POINTS,
    RADAR,
    T0_S,
    Drive,
    LivoxVersion,
    Stamped,
    write_bag,
)

# apps/preprocessing_nodelet.cpp of zhuge2333/4DRadarSLAM, its matrices multiplied.
DOCUMENTED_R = "0.998742 -0.021546 0.045280 0.020570 0.999549 0.021905 -0.045731 -0.020946 0.998734"
DOCUMENTED_T = "0.296002 -0.129887 -0.004543"
CENTIMETRE = 0.01

Spoil = Callable[[Path], object]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording `garden`, of two bags."""
    Drive().write((root := tmp_path_factory.mktemp("ntu")) / "garden")
    return root


def frames_of(source: Source) -> list[ScanPair | Unusable]:
    return list(source.read(source.names))


def pairs_of(source: Source) -> list[ScanPair]:
    frames = frames_of(source)
    assert [frame for frame in frames if isinstance(frame, Unusable)] == []
    return [frame for frame in frames if isinstance(frame, ScanPair)]


def reasons_of(source: Source) -> dict[str, str]:
    return {frame.name: frame.reason for frame in frames_of(source) if isinstance(frame, Unusable)}


def worst_error_m(drive: Drive, pairs: Sequence[ScanPair]) -> float:
    """How far off the worst LiDAR point of frames of the first recording is."""
    return max(drive.lidar_error_m(int(pair.name), pair.lidar) for pair in pairs)


def test_frames_of_a_moving_car_are_exact_to_the_centimetre(root: Path) -> None:
    drive = Drive()
    source = open_ntu4dradlm(root)
    pairs = pairs_of(source)
    assert [pair.name for pair in pairs] == [f"{number:06d}" for number in range(20)]
    assert worst_error_m(drive, pairs) < CENTIMETRE
    radar = np.stack([pair.radar for pair in pairs])
    np.testing.assert_array_equal(radar, [drive.radar_points(number) for number in range(20)])


def test_the_window_is_centred_on_the_radar_stamp(root: Path) -> None:
    drive = Drive()
    offsets_s = drive.point_s * np.arange(POINTS)
    times_s = (drive.lidar_stamps_s()[:, None] + offsets_s).ravel()
    stamps_s = drive.radar_stamps_s()
    expected = [np.count_nonzero(np.abs(times_s - stamp_s) < 0.25) for stamp_s in stamps_s]
    found = [len(pair.lidar) for pair in pairs_of(open_ntu4dradlm(root))]
    assert found == expected
    assert found[10] == pytest.approx(5 * POINTS, abs=1)


def test_without_the_poses_the_points_would_be_metres_off(root: Path, tmp_path: Path) -> None:
    drive = Drive()
    drive.write(tmp_path / "garden")
    standing = "".join(f"{T0_S + second} 0 0 0 0 0 0 1\n" for second in np.arange(-1, 5, 0.5))
    (tmp_path / "garden/gt_odom.txt").write_text(standing)
    pairs = pairs_of(open_ntu4dradlm(tmp_path))
    assert worst_error_m(drive, pairs[10:11]) > 1.0


@pytest.mark.parametrize(
    "version",
    [
        LivoxVersion(package="livox_ros_driver2"),
        LivoxVersion(timestep=True),
        LivoxVersion(lacks=("tag",)),
        LivoxVersion(timestep=True, lacks=("line", "tag")),
    ],
)
def test_other_versions_of_the_driver_are_read(tmp_path: Path, version: LivoxVersion) -> None:
    drive = Drive(version=version, radars=6, sweeps=8)
    drive.write(tmp_path / "nyl")
    pairs = pairs_of(open_ntu4dradlm(tmp_path))
    assert len(pairs) == 6
    assert worst_error_m(drive, pairs) < CENTIMETRE


def test_without_offsets_a_sweep_is_of_one_moment(tmp_path: Path) -> None:
    drive = Drive(LivoxVersion(lacks=("offset_time", "tag")), radars=6, sweeps=8, point_s=0.0)
    drive.write(tmp_path / "nyl")
    pairs = pairs_of(open_ntu4dradlm(tmp_path))
    assert worst_error_m(drive, pairs) < CENTIMETRE
    assert [len(pair.lidar) % POINTS for pair in pairs] == [0] * 6


def assert_same(one: ScanPair | Unusable, other: ScanPair | Unusable) -> None:
    assert isinstance(one, ScanPair)
    assert isinstance(other, ScanPair)
    assert one.name == other.name
    np.testing.assert_array_equal(one.radar, other.radar)
    np.testing.assert_array_equal(one.lidar, other.lidar)


@pytest.mark.parametrize("asked", [slice(7, None), slice(None, None, 9), slice(19, 20)])
def test_some_frames_are_those_of_all(root: Path, asked: slice) -> None:
    source = open_ntu4dradlm(root)
    whole, part = frames_of(source)[asked], list(source.read(source.names[asked]))
    assert len(whole) == len(part) > 0
    for one, other in zip(whole, part, strict=True):
        assert_same(one, other)


def test_a_resumed_build_ends_in_the_same_frames(root: Path, tmp_path: Path) -> None:
    source = open_ntu4dradlm(root)
    build_prepared(PreparedPlan(tmp_path / "whole", source))

    def read_few(names: Sequence[str]) -> Iterator[ScanPair | Unusable]:
        yield from list(source.read(names))[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_prepared(PreparedPlan(tmp_path / "parts", replace(source, read=read_few)))
    build_prepared(PreparedPlan(tmp_path / "parts", open_ntu4dradlm(root)))
    for name in source.names:
        one, other = (tmp_path / f"{part}/frames/{name}.npz" for part in ("whole", "parts"))
        assert_same(read_frame(one), read_frame(other))


def test_every_recording_is_in_one_split(tmp_path: Path) -> None:
    for place, radars in (("loop3", 1), ("cp", 2), ("nyl", 3), ("garden", 4)):
        Drive(sweeps=6, radars=radars).write(tmp_path / place)
    (tmp_path / "calib").mkdir()
    source = open_ntu4dradlm(tmp_path)
    assert source.split == {"train": [(0, 3), (4, 6)], "val": [(7, 8)], "test": [(9, 9)]}
    pairs = pairs_of(source)
    assert [pair.name for pair in pairs] == list(source.names)
    numbers = [0, 1, 2, 3, 0, 1, 2, 0, 1, 0]
    for number, pair in zip(numbers, pairs, strict=True):
        np.testing.assert_array_equal(pair.radar, Drive().radar_points(number))


def test_the_radar_topic_can_be_chosen(tmp_path: Path) -> None:
    drive = Drive(sweeps=6, radars=2)
    renamed = [
        each._replace(topic="/radar_pcl") if each.topic == RADAR else each
        for each in drive.messages()
    ]
    drive.write_one(tmp_path / "cp", renamed)
    source = open_ntu4dradlm(tmp_path, "/radar_pcl")
    assert len(pairs_of(source)) == 2
    assert source.card.provenance["radar_topic"] == "/radar_pcl"
    message = "cp: no message on topic /radar_enhanced_pcl .* there: /livox/lidar, /radar_pcl"
    with pytest.raises(InputError, match=message):
        open_ntu4dradlm(tmp_path)


@pytest.mark.parametrize(
    "channels",
    [("doppler", "RANGE", "power", "alpha", "beta"), ("a", "b", "c", "d", "e"), [""] * 5],
)
def test_channels_go_by_name_in_any_case_or_by_order(
    tmp_path: Path, channels: Sequence[str]
) -> None:
    drive = Drive(sweeps=6, radars=1, channels=channels)
    drive.write(tmp_path / "cp")
    (pair,) = pairs_of(open_ntu4dradlm(tmp_path))
    np.testing.assert_array_equal(pair.radar, drive.radar_points(0))


FULL, NOTHING = np.ones((4, 5)), np.full((4, 5), np.nan)
SMALL = Drive(sweeps=6, radars=2)
NO_RETURN = "lidar around it: no usable point"


@pytest.mark.parametrize(
    ("messages", "names", "reason"),
    [
        (
            SMALL.with_radar(1, FULL[:0]),
            ["000001"],
            f"{RADAR}: message 1 at .* no usable point of 0",
        ),
        (
            SMALL.with_radar(1, NOTHING),
            ["000001"],
            f"{RADAR}: message 1 at .* no usable point of 4",
        ),
        (SMALL.with_radar(1, FULL, ()), ["000001"], "no channel doppler; channels there: none"),
        (SMALL.with_radar(1, FULL, ("Doppler", "x")), ["000001"], "no channel power"),
        (SMALL.with_surplus_values(1), ["000001"], "8 values of doppler for 3 points"),
        (SMALL.with_lidar(np.zeros((9, 4))), ["000000", "000001"], NO_RETURN),
        (SMALL.with_lidar(FULL[:, :4], 0.3), ["000000", "000001"], NO_RETURN),
        (SMALL.with_lidar(FULL[:0, :4]), ["000000", "000001"], NO_RETURN),
    ],
)
def test_frames_without_points_are_unusable(
    tmp_path: Path, messages: list[Stamped], names: list[str], reason: str
) -> None:
    SMALL.write_one(tmp_path / "cp", messages)
    reasons = reasons_of(open_ntu4dradlm(tmp_path))
    assert list(reasons) == names
    assert all(re.search(rf"cp_0\.bag: .*{reason}", each) for each in reasons.values())


def test_frames_far_from_any_sweep_are_unusable(tmp_path: Path) -> None:
    drive = Drive(sweeps=8, radars=9)
    kept_s = (T0_S, drive.lidar_stamps_s()[-1])
    messages = [each for each in drive.messages() if each.topic == RADAR or each.stamp_s in kept_s]
    drive.write_one(tmp_path / "cp", messages)
    reasons = reasons_of(open_ntu4dradlm(tmp_path))
    stamps_s = drive.radar_stamps_s() - T0_S
    far = [number for number, stamp_s in enumerate(stamps_s) if 0.1 < stamp_s < 0.6]
    assert list(reasons) == [f"{number:06d}" for number in far]
    assert "nearest message on /livox/lidar is 0.176 s away; at most 0.1 s" in reasons["000002"]


def test_frames_before_the_first_pose_are_unusable(tmp_path: Path) -> None:
    drive = Drive(sweeps=12, radars=12, pose_span_s=(0.4, 2.0))
    drive.write(tmp_path / "loop3")
    source = open_ntu4dradlm(tmp_path)
    reasons = reasons_of(source)
    assert list(reasons) == [f"{number:06d}" for number in range(5)]
    assert "gt_odom.txt has no poses around it; it reaches from 1650000000.400" in reasons["000004"]
    pairs = [frame for frame in frames_of(source) if isinstance(frame, ScanPair)]
    assert len(pairs) == 7
    assert worst_error_m(drive, pairs) < CENTIMETRE


def test_a_hole_in_the_poses_is_not_bridged(tmp_path: Path) -> None:
    drive = Drive()
    path = drive.write(tmp_path / "cp") / "gt_odom.txt"
    lines = path.read_text().splitlines()
    kept = [line for line in lines[1:] if not 0.55 < float(line.split()[0]) - T0_S < 1.25]
    path.write_text("\n".join(kept))
    holes = [T0_S + 0.5, T0_S + 1.3]
    expected = [holes[0] < stamp_s < holes[1] for stamp_s in drive.radar_stamps_s()]
    frames = frames_of(open_ntu4dradlm(tmp_path))
    assert [isinstance(frame, Unusable) for frame in frames] == expected
    assert {int(frame.name) for frame in frames} == set(range(20))


def test_points_that_are_not_finite_are_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    radar, lidar = FULL.copy(), np.array([[5.0, 0, 0, 9], [np.nan, 0, 0, 9], [np.inf, 1, 0, 9]])
    radar[2, 1], radar[3, 4] = np.nan, np.inf
    messages = [each for each in SMALL.with_lidar(lidar) if each.topic == LIDAR]
    messages += [each for each in SMALL.with_radar(1, radar) if each.topic == RADAR]
    SMALL.write_one(tmp_path / "cp", messages)
    pairs = pairs_of(open_ntu4dradlm(tmp_path))
    assert pairs[1].radar.tolist() == FULL[:2].tolist()
    assert [np.isfinite(pair.lidar).all() and len(pair.lidar) > 2 for pair in pairs] == [True] * 2
    assert "dropped 2 of 4 points: NaN or infinity" in caplog.text


def write_calibration(root: Path, text: str) -> Path:
    (root / "calib").mkdir(exist_ok=True)
    (root / "calib/calib_radar_to_livox.txt").write_text(text)
    return root


@pytest.fixture
def small_root(tmp_path: Path) -> Path:
    Drive(sweeps=6, radars=1).write(tmp_path / "cp")
    return tmp_path


def test_without_a_file_the_documented_calibration_serves(
    small_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "radarsparse")
    (pair,) = pairs_of(open_ntu4dradlm(small_root))
    T_lidar_radar = np.linalg.inv(pair.T_radar_lidar)
    expected = np.array(DOCUMENTED_R.split(), dtype=float).reshape(3, 3)
    np.testing.assert_allclose(T_lidar_radar[:3, :3], expected, atol=1e-6)
    np.testing.assert_allclose(
        T_lidar_radar[:3, 3], np.array(DOCUMENTED_T.split(), float), atol=1e-6
    )
    assert "calib_radar_to_livox.txt: no such file; the documented calibration" in caplog.text


def test_the_calibration_file_is_used(small_root: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = f"# p_l = R p_r + T\nR: {DOCUMENTED_R}\nT: 0.25 -0.1 0.0\n"
    (pair,) = pairs_of(open_ntu4dradlm(write_calibration(small_root, text)))
    np.testing.assert_allclose(np.linalg.inv(pair.T_radar_lidar)[:3, 3], [0.25, -0.1, 0], atol=1e-9)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("R: 1 0 0 0 1 0 0 0 1\nT: 0.296 -0.13 -0.004\n", r"by 3\.\d deg and 0\.00 m"),
        (f"T: 0.296 -0.13 0.25\nR: {DOCUMENTED_R}\n", r"by 0\.0 deg and 0\.25 m"),
    ],
)
def test_a_calibration_unlike_the_documented_one_is_reported(
    small_root: Path, caplog: pytest.LogCaptureFixture, text: str, message: str
) -> None:
    (pair,) = pairs_of(open_ntu4dradlm(write_calibration(small_root, text)))
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert re.search(f"differs from the documented calibration {message}", record.getMessage())
    assert np.linalg.inv(pair.T_radar_lidar)[0, 3] == pytest.approx(0.296)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "R: of p_lidar = R p_radar [+] T: ''; must be 9 finite numbers"),
        ("R: 1 0 0\n0 1 0\n0 0 1\nT: 0 0 0\n", "R: .*: '1 0 0'; must be 9 finite numbers"),
        (f"R: {DOCUMENTED_R}\n", "T: .*: ''; must be 3 finite numbers"),
        (f"R: {DOCUMENTED_R}\nT: a b c\n", "T: .*: 'a b c'; must be 3 finite numbers"),
        ("R: 1 0 0 0 1 0 0 0 2\nT: 0 0 0\n", "is not rigid"),
        ("R: 1 0 0 0 1 0 0 0 nan\nT: 0 0 0\n", "R: .* 0 nan'; must be 9"),
    ],
)
def test_a_malformed_calibration_is_named(small_root: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"calib_radar_to_livox\.txt: {message}"):
        open_ntu4dradlm(write_calibration(small_root, text))


def test_the_card_tells_sources_apart(small_root: Path, root: Path) -> None:
    card = open_ntu4dradlm(small_root).card
    assert (card.radar_rate_hz, card.lidar_rate_hz) == (15.0, 10.0)
    assert card.field_of_view_deg == (113.0, 45.0)
    assert "2309.00962" in card.citation
    assert card.lidar_rings_deg == ()
    assert card.provenance["lidar_window_ms"] == 500
    assert open_ntu4dradlm(small_root).card == card
    assert open_ntu4dradlm(root).card != card
    text = f"R: {DOCUMENTED_R}\nT: {DOCUMENTED_T}\n"
    assert open_ntu4dradlm(write_calibration(small_root, text)).card != card


def spoil_bag(folder: Path) -> None:
    path = folder / "cp_2022-02-03_10.bag"
    path.write_bytes(path.read_bytes()[:-400])


def swap_bags(folder: Path) -> None:
    names = [f"cp_2022-02-03_{number}.bag" for number in (9, 10, 11)]
    (folder / names[0]).rename(folder / names[2])


def add_unknown(folder: Path) -> None:
    Drive(sweeps=2, radars=1).write(folder.parent / "campus")


def retype_lidar(folder: Path) -> None:
    drive = Drive(sweeps=2, radars=2)
    messages = [
        each._replace(topic=LIDAR) if each.topic == RADAR else each._replace(topic="/other")
        for each in drive.messages()
    ]
    write_bag(folder / "cp_11.bag", messages, drive.store)


def move_poses(folder: Path) -> None:
    Drive(pose_span_s=(100.0, 101.0)).write_poses(folder / "gt_odom.txt")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_bag, r"cp_2022-02-03_10\.bag: is damaged, cut off or no ROS 1 bag"),
        (swap_bags, r"cp_2022-02-03_11\.bag: .*: a stamp of .* s follows one of .*must ascend"),
        (add_unknown, "campus: is an unknown recording; known ones: garden, nyl, .*, cp, loop3"),
        (retype_lidar, r"cp_11\.bag: /livox/lidar has messages of type sensor_msgs/msg/PointCloud"),
        (lambda folder: (folder / "gt_odom.txt").unlink(), r"gt_odom\.txt: no such file"),
        (
            lambda folder: (folder / "gt_odom.txt").write_text("1 2\n"),
            r"gt_odom\.txt, line 1: stamp .* qw: '1 2'; must",
        ),
        (move_poses, r"gt_odom\.txt: has poses from 1650000100\.000 to .*; the bags have /radar"),
    ],
)
def test_bad_recordings_are_named(tmp_path: Path, spoil: Spoil, message: str) -> None:
    spoil(Drive(sweeps=6, radars=6).write(tmp_path / "cp"))
    with pytest.raises(InputError, match=message):
        frames_of(open_ntu4dradlm(tmp_path))


def test_a_folder_without_recordings_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        open_ntu4dradlm(tmp_path / "nowhere")
    (tmp_path / "garden").mkdir()
    with pytest.raises(InputError, match="holds no recording with bags; known ones: garden, nyl"):
        open_ntu4dradlm(tmp_path)
