"""Which LiDAR a run imitates, where its config doesn't say so: the one of the training data."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radarsparse.config import Config, validate_config
from radarsparse.files import count_of
from radarsparse.geometry import take_pose_apart
from radarsparse.training.loader import open_splits

# A tenth of a millimetre, and far less than rings are apart.
_DIGITS = 4


class Told(NamedTuple):
    """A config that says which LiDAR is imitated, and a line on what was found, if anything was."""

    config: Config
    line: str | None = None


def tell_lidar(config: Config) -> Told:
    """The config with the rings on the training data's card, mounted as in its first frame.

    What the config says itself stays: with an empty `lidar.rings_deg` nothing is told.

    Raises:
        InputError: the data can't be used.
    """
    if "rings_deg" in config.lidar.model_fields_set:
        return Told(config)
    frames = open_splits(config)[config.data.train_split]
    if not (rings_deg := frames.lidar_rings_deg):
        return Told(config)
    first = frames[0]
    angles_rad, position_m = take_pose_apart(first.T_radar_lidar)
    lidar = {
        "rings_deg": rings_deg,
        "position_m": _rounded(position_m),
        "yaw_pitch_roll_deg": _rounded(np.degrees(angles_rad)),
        **config.lidar.model_dump(exclude_unset=True),
    }
    raw = {**config.model_dump(mode="json", exclude_unset=True), "lidar": lidar}
    line = (
        f"lidar: {count_of(len(rings_deg), 'ring')} of the data's card, mounted as in frame"
        f" {first.name} at {lidar['position_m']} m, {lidar['yaw_pitch_roll_deg']} deg"
    )
    return Told(validate_config(raw, f"frame {first.name}"), line)


def _rounded(values: NDArray[np.float64]) -> list[float]:
    return [round(value, _DIGITS) + 0.0 for value in values.tolist()]  # no minus before a zero
