"""What frames of bags are made of, on tiny bags whose messages are told apart by their seconds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from radarsparse.datasets.bag_source import BagRecording, Clouds, Numbers, Stamps
from radarsparse.datasets.build import Unusable
from radarsparse.datasets.ntu4dradlm import open_ntu4dradlm
from radarsparse.errors import InputError
from radarsparse.formats.bags.messages import Message
from radarsparse.scan import ScanPair
from tests.formats.bags.bag_files import (
    LIDAR,
    RADAR,
    T0_S,
    Drive,
    Stamped,
    livox_message,
    radar_message,
    write_bag,
)

DRIVE = Drive()
# The first message that each frame needs and the one behind the last.
RANGES = ((0, 3), (0, 3), (2, 4), (4, 4), (7, 9), (8, 10))
FRAMES_S = (0.5, 1.25, 2.5, 3.0, 4.25, 5.5)
GAPS_S = (0.5, 0.25, 0.5, 0.0, 0.25, 0.5)
MADE = [
    (number, list(range(*ends)), gap_s)
    for number, (ends, gap_s) in enumerate(zip(RANGES, GAPS_S, strict=True))
]


def number_of(message: Message) -> int:
    return int(message.stamp_s - T0_S)


@dataclass(frozen=True)
class NumberedRecording(BagRecording):
    """Frames whose Doppler and intensities number the messages that they are made of.

    Attributes:
        decoded: numbers of the messages on the second topic, as they came.
    """

    decoded: list[int] = field(default_factory=list)

    def choose(self, stamps_s: Stamps, numbers: Numbers) -> tuple[Numbers, Numbers]:
        first, end = np.array(RANGES)[numbers].T
        return first, end

    def decode(self, message: Message) -> int:
        self.decoded.append(number_of(message))
        return self.decoded[-1]

    def make_clouds(self, message: Message, chosen: Sequence[int]) -> Clouds:
        radar, lidar = np.ones((1, 5), np.float32), np.ones((len(chosen), 4), np.float32)
        radar[:, 3], lidar[:, 3] = number_of(message), chosen
        return radar, lidar


def clouds(topic: str, stamps_s: Sequence[float]) -> list[Stamped]:
    points = np.ones((1, 5))
    sent = [radar_message(DRIVE.store, T0_S + stamp_s, points) for stamp_s in stamps_s]
    return [message._replace(topic=topic) for message in sent]


def record(
    folder: Path, late: Sequence[str] = (RADAR, LIDAR), frames_s: Sequence[float] = FRAMES_S
) -> NumberedRecording:
    """Ten messages on the second topic, a second apart; those of `late` from 4 s on in bag 1."""
    bags, kind = (folder / "x_0.bag", folder / "x_1.bag"), "sensor_msgs/msg/PointCloud"
    messages = [*clouds(RADAR, frames_s), *clouds(LIDAR, range(10))]
    messages.sort(key=lambda message: message.stamp_s)
    parts: tuple[list[Stamped], list[Stamped]] = [], []
    for message in messages:
        parts[message.topic in late and message.stamp_s >= T0_S + 4].append(message)
    for path, part in zip(bags, parts, strict=True):
        write_bag(path, part, DRIVE.store)
    return NumberedRecording("train", bags, {RADAR: (kind,), LIDAR: (kind,)}, 0.5, np.eye(4))


def read(
    recording: BagRecording, numbers: Sequence[int] = range(6)
) -> Iterator[ScanPair | Unusable]:
    return recording.read(np.array(numbers), [f"{number:06d}" for number in numbers])


def made_of(frame: ScanPair | Unusable) -> tuple[int, list[int], float | None]:
    assert isinstance(frame, ScanPair), frame
    return int(frame.radar[0, 3]), frame.lidar[:, 3].astype(int).tolist(), frame.time_gap_s


def test_frames_get_the_messages_that_they_need(tmp_path: Path) -> None:
    frames = list(read(record(tmp_path)))
    assert [frame.name for frame in frames] == [f"{number:06d}" for number in range(6)]
    assert [made_of(frame) for frame in frames] == MADE


def test_messages_are_decoded_once_and_not_before_they_are_needed(tmp_path: Path) -> None:
    recording = record(tmp_path)
    counts = [len(recording.decoded) for _ in read(recording)]
    assert recording.decoded == [0, 1, 2, 3, 7, 8, 9]
    assert counts == [3, 3, 4, 4, 6, 7]


def test_frames_that_are_not_asked_for_need_nothing(tmp_path: Path) -> None:
    recording = record(tmp_path)
    assert [made_of(frame) for frame in read(recording, (2, 5))] == [MADE[2], MADE[5]]
    assert recording.decoded == [2, 3, 8, 9]


@pytest.mark.parametrize("topic", [RADAR, LIDAR])
def test_a_bag_is_left_alone_until_its_messages_are_needed(tmp_path: Path, topic: str) -> None:
    recording = record(tmp_path, (topic,))
    frames = read(recording)
    assert [made_of(frame) for frame in islice(frames, 4)] == MADE[:4]
    recording.bags[1].unlink()
    with pytest.raises(InputError, match=r"x_1\.bag: no such file"):
        next(frames)


def test_the_widest_gap_is_allowed_and_a_wider_one_costs_that_frame_alone(tmp_path: Path) -> None:
    first, *others = read(record(tmp_path, frames_s=(-0.75, *FRAMES_S[1:])))
    assert isinstance(first, Unusable)
    assert f"nearest message on {LIDAR} is 0.750 s away; at most 0.5 s are allowed" in first.reason
    assert [made_of(frame) for frame in others] == MADE[1:]


def test_a_window_of_time_includes_its_ends(tmp_path: Path) -> None:
    """Around 1 s: from the last point of a sweep as long as can be to the first of another."""
    # Points of each sweep, 0.1 s apart; NTU4DRadLM takes 0.25 s before and behind.
    sweeps = {0.55: [1, 2, 3], 1.0: [4, 5, 6], 1.25: [7, 8, 9]}
    messages = clouds(RADAR, [1.0])
    for stamp_s, intensities in sweeps.items():
        points = np.array([[5, 1, 1, intensity] for intensity in intensities])
        offsets_s = np.array([0.0, 0.1, 0.2])
        args = (DRIVE.store, DRIVE.version, T0_S + stamp_s, points, offsets_s)
        messages.append(livox_message(*args))
    messages.sort(key=lambda message: message.stamp_s)
    DRIVE.write_one(tmp_path / "cp", messages)
    source = open_ntu4dradlm(tmp_path)
    (frame,) = source.read(source.names)
    assert made_of(frame)[1] == [3, 4, 5, 6, 7]
