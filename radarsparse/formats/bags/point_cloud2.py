"""ROS messages of type `sensor_msgs/PointCloud2` as arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.formats.bags.decoding import stack_fields
from radarsparse.formats.content import listed

# By the numbers that `sensor_msgs/PointField` gives to its data types.
_FORMATS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
# Old drivers leave the count of single values at 0.
_SINGLE = (0, 1)


def columns_of_point_cloud2(
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
        InputError: the message's numbers contradict one another or the amount of its data, or a
            field is missing, doubled or no single number.
    """
    row_step = _find_row_step(message, source)
    shape = message["height"], message["width"]
    if 0 in shape:
        return np.empty((0, len(names)))
    fields = [_find_field(message, name, source) for name in names]
    order = ">" if message["is_bigendian"] else "<"
    formats = [order + _FORMATS[field["datatype"]] for field in fields]
    offsets = [field["offset"] for field in fields]
    layout: Any = {"names": names, "formats": formats, "offsets": offsets}
    dtype = np.dtype(layout | {"itemsize": message["point_step"]})
    points = np.ndarray(shape, dtype, message["data"], strides=(row_step, dtype.itemsize))
    return stack_fields(points.ravel(), names, source)


def number_names(message: Mapping[str, Any]) -> list[str]:
    """The fields of a cloud that have one number for a point."""
    return [field["name"] for field in message["fields"] if _is_number(field)]


def _find_row_step(message: Mapping[str, Any], source: str) -> int:
    """How many bytes lie between the beginnings of two rows."""
    keys = ("height", "width", "point_step", "row_step")
    height, width, point_step, row_step = (message[key] for key in keys)
    size, needed = len(message["data"]), height * width * point_step
    # Drivers leave the step at 0, at that of the whole cloud or of points that are gone.
    if size == needed:
        return width * point_step
    if size == height * row_step and width * point_step <= row_step:
        return row_step
    raise InputError(
        f"{source}: has {size} bytes of data; {height} x {width} points of {point_step} bytes need"
        f" {needed}, {height} rows of {row_step} bytes {height * row_step}"
    )


def _find_field(message: Mapping[str, Any], name: str, source: str) -> Mapping[str, Any]:
    found = [field for field in message["fields"] if field["name"] == name]
    if len(found) != 1:
        there = listed(field["name"] for field in message["fields"])
        what = f"has {len(found)} fields {name}; must have one"
        raise InputError(f"{source}: {what}; there are: {there}")
    field, what = found[0], f"{source}: field {name}"
    kind, offset, size = field["datatype"], field["offset"], message["point_step"]
    if not _is_number(field):
        bound = f"a data type of {min(_FORMATS)} .. {max(_FORMATS)} and one value"
        raise InputError(
            f"{what}: has data type {kind} and count {field['count']}; must be {bound}"
        )
    end = offset + np.dtype(_FORMATS[kind]).itemsize
    if end > size:
        taken = f"takes bytes {offset} .. {end - 1} of a point"
        raise InputError(f"{what}: {taken}; points have {size} bytes")
    return field


def _is_number(field: Mapping[str, Any]) -> bool:
    return field["datatype"] in _FORMATS and field["count"] in _SINGLE
