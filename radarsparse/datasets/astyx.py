"""Astyx HiRes2019 in its own layout: Astyx 6455 radar and VLP-16, as text files."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.build import Source
from radarsparse.datasets.kitti import list_numbers
from radarsparse.datasets.native import source_of_files, usable_lidar
from radarsparse.errors import InputError
from radarsparse.formats.prepared import DatasetCard, frame_name, rigid_transform
from radarsparse.formats.rings import VLP_16_DEG
from radarsparse.formats.tables import read_named, read_text
from radarsparse.geometry import azimuth_rad, transform_points
from radarsparse.scan import RADAR_COLUMNS, ScanPair, usable_points

RADAR_FOLDER = "radar_6455"
LIDAR_FOLDER = "lidar_vlp16"
RADAR_NAMES = ("X", "Y", "Z", "V_r", "Mag")
LIDAR_NAMES = ("X", "Y", "Z", "Reflectivity")

LIDAR_AZIMUTH_MAX_RAD = np.radians(75.0)
LIDAR_RANGE_MIN_M = 1.0

# Drives are never cut, so that neighbouring frames can't leak from one split to another.
_SPLIT = {"train": [[0, 378]], "val": [[379, 444]], "test": [[445, 545]]}

_CARD = DatasetCard(
    name="Astyx HiRes2019",
    radar_sensor="Astyx 6455 HiRes",
    lidar_sensor="Velodyne VLP-16",
    field_of_view_deg=(110.0, 10.0),
    radar_rate_hz=13.0,
    lidar_rate_hz=10.0,
    licence="CC BY-NC-SA 4.0, (c) 2019 Astyx GmbH; LiDAR cropped to the front",
    citation=(
        "M. Meyer, G. Kuschk: Automotive Radar Dataset for Deep Learning Based 3D Object"
        " Detection. European Radar Conference (EuRAD), 2019 (Astyx HiRes2019)."
    ),
    lidar_rings_deg=VLP_16_DEG,
)


def open_astyx(root: Path) -> Source:
    """Find the frames of a native folder.

    Args:
        root: folder that holds `radar_6455`, `lidar_vlp16` and `calibration`.

    Raises:
        InputError: there is no radar cloud.

    Source: files and documents of under-the-radar/radar_dataset_astyx.
    """
    radar = root / RADAR_FOLDER
    files = {
        name: (
            radar / f"{name}.txt",
            root / f"{LIDAR_FOLDER}/{name}.txt",
            root / f"calibration/{name}.json",
        )
        for name in map(frame_name, list_numbers(radar, 6, "Astyx", ".txt"))
    }
    return source_of_files(_CARD, _SPLIT, root, files, _read_frame)


def _read_frame(name: str, radar: Path, lidar: Path, calibration: Path) -> ScanPair:
    T_radar_lidar = _read_calibration(calibration)
    cropped = _crop(read_named(lidar, LIDAR_NAMES), T_radar_lidar)
    return ScanPair(
        name,
        usable_points(read_named(radar, RADAR_NAMES), RADAR_COLUMNS, str(radar)),
        usable_lidar(cropped, str(lidar)),
        T_radar_lidar,
    )


def _crop(lidar: NDArray[np.float64], T_radar_lidar: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep what lies within 75 deg of the radar's axis: the yaw between the two is 2.7 deg."""
    # Damaged tables can hold infinity, which lies nowhere and so is left out.
    with np.errstate(over="ignore", invalid="ignore"):
        seen = transform_points(T_radar_lidar, lidar)
        ahead = np.abs(azimuth_rad(seen)) < LIDAR_AZIMUTH_MAX_RAD
        return lidar[ahead & (np.linalg.norm(seen[:, :3], axis=1) > LIDAR_RANGE_MIN_M)]


def _read_calibration(path: Path) -> NDArray[np.float64]:
    text = read_text(path)
    try:
        sensors = json.loads(text)["sensors"]
        T_ref = {item["sensor_uid"]: item["calib_data"]["T_to_ref_COS"] for item in sensors}
        T_ref_radar, T_ref_lidar = T_ref[RADAR_FOLDER], T_ref[LIDAR_FOLDER]
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: lacks T_to_ref_COS of {RADAR_FOLDER} or {LIDAR_FOLDER} ({error!r})"
        ) from error
    radar = rigid_transform(T_ref_radar, f"{path}: {RADAR_FOLDER}")
    return np.linalg.inv(radar) @ rigid_transform(T_ref_lidar, f"{path}: {LIDAR_FOLDER}")
