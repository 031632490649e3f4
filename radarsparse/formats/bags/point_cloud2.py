"""ROS messages of type `sensor_msgs/PointCloud2` as arrays."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.formats.bags.recording import select_columns

POINT_CLOUD2_TYPES = ("sensor_msgs/msg/PointCloud2",)

# By the numbers that `sensor_msgs/PointField` gives to its data types.
_FORMATS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_FIELD_KEYS = ("offset", "datatype", "count")
# Old drivers leave the count of single values at 0.
_SINGLE = (0, 1)


class _Grid(NamedTuple):
    """How the bytes of a cloud are laid out: rows of points, with steps in bytes."""

    height: int
    width: int
    point_step: int
    row_step: int
    is_bigendian: int


class _Field(NamedTuple):
    """Where in a point's bytes a value stands, as what, and how often."""

    offset: int
    datatype: int
    repeats: int


def decode_point_cloud2(
    message: Mapping[str, Any], names: Sequence[str], source: str
) -> NDArray[np.float64]:
    """Read some fields of all points of a cloud, row by row.

    Args:
        message: the message's fields by name, as `Message.fields` has them.
        names: of the wanted fields, as the message writes them; each has one value for a point.
        source: what to call the message in errors.

    Returns:
        [n, len(names)]; n may be 0.

    Raises:
        InputError: the message isn't made as its type demands, its numbers contradict one another
            or the amount of its data, or a field is missing, doubled or no single number.
    """
    grid, fields = _read_grid(message, source), _read_fields(message, source)
    data = _read_data(message, grid, source)
    if grid.height * grid.width == 0:
        return np.empty((0, len(names)))
    dtype = _make_dtype(grid, {name: _select(fields, name, source) for name in names}, source)
    strides = grid.row_step, grid.point_step
    points = np.ndarray((grid.height, grid.width), dtype, data, strides=strides)
    return select_columns(points.ravel(), names, source)


def _read_grid(message: Mapping[str, Any], source: str) -> _Grid:
    try:
        return _Grid(*(operator.index(message[key]) for key in _Grid._fields))
    except (KeyError, TypeError) as error:
        raise InputError(f"{source}: is no PointCloud2 ({error!r})") from error


def _read_fields(message: Mapping[str, Any], source: str) -> list[tuple[str, _Field]]:
    try:
        return [
            (str(field["name"]), _Field(*(operator.index(field[key]) for key in _FIELD_KEYS)))
            for field in message["fields"]
        ]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{source}: lists no fields of a PointCloud2 ({error!r})") from error


def _read_data(message: Mapping[str, Any], grid: _Grid, source: str) -> NDArray[np.uint8]:
    data = message.get("data")
    if not (isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim == 1):
        raise InputError(f"{source}: has no bytes in data")
    if min(grid) < 0 or grid.width * grid.point_step > grid.row_step:
        raise InputError(
            f"{source}: {grid.width} points of {grid.point_step} bytes don't fit into rows of"
            f" {grid.row_step} bytes"
        )
    if len(data) != grid.height * grid.row_step:
        raise InputError(
            f"{source}: has {len(data)} bytes of data; {grid.height} rows of {grid.row_step} bytes"
            f" have {grid.height * grid.row_step}"
        )
    return data


def _select(fields: Sequence[tuple[str, _Field]], name: str, source: str) -> _Field:
    found = [field for other, field in fields if other == name]
    if len(found) != 1:
        names = ", ".join(other for other, _ in fields)
        raise InputError(
            f"{source}: has {len(found)} fields {name}; must have one; there are: {names or 'none'}"
        )
    return found[0]


def _make_dtype(grid: _Grid, fields: Mapping[str, _Field], source: str) -> np.dtype[Any]:
    for name, field in fields.items():
        _check_field(grid, field, f"{source}: field {name}")
    order = ">" if grid.is_bigendian else "<"
    return np.dtype(
        {
            "names": list(fields),
            "formats": [order + _FORMATS[field.datatype] for field in fields.values()],
            "offsets": [field.offset for field in fields.values()],
            "itemsize": grid.point_step,
        }
    )


def _check_field(grid: _Grid, field: _Field, source: str) -> None:
    if field.datatype not in _FORMATS or field.repeats not in _SINGLE:
        raise InputError(
            f"{source}: has data type {field.datatype} and count {field.repeats}; must be a data"
            f" type of {min(_FORMATS)} .. {max(_FORMATS)} and one value"
        )
    end = field.offset + np.dtype(_FORMATS[field.datatype]).itemsize
    if field.offset < 0 or end > grid.point_step:
        raise InputError(
            f"{source}: takes bytes {field.offset} .. {end - 1} of a point; points have"
            f" {grid.point_step} bytes"
        )
