"""View-of-Delft in its own layout: single scans of a ZF FRGen21 radar and HDL-64 S3 LiDAR."""

from pathlib import Path

import numpy as np

from radarsparse.datasets.build import Source
from radarsparse.datasets.kitti import list_numbers, read_transform
from radarsparse.datasets.native import (
    check_bounds,
    need_folder,
    source_of_files,
    unique_rows,
    usable_lidar,
)
from radarsparse.formats.prepared import DatasetCard, frame_name
from radarsparse.formats.rings import HDL_64_DEG
from radarsparse.formats.tables import read_float32
from radarsparse.scan import RADAR_COLUMNS, ScanPair, usable_points

LAYOUT = "View-of-Delft"
RADAR_FIELDS = ("x", "y", "z", "RCS", "v_r", "v_r_compensated", "time")
LIDAR_FIELDS = ("x", "y", "z", "reflectance")
OLDEST_SCAN = -4.0  # in accumulated clouds; the column `time` is 0 for the newest scan

# First and last frame of each drive. The split is the official one for detection, by whole drives.
_DRIVES = {
    "train": (
        "544-1311 1312-1802 1803-2199 2200-2531 3277-3574 3610-4047 4049-4386 4387-4651 6759-7542"
        " 8481-8748 8749-9095 9518-9775 9776-9930"
    ),
    "val": "0-543 3575-3609 4652-5085 8198-8480",
    "test": "2532-2797 2798-3276 6334-6570 6571-6758 7543-7899 7900-8197 9096-9517",
}
_SPLIT = {
    name: [tuple(map(int, drive.split("-"))) for drive in drives.split()]
    for name, drives in _DRIVES.items()
}

_CARD = DatasetCard(
    name="View-of-Delft",
    radar_sensor="ZF FRGen21, single scans",
    lidar_sensor="Velodyne HDL-64 S3",
    field_of_view_deg=(120.0, 32.0),
    radar_rate_hz=13.0,
    lidar_rate_hz=10.0,
    licence=(
        "View-of-Delft licence: research institutions only, not on compute of a for-profit"
        " organisation, no redistribution"
    ),
    citation=(
        "A. Palffy, E. Pool, S. Baratam, J. Kooij, D. Gavrila: Multi-Class Road User Detection"
        " With 3+1D Radar in the View-of-Delft Dataset. IEEE Robotics and Automation Letters,"
        " 2022 (View-of-Delft)."
    ),
    lidar_rings_deg=HDL_64_DEG,
)


def open_view_of_delft(root: Path) -> Source:
    """Find the frames of a native folder.

    Args:
        root: folder that holds `radar/training` and `lidar/training`.

    Raises:
        InputError: a folder is missing or holds no frame.

    Source: documents of tudelft-iv/view-of-delft-dataset; drives by preprocess/clips of
        Toytiny/CMFlow.
    """
    # `testing` links to `training`, which holds all frames.
    radar, lidar = root / "radar/training", root / "lidar/training"
    need_folder(lidar / "velodyne", LAYOUT)
    files = {
        frame_name(number): (
            radar / f"velodyne/{number:05d}.bin",
            lidar / f"velodyne/{number:05d}.bin",
            radar / f"calib/{number:05d}.txt",
            lidar / f"calib/{number:05d}.txt",
        )
        for number in list_numbers(radar / "velodyne", 5, LAYOUT)
    }
    return source_of_files(_CARD, _SPLIT, root, files, _read_frame)


def _read_frame(
    name: str, radar: Path, lidar: Path, radar_calibration: Path, lidar_calibration: Path
) -> ScanPair:
    """Read one native frame; Doppler is the raw radial velocity, power is the RCS."""
    T_camera_radar = read_transform(radar_calibration, "Tr_velo_to_cam")
    T_camera_lidar = read_transform(lidar_calibration, "Tr_velo_to_cam")
    radar_rows = read_float32(radar, len(RADAR_FIELDS))
    check_bounds(radar_rows[:, 6], f"{radar}: column time", OLDEST_SCAN, 0.0)
    # Every point of the LiDAR stands twice in the files.
    lidar_rows = unique_rows(read_float32(lidar, len(LIDAR_FIELDS)))
    return ScanPair(
        name,
        usable_points(radar_rows[:, [0, 1, 2, 4, 3]], RADAR_COLUMNS, str(radar)),
        usable_lidar(lidar_rows, str(lidar)),
        np.linalg.inv(T_camera_radar) @ T_camera_lidar,
    )
