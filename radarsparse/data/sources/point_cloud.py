"""Radar points of ROS messages: `sensor_msgs/PointCloud`, and what columns are called."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radarsparse.data.scan import RADAR_COLUMNS
from radarsparse.data.sources.ros_bags import select_channel, select_columns
from radarsparse.errors import InputError

# What the driver of the Oculii Eagle calls the channels, in its order.
OCULII_CHANNELS = ("doppler", "range", "power", "alpha", "beta")

# What drivers and programs call our columns, in lower case; the first that is there counts.
ALIASES = {
    "doppler_mps": (
        "doppler_mps",
        "doppler",
        "doppler_velocity",
        "v_r",
        "vr",
        "radial_velocity",
        "radial_speed",
        "range_rate",
        "velocity",
        "vel",
        "speed",
    ),
    "power_db": (
        "power_db",
        "power",
        "snr_db",
        "snr",
        "magnitude",
        "mag",
        "amplitude",
        "intensity",
        "rcs",
    ),
}


def find_radar_columns(names: Iterable[str], source: str) -> tuple[str, ...]:
    """Which of the names stand for `RADAR_COLUMNS`.

    Args:
        names: as the source writes them, in any case, with underscores or blanks.
        source: what has columns of these names, for errors.

    Returns:
        Five of the names.

    Raises:
        InputError: none of the names stands for a column.
    """
    written = {name.strip().lower().replace(" ", "_"): name for name in names}
    found = {
        column: [written[alias] for alias in ALIASES.get(column, (column,)) if alias in written]
        for column in RADAR_COLUMNS
    }
    missing = [column for column, those in found.items() if not those]
    if missing:
        raise InputError(
            f"{source}: no column {', '.join(missing)} by any usual name, --fields"
            f" names them; there are: {', '.join(written.values()) or 'none'}"
        )
    return tuple(those[0] for those in found.values())


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
