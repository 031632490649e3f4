"""LiDARs that can be imitated: by name, or stated in a file."""

from pathlib import Path

from pydantic import ValidationError

from radarsparse.config import LidarSettings, describe_faults, read_yaml
from radarsparse.errors import InputError
from radarsparse.formats.rings import HDL_64_DEG, OS1_128_DEG, VLP_16_DEG

# Azimuth steps: data sheet; so that counts match View-of-Delft; 1,024 columns a turn.
LIDARS = {
    "vlp16": LidarSettings(rings_deg=VLP_16_DEG, azimuth_step_deg=0.2),
    "hdl64": LidarSettings(rings_deg=HDL_64_DEG, azimuth_step_deg=0.22),
    "os1-128": LidarSettings(rings_deg=OS1_128_DEG, azimuth_step_deg=360.0 / 1024),
}
_POSE = {"position_m", "yaw_pitch_roll_deg"}


def read_lidar(name: str, mounted: LidarSettings) -> LidarSettings:
    """A LiDAR and its mount.

    Args:
        name: of `LIDARS`, or a YAML file with the keys of a config's block `lidar`, of which
            `rings_deg` is needed.
        mounted: gives the pose where it isn't stated.

    Raises:
        InputError: there is no such LiDAR or file, or the file states none.
    """
    stated = LIDARS.get(name) or _read_file(name)
    pose = mounted.model_dump(include=_POSE) | stated.model_dump(
        include=_POSE & stated.model_fields_set
    )
    return stated.model_copy(update=pose)


def _read_file(name: str) -> LidarSettings:
    path = Path(name)
    if not path.is_file():
        known = ", ".join(LIDARS)
        raise InputError(f"LiDAR {name!r:.80}: neither a file nor one of {known}")
    raw = read_yaml(path)
    try:
        stated = LidarSettings.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{path}: {describe_faults(error)}") from error
    if not stated.rings_deg:
        raise InputError(f"{path}: states no rings_deg, elevations of 1 or more rings in degrees")
    return stated
