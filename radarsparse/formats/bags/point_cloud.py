"""ROS messages of type `sensor_msgs/PointCloud` as arrays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.formats.bags.decoding import stack_fields
from radarsparse.formats.columns import OCULII_CHANNELS
from radarsparse.formats.content import as_float64, listed


def columns_of_point_cloud(
    message: Mapping[str, Any], names: Sequence[str], order: Sequence[str], source: str
) -> NDArray[np.float64]:
    """Read fields and channels of all points of a cloud.

    Args:
        message: the message's fields by name, as `Message.fields` has them.
        names: three fields of a point, then channels, those in lower case.
        order: names of the channels to go by, in order, where the message uses none of them.
        source: what to call the message in errors.

    Returns:
        [n, len(names)]; n may be 0.

    Raises:
        InputError: a field or a channel is missing, or a channel has not one value for a point.
    """
    points = stack_fields(message["points"], names[:3], source)
    written, columns = channel_names(message), [points]
    known = list(written if set(written) & set(order) else order)[: len(written)]
    for name in names[3:]:
        if name not in known:
            raise InputError(f"{source}: no channel {name}; channels there: {listed(written)}")
        values = message["channels"][known.index(name)]["values"]
        if len(values) != len(points):
            found = f"{len(values)} values of {name} for {len(points)} points"
            raise InputError(f"{source}: {found}; there must be one each")
        columns.append(as_float64(values)[:, None])
    return np.hstack(columns)


def channel_names(message: Mapping[str, Any]) -> list[str]:
    """What a cloud calls its channels, in lower case; five without names are the Oculii's."""
    names = [channel["name"].strip().lower() for channel in message["channels"]]
    nameless = len(names) == len(OCULII_CHANNELS) and not any(names)
    return list(OCULII_CHANNELS) if nameless else names
