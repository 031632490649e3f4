"""Recordings of one ROS 1 bag or more: counts, stamps and messages of their topics."""

import re
from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.formats.bags.messages import Message, read_topics
from radarsparse.formats.bags.opening import opened
from radarsparse.formats.content import listed


def list_bags(folder: Path) -> tuple[Path, ...]:
    """The bags of one recording, in the order of the number before `.bag`.

    Args:
        folder: holds the bags of one recording and of no other.

    Raises:
        InputError: a bag has no number, or two have the same.
    """
    bags: dict[int, Path] = {}
    for path in sorted(folder.glob("*.bag")):
        number = re.search(r"\d+$", path.stem)
        if number is None:
            raise InputError(f"{path}: has no number; a name such as x_0.bag is expected")
        other = bags.setdefault(int(number[0]), path)
        if other != path:
            raise InputError(f"{path}: has the number {int(number[0])} of {other.name}")
    return tuple(bags[number] for number in sorted(bags))


def count_messages(bags: Sequence[Path], topic: str, types: Sequence[str]) -> int:
    """How many messages a topic has, by the indices of the bags.

    Args:
        bags: of one recording; some may lack the topic.
        topic: such as `/livox/lidar`.
        types: the types that its messages may have, such as `sensor_msgs/msg/PointCloud`.

    Raises:
        InputError: a bag can't be read, or the topic is missing, empty or of another type.
    """
    count, topics = 0, set()
    for path in bags:
        with opened(path) as bag:
            topics.update(connection.topic for connection in bag.connections)
            for connection in bag.find(topic):
                if connection.msgtype not in types:
                    found = f"{topic} has messages of type {connection.msgtype}"
                    raise InputError(f"{path}: {found}; must be {' or '.join(types)}")
                count += connection.msgcount
    if count == 0:
        names = ", ".join(path.name for path in bags)
        there = f"topics there: {listed(sorted(topics))}"
        raise InputError(f"{bags[0].parent}: no message on topic {topic} in {names}; {there}")
    return count


def read_stamps(bags: Sequence[Path], topics: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Stamps of all messages of some topics, in one pass that keeps no message.

    Args:
        bags: of one recording, in order.
        topics: the topics; messages of all begin with a header.

    Returns:
        By topic, [n] seconds, ascending; two may be equal.

    Raises:
        InputError: a bag is damaged, or a stamp lies before the one of the message in front.
    """
    stamps_s = {topic: array("d") for topic in topics}
    for path in bags:
        with opened(path) as bag:
            for message in read_topics(bag, topics):
                seen_s, stamp_s = stamps_s[message.topic], message.stamp_s
                if seen_s and stamp_s < seen_s[-1]:
                    found = f"a stamp of {stamp_s:.6f} s follows one of {seen_s[-1]:.6f} s"
                    bound = "stamps must ascend, also from bag to bag"
                    raise InputError(f"{path}: {message.topic}: {found}; {bound}")
                seen_s.append(stamp_s)
    return {topic: np.array(seen_s) for topic, seen_s in stamps_s.items()}


def read_messages(
    bags: Sequence[Path], topic: str, numbers: NDArray[np.int64]
) -> Iterator[Message]:
    """Some messages of a topic, one by one.

    Args:
        bags: of one recording, in order.
        topic: whose messages begin with a header.
        numbers: [n] ascending, which of the topic's messages, counted over all bags.

    Raises:
        InputError: a bag is damaged.
    """
    first = 0
    for path in bags:
        with opened(path) as bag:
            end = first + sum(each.msgcount for each in bag.find(topic))
            here = set((numbers[(numbers >= first) & (numbers < end)] - first).tolist())
            messages = islice(read_topics(bag, (topic,)), max(here, default=-1) + 1)
            yield from (message for message in messages if message.number in here)
            first = end
