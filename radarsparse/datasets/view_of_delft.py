"""View-of-Delft in its own layout: single scans of a ZF FRGen21 radar and HDL-64 S3 LiDAR."""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.build import Source, read_each
from radarsparse.datasets.kitti import list_numbers, read_transform
from radarsparse.formats.prepared import DatasetCard, usable_points
from radarsparse.formats.tables import (
    INTENSITY_MAX,
    check_bounds,
    fingerprint,
    need_folder,
    read_float32,
    split_by_group,
    unique_rows,
)
from radarsparse.scan import ScanPair

LAYOUT = "View-of-Delft"
# `testing` links to `training`, which holds all frames.
RADAR_FOLDER = "radar/training"
LIDAR_FOLDER = "lidar/training"

RADAR_FIELDS = ("x", "y", "z", "RCS", "v_r", "v_r_compensated", "time")
LIDAR_FIELDS = ("x", "y", "z", "reflectance")
OLDEST_SCAN = -4.0  # in accumulated clouds; the column `time` is 0 for the newest scan

# First and last frame of each drive. The split is the official one for detection, by whole drives.
_CLIPS = {
    1: (0, 543),
    2: (544, 1311),
    3: (1312, 1802),
    4: (1803, 2199),
    6: (2200, 2531),
    7: (2532, 2797),
    8: (2798, 3276),
    9: (3277, 3574),
    10: (3575, 3609),
    11: (3610, 4047),
    12: (4049, 4386),
    13: (4387, 4651),
    14: (4652, 5085),
    16: (6334, 6570),
    18: (6571, 6758),
    19: (6759, 7542),
    20: (7543, 7899),
    21: (7900, 8197),
    22: (8198, 8480),
    23: (8481, 8748),
    24: (8749, 9095),
    25: (9096, 9517),
    26: (9518, 9775),
    27: (9776, 9930),
}
_VAL_CLIPS = (1, 10, 14, 22)
_TEST_CLIPS = (7, 8, 16, 18, 20, 21, 25)


def open_view_of_delft(root: Path) -> Source:
    """Find the frames of a native folder.

    Args:
        root: folder that holds `radar/training` and `lidar/training`.

    Raises:
        InputError: a folder is missing or holds no frame.
    """
    need_folder(root / LIDAR_FOLDER / "velodyne", LAYOUT)
    numbers = list_numbers(root / RADAR_FOLDER / "velodyne", 5, LAYOUT)
    names = tuple(f"{number:06d}" for number in numbers)
    card = _make_card(fingerprint(root, (p for name in names for p in _native_paths(root, name))))
    read = partial(read_each, partial(read_view_of_delft_frame, root))
    return Source(card, split_by_group(_CLIPS, _VAL_CLIPS, _TEST_CLIPS), names, read)


def _make_card(digest: str) -> DatasetCard:
    """The data set's card.

    Source: data-formats.md, sections 3 and 10.1.
    """
    return DatasetCard(
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
        provenance={"fingerprint": digest},
    )


def read_view_of_delft_frame(root: Path, name: str) -> ScanPair:
    """Read one native frame; Doppler is the raw radial velocity, power is the RCS.

    Args:
        root: folder that holds `radar/training` and `lidar/training`.
        name: the frame's six digits; native files have the last five.

    Raises:
        InputError: a file is missing or malformed, or no point is left.

    Source: data-formats.md, section 3.
    """
    radar_path, lidar_path, radar_calibration, lidar_calibration = _native_paths(root, name)
    T_camera_radar = read_transform(radar_calibration, "Tr_velo_to_cam")
    T_camera_lidar = read_transform(lidar_calibration, "Tr_velo_to_cam")
    return ScanPair(
        name=name,
        radar=_read_radar(radar_path),
        lidar=_read_lidar(lidar_path),
        T_radar_lidar=np.linalg.inv(T_camera_radar) @ T_camera_lidar,
    )


def _native_paths(root: Path, name: str) -> tuple[Path, Path, Path, Path]:
    number = f"{int(name):05d}"
    radar, lidar = root / RADAR_FOLDER, root / LIDAR_FOLDER
    return (
        radar / "velodyne" / f"{number}.bin",
        lidar / "velodyne" / f"{number}.bin",
        radar / "calib" / f"{number}.txt",
        lidar / "calib" / f"{number}.txt",
    )


def _read_radar(path: Path) -> NDArray[np.float32]:
    points = usable_points(read_float32(path, len(RADAR_FIELDS)), str(path))
    check_bounds(points[:, 6], f"{path}: column time", OLDEST_SCAN, 0.0)
    return points[:, [0, 1, 2, 4, 3]]


def _read_lidar(path: Path) -> NDArray[np.float32]:
    # Every point stands twice in the files.
    points = unique_rows(usable_points(read_float32(path, len(LIDAR_FIELDS)), str(path)))
    check_bounds(points[:, 3], f"{path}: column reflectance", 0.0, INTENSITY_MAX)
    return points
