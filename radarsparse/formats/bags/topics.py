"""The topic of a bag that holds the radar's clouds."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from radarsparse.errors import InputError
from radarsparse.formats.bags.decoding import POINT_CLOUD, POINT_CLOUD2
from radarsparse.formats.bags.messages import Message, read_topics
from radarsparse.formats.bags.opening import Bag, opened
from radarsparse.formats.columns import ALIASES, find_radar_columns, plain_name

_CLOUDS = (POINT_CLOUD, POINT_CLOUD2)


@dataclass(frozen=True)
class RadarTopic:
    """A topic of a bag that holds radar clouds.

    Attributes:
        path: of the bag.
        columns: what the messages call `RADAR_COLUMNS`.
        count: how many messages it has.
    """

    path: Path
    name: str
    columns: tuple[str, ...]
    count: int


def open_radar_topic(
    path: Path, name: str | None = None, columns: Sequence[str] | None = None
) -> RadarTopic:
    """Find the radar's topic in a bag and what it calls its columns.

    Args:
        path: of the bag.
        name: of the topic; found by its columns where only one can be meant.
        columns: what the messages call `RADAR_COLUMNS`; found by usual names.

    Raises:
        InputError: the bag is missing or damaged, or the topic is missing, unclear, empty, of
            another type or without a column.
    """
    with opened(path) as bag:
        clouds = {each.topic for each in bag.connections if each.msgtype in _CLOUDS}
        names, found = [name] if name is not None else sorted(clouds), []
        if len(names) == 1:  # its own error says what it lacks
            return _open_topic(bag, names[0], columns)
        for each in names:
            with suppress(InputError):
                found.append(_open_topic(bag, each, columns))
        if len(found) == 1:
            return found[0]
        what = "several topics hold" if found else "no topic holds"
        raise InputError(
            f"{path}: {what} radar clouds, name one by --topic and its columns by --fields;"
            f" {_describe(bag, [topic.name for topic in found])}"
        )


def read_radar_topic(topic: RadarTopic) -> Iterator[Message]:
    """All messages of a topic, one in memory at a time.

    Raises:
        InputError: the bag is damaged.
    """
    with opened(topic.path) as bag:
        yield from read_topics(bag, (topic.name,), topic.columns)


def _open_topic(bag: Bag, name: str, columns: Sequence[str] | None) -> RadarTopic:
    connections, encoding = bag.find(name), bag.kind.encoding
    count = sum(connection.msgcount for connection in connections)
    if count == 0:
        raise InputError(f"{bag.path}: no message on topic {name}; {_describe(bag)}")
    encodings = {getattr(each.ext, "serialization_format", encoding) for each in connections}
    for what, found, usable in (
        ("of type", {each.msgtype for each in connections}, _CLOUDS),
        ("encoded as", encodings, (encoding,)),
    ):
        if len(found) > 1 or not found <= {*usable}:
            raise InputError(
                f"{bag.path}: {name} has messages {what} {' and '.join(sorted(found))}; must be"
                f" {' or '.join(usable)}"
            )
    # The first message that holds points tells the columns, and must have those that are asked for.
    for message in read_topics(bag, (name,)):
        if len(message.fields["data" if "data" in message.fields else "points"]):
            if columns is not None:
                message.take(columns)
            return RadarTopic(bag.path, name, tuple(columns or _find_columns(message)), count)
    raise InputError(f"{bag.path}: {name}: none of {count} messages holds a point")


def _describe(bag: Bag, names: Sequence[str] = ()) -> str:
    types = {each.topic: each.msgtype for each in bag.connections}
    there = ", ".join(f"{name} ({types[name]})" for name in names or sorted(types))
    return f"topics there: {there or 'none'}"


def _find_columns(message: Message) -> tuple[str, ...]:
    """The columns by usual names; where several are there, values help to choose."""
    usual = {*"xyz", *chain(*ALIASES.values())}
    known = [name for name in dict.fromkeys(message.names) if plain_name(name) in usual]
    table = dict(zip(known, message.take(known).T, strict=True))
    return find_radar_columns(message.names, f"{message.path}: {message.topic}", table)
