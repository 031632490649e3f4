"""Radar points of ROS messages: `sensor_msgs/PointCloud`, and what columns are called."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.formats.bags.recording import select_channel, select_columns


def decode_point_cloud(
    message: Mapping[str, Any], names: Sequence[str], order: Sequence[str], source: str
) -> NDArray[np.float64]:
    """Read all points of a radar cloud.

    Args:
        message: the message's fields by name, as `Message.fields` has them.
        names: of `RADAR_COLUMNS`: three fields of a point, then two channels, in lower case.
        order: names of the channels to go by, in order, where the message uses none of them.
        source: what to call the message in errors.

    Returns:
        [n, 5], `RADAR_COLUMNS`; n may be 0.

    Raises:
        InputError: a field or a channel is missing, or a channel has not one value for a point.
    """
    points = select_columns(message.get("points"), names[:3], source)
    channels = message.get("channels")
    values = [select_channel(channels, name, order, source) for name in names[3:]]
    if any(len(each) != len(points) for each in values):
        raise InputError(
            f"{source}: {len(values[0])} values of {names[3]} and {len(values[1])} of {names[4]}"
            f" for {len(points)} points; there must be one each"
        )
    return np.column_stack([points, *values])
