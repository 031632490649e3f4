"""Recordings in ROS bags, whose frames are numbered on from one recording to the next."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.build import EachFrame, Source, Unusable
from radarsparse.datasets.native import nearest_stamps
from radarsparse.errors import InputError
from radarsparse.formats.bags.recording import (
    Message,
    count_messages,
    read_messages,
    read_stamps,
)
from radarsparse.formats.prepared import DatasetCard, frame_name
from radarsparse.scan import ScanPair

Numbers = NDArray[np.int64]
Stamps = Mapping[str, NDArray[np.float64]]
Clouds = tuple[NDArray[np.float32], NDArray[np.float32]]

_log = logging.getLogger("radarsparse")


@dataclass(frozen=True)
class BagRecording(ABC):
    """One drive: each message on its first topic makes a frame with some on the second.

    Attributes:
        split: that all its frames belong to.
        bags: in order.
        topics: both topics, and the types that messages on them may have.
        gap_max_s: how far from a frame's stamp the nearest message on the second topic may be.
        T_radar_lidar: [4, 4].
    """

    split: str
    bags: tuple[Path, ...]
    topics: Mapping[str, Sequence[str]]
    gap_max_s: float
    T_radar_lidar: NDArray[np.float64]

    @abstractmethod
    def choose(self, stamps_s: Stamps, numbers: Numbers) -> tuple[Numbers, Numbers]:
        """Which messages on the second topic some frames need.

        Args:
            stamps_s: of all messages, by topic.
            numbers: [n] of messages on the first topic, ascending.

        Returns:
            [n] numbers of the first that a frame needs and [n] of that behind the last, ascending.
        """

    def decode(self, message: Message) -> Any:
        """What is kept of a message on the second topic."""
        return message

    @abstractmethod
    def make_clouds(self, message: Message, chosen: Sequence[Any]) -> Clouds:
        """The radar's and the LiDAR's cloud of a message and what is kept of those it needs.

        Raises:
            InputError: they can't be made.
        """

    def read(self, numbers: Numbers, names: Sequence[str]) -> Iterator[ScanPair | Unusable]:
        """Frames, one by one, of messages [n] on the first topic, which ascend, with n names."""
        _log.info("%s: reading the stamps of its messages", self.bags[0])
        first, second = self.topics
        stamps_s = read_stamps(self.bags, (first, second))
        _, gaps_s = nearest_stamps(stamps_s[second], stamps_s[first][numbers])
        ranges = [range(*bounds) for bounds in zip(*self.choose(stamps_s, numbers), strict=True)]
        needed = np.array(sorted(set().union(*ranges)), dtype=np.int64)
        messages = read_messages(self.bags, first, numbers)
        others = map(self.decode, read_messages(self.bags, second, needed))
        window: dict[int, Any] = {}
        for name, message, chosen, gap_s in zip(names, messages, ranges, gaps_s, strict=True):
            window = {at: window[at] if at in window else next(others) for at in chosen}
            make = partial(self._make, message, tuple(window.values()), float(gap_s))
            yield EachFrame(make).make_or_say(name)

    def _make(self, message: Message, chosen: Sequence[Any], gap_s: float, name: str) -> ScanPair:
        if gap_s > self.gap_max_s:
            raise InputError(
                f"{message.source}: the nearest message on {list(self.topics)[1]} is {gap_s:.3f} s"
                f" away; at most {self.gap_max_s} s are allowed"
            )
        return ScanPair(name, *self.make_clouds(message, chosen), self.T_radar_lidar, gap_s)


def source_of_recordings(card: DatasetCard, recordings: Sequence[BagRecording]) -> Source:
    """The frames of some recordings, one after the other.

    Args:
        card: of the data set.
        recordings: at least one.

    Raises:
        InputError: a topic of one is missing or has messages of another type.
    """
    ends = [0]
    split: dict[str, list[tuple[int, int]]] = {}
    for recording in recordings:
        count, _ = (count_messages(recording.bags, *topic) for topic in recording.topics.items())
        split.setdefault(recording.split, []).append((ends[-1], ends[-1] + count - 1))
        ends.append(ends[-1] + count)
    names = tuple(map(frame_name, range(ends[-1])))
    return Source(card, split, names, partial(_read_frames, recordings, ends))


def _read_frames(
    recordings: Sequence[BagRecording], ends: Sequence[int], names: Sequence[str]
) -> Iterator[ScanPair | Unusable]:
    """Frames of some of the names, which ascend."""
    asked = np.array([int(name) for name in names], dtype=np.int64)
    cuts = pairwise(np.searchsorted(asked, ends))
    for recording, first, (begin, end) in zip(recordings, ends[:-1], cuts, strict=True):
        if begin < end:
            yield from recording.read(asked[begin:end] - first, names[begin:end])
