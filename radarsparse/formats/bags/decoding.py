"""The bytes of messages as mappings and arrays: clouds of ROS 1 and ROS 2, and those of Livox."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.formats.bags.kinds import ROS1, BagKind
from radarsparse.formats.content import BYTES_MAX, as_float64, check_count, listed

if TYPE_CHECKING:
    from rosbags.interfaces import Connection

POINT_CLOUD = "sensor_msgs/msg/PointCloud"
POINT_CLOUD2 = "sensor_msgs/msg/PointCloud2"
LIVOX = ("livox_ros_driver/msg/CustomMsg", "livox_ros_driver2/msg/CustomMsg")

_POINT = np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4")])
_OLD_NAMES = {"bool": "uint8", "byte": "int8", "char": "uint8"}


class Cursor:
    """Reads the bytes of a message from front to back.

    Args:
        data: the bytes.
        kind: of the bag that they are from.
        source: what to call the message in errors.
    """

    def __init__(self, data: bytes, kind: BagKind, source: str) -> None:
        self._data = data
        self._source = source
        self.is_cdr = kind is not ROS1
        self.at = 4 if self.is_cdr else 0
        if self.is_cdr and data[:2] not in (b"\0\0", b"\0\1"):
            raise InputError(f"{source}: begins with {data[:2]!r}, must with 0 and 0 or 1 (CDR)")
        self.order: Literal["<", ">"] = ">" if self.is_cdr and data[1] == 0 else "<"

    def array(self, dtype: Any, count: int | None = None) -> NDArray[Any]:
        """Values [n] of one type, in CDR all of one size; without a count the data say how many."""
        count = self.number() if count is None else count
        dtype = np.dtype(dtype).newbyteorder(self.order)
        if self.is_cdr and count:
            # The four bytes in front don't count.
            self.at += (4 - self.at) % (dtype[0] if dtype.names else dtype).itemsize
        start, self.at = self.at, self.at + dtype.itemsize * count
        if self.at > len(self._data):
            self._refuse("at least ")
        return np.frombuffer(self._data, dtype, count, start)

    def number(self, dtype: str = "u4") -> int:
        """A whole number."""
        return int(self.array(dtype, 1)[0])

    def columns(self) -> int:
        """The number of columns that follow."""
        count = self.number()
        check_count(count, self._source)
        return count

    def text(self) -> str:
        """A text of any length."""
        return self.array("u1").tobytes().removesuffix(b"\0").decode(errors="replace")

    def header(self) -> tuple[int, int]:
        """Seconds and nanoseconds of the stamp in the header in front."""
        if not self.is_cdr:
            self.number()  # the header's counter
        stamp = self.number(), self.number()
        self.text()
        return stamp

    def end(self) -> None:
        """Refuse what stands behind the message, but for what fills CDR up."""
        if len(self._data) - self.at > (3 if self.is_cdr else 0):
            self._refuse("")

    def _refuse(self, bound: str) -> NoReturn:
        needed = f"by its type it must have {bound}{self.at}"
        raise InputError(f"{self._source}: has {len(self._data)} bytes; {needed}")


Decode = Callable[[Cursor], Mapping[str, Any]]
"""Gives the fields of a message by name, but for the header, which has been read."""


def find_decoder(connection: "Connection") -> Decode:
    """The decoder of a connection's type.

    Raises:
        InputError: messages of this type aren't read.
    """
    if connection.msgtype == POINT_CLOUD:
        return _decode_point_cloud
    if connection.msgtype == POINT_CLOUD2:
        return _decode_point_cloud2
    if connection.msgtype in LIVOX:
        return partial(_decode_livox, *_livox_dtypes(connection))
    raise InputError(f"{connection.topic}: has messages of type {connection.msgtype}, not clouds")


def _decode_point_cloud(cursor: Cursor) -> Mapping[str, Any]:
    points, count = cursor.array(_POINT), cursor.columns()
    channels = ({"name": cursor.text(), "values": cursor.array("f4")} for _ in range(count))
    return {"points": points, "channels": list(channels)}


def _decode_point_cloud2(cursor: Cursor) -> Mapping[str, Any]:
    number = cursor.number
    message: dict[str, Any] = {"height": number(), "width": number()}
    message["fields"] = [
        {"name": cursor.text(), "offset": number(), "datatype": number("u1"), "count": number()}
        for _ in range(cursor.columns())
    ]
    message |= {"is_bigendian": number("u1"), "point_step": number(), "row_step": number()}
    return message | {"data": cursor.array("u1"), "is_dense": number("u1")}


def _decode_livox(head: np.dtype[Any], point: np.dtype[Any], cursor: Cursor) -> Mapping[str, Any]:
    record = cursor.array(head, 1)[0]
    return {name: record[name] for name in head.names or ()} | {"points": cursor.array(point)}


def _livox_dtypes(connection: "Connection") -> tuple[np.dtype[Any], np.dtype[Any]]:
    """What stands between header and points, and a point, by the definition in the bag."""
    from rosbags.typesys import get_types_from_msg  # noqa: PLC0415 (an extra)

    types: Mapping[str, Any] = get_types_from_msg(connection.msgdef.data, connection.msgtype)
    (header, _), *head, (points, (_, ((_, point), _))) = types[connection.msgtype][1]
    dtypes = _flat_dtype(head), _flat_dtype(types[str(point)][1])
    if (header, points) != ("header", "points") or not all(dtype.itemsize for dtype in dtypes):
        raise InputError(f"{connection.topic}: defines no points behind a header")
    return dtypes


def _flat_dtype(fields: Any) -> np.dtype[Any]:
    """A structure of numbers and of arrays of them."""
    parts = []
    for name, (_, what) in fields:
        (number, _), count = (what, ()) if isinstance(what[0], str) else (what[0][1], what[1])
        parts.append((name, _OLD_NAMES.get(number, number), count))
    return np.dtype(parts)


def stack_fields(records: object, names: Sequence[str], source: str) -> NDArray[np.float64]:
    """Some fields of an array of structures as columns.

    Args:
        records: [n] structures, a field of a message.
        names: of the fields.
        source: what to call the records in errors.

    Returns:
        [n, len(names)].

    Raises:
        InputError: these are no structures or too many, or a field is missing or no real number.
    """
    dtype = records.dtype if isinstance(records, np.ndarray) else np.dtype([])
    found = dtype.names or ()
    missing = [name for name in names if name not in found or dtype[name].kind not in "fiu"]
    if missing or not isinstance(records, np.ndarray):
        there = f"fields there: {listed(found)}"
        raise InputError(f"{source}: no numbers in field {listed(missing)}; {there}")
    most = BYTES_MAX // (8 * len(names))
    if len(records) > most:
        raise InputError(f"{source}: has {len(records)} points; at most {most} are read")
    return np.stack([as_float64(records[name]) for name in names], axis=1)
