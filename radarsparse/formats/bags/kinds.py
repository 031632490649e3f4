"""The two kinds of bags, ROS 1 and ROS 2."""

from pathlib import Path
from typing import NamedTuple

from radarsparse.errors import InputError
from radarsparse.formats.clouds import BAG_CARD, BAG_SUFFIXES, is_bag


class BagKind(NamedTuple):
    """What differs between the bags of ROS 1 and of ROS 2.

    Attributes:
        name: for messages to the user.
        suffix: of the files that are written.
        encoding: of the messages.
    """

    name: str
    suffix: str
    encoding: str


ROS1 = BagKind("ROS 1 bag", ".bag", "ros1")
ROS2 = BagKind("ROS 2 bag", ".mcap", "cdr")


def find_kind(path: Path) -> BagKind:
    """The kind of a bag, by its name.

    Args:
        path: of a ROS 1 bag, an MCAP or SQLite file of ROS 2, or a folder of those with its card.

    Raises:
        InputError: there is no such bag.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if not is_bag(path) or (path.is_dir() and not (path / BAG_CARD).is_file()):
        suffixes = ", ".join(BAG_SUFFIXES)
        raise InputError(f"{path}: is no bag; needed is {suffixes} or a folder with {BAG_CARD}")
    return ROS1 if path.suffix.lower() == ROS1.suffix else ROS2
