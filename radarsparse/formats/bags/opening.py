"""Bags of every kind, open."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from radarsparse.config import read_yaml
from radarsparse.errors import InputError
from radarsparse.formats.bags.kinds import ROS1, ROS2, BagKind, find_kind
from radarsparse.formats.bags.mcap import BagError, McapReader, Stored, unpack
from radarsparse.formats.clouds import BAG_CARD

if TYPE_CHECKING:
    from rosbags import rosbag1
    from rosbags.interfaces import Connection


class Bag(NamedTuple):
    """An open bag.

    Attributes:
        messages: gives those of some connections, at least one.
    """

    path: Path
    kind: BagKind
    connections: Sequence["Connection"]
    messages: Callable[[Sequence["Connection"]], Iterator[Stored]]

    def find(self, topic: str) -> list["Connection"]:
        """The connections of a topic."""
        return [each for each in self.connections if each.topic == topic]


@contextmanager
def opened(path: Path) -> Iterator[Bag]:
    """A bag, open.

    Raises:
        InputError: rosbags isn't installed, there is no such bag, or it makes the block raise
            anything else: damaged bags make readers raise nearly everything.
    """
    try:
        import rosbags  # noqa: F401, PLC0415 (an extra)
    except ImportError as error:
        raise InputError(
            "the package rosbags is missing: pip install 'radarsparse[ros]'"
        ) from error
    kind = find_kind(path)
    try:
        with ExitStack() as stack:
            yield _open(path, kind, stack)
    except InputError:
        raise
    except Exception as error:
        raise InputError(_explain(error, path, kind)) from error


def _explain(error: Exception, path: Path, kind: BagKind) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or path}: can't be read: {error.strerror}"
    if isinstance(error, FileNotFoundError):
        return f"{path}: lacks {BAG_CARD} or a file that it names"
    if "not indexed" in str(error):
        return f"{path}: has no index; `rosbag reindex` makes one"
    is_ours, is_unknown = isinstance(error, BagError), "not supported" in str(error)
    if is_unknown:
        reason = error if is_ours else "its version, storage or compression is not supported"
        return f"{path}: can't be read: {reason}"
    return f"{path}: is damaged, cut off or no {kind.name}" + (f" ({error})" if is_ours else "")


def _open(path: Path, kind: BagKind, stack: ExitStack) -> Bag:
    from rosbags import rosbag1, rosbag2  # noqa: PLC0415 (an extra)

    if kind is ROS1:
        reader = stack.enter_context(rosbag1.Reader(path))
        _bound(reader)
    elif path.suffix.lower() == ROS2.suffix:
        reader = McapReader(path, stack.enter_context(path.open("rb")))
    else:
        card = read_yaml(path / BAG_CARD) if path.is_dir() else {}
        told = card.get("rosbag2_bagfile_information", {})
        names, mode = told.get("relative_file_paths", ()), told.get("compression_mode")
        if mode and str(mode).lower() != "none":
            raise BagError(f"compression_mode {mode} of its card is not supported; NONE is")
        for name in map(str, names):
            if not (path / PurePath(name).name).is_file():
                raise InputError(f"{path}: lacks {name[:80]}, which its {BAG_CARD} names")
        if names and all(str(name).endswith(ROS2.suffix) for name in names):
            return _open_parts([path / PurePath(name).name for name in names], path, kind, stack)
        reader = stack.enter_context(rosbag2.Reader(path))
    return Bag(path, kind, reader.connections, reader.messages)


def _bound(reader: "rosbag1.Reader") -> None:
    """Let a reader of rosbags not unpack chunks without a bound."""
    from rosbags.rosbag1.reader import decompressors  # noqa: PLC0415 (an extra)

    names = {decompress: name for name, decompress in decompressors.items()}
    for place, chunk in reader.chunks.items():
        bounded = partial(unpack, names[chunk.decompressor])
        reader.chunks[place] = chunk._replace(decompressor=bounded)


def _open_parts(files: Sequence[Path], path: Path, kind: BagKind, stack: ExitStack) -> Bag:
    """The files of a folder as one bag, one after the other."""
    parts = [_open(file, kind, stack) for file in files]

    def messages(connections: Sequence["Connection"]) -> Iterator[Stored]:
        for part in parts:
            yield from part.messages([each for each in connections if each in part.connections])

    return Bag(path, kind, list(chain(*(part.connections for part in parts))), messages)
