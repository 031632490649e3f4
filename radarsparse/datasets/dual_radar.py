"""Dual-Radar in its own layout: Arbe Phoenix or ARS548 radar and RS-Ruby Lite LiDAR."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.build import Source
from radarsparse.datasets.kitti import list_numbers, read_image_sets
from radarsparse.datasets.native import need_folder, source_of_files, usable_lidar
from radarsparse.errors import InputError
from radarsparse.formats.prepared import DatasetCard, frame_name
from radarsparse.formats.tables import read_float32
from radarsparse.geometry import transform_points
from radarsparse.scan import RADAR_COLUMNS, ScanPair, usable_points

LAYOUT = "Dual-Radar"
PARTS = ("training", "testing")
LIDAR_FOLDER = "robosense"
SPLIT_FOLDER = "ImageSets"
RADAR_FIELDS = ("x", "y", "z", "intensity", "doppler")
LIDAR_FIELDS = ("x", "y", "z", "intensity", "ring", "timestamp")

# What the published lists say: blocks of consecutive frames, so that neighbours stay together.
_OFFICIAL_SPLIT = {"train": [[0, 5140]], "test": [[5141, 7540]], "val": [[7541, 10006]]}

# From radar to LiDAR, whose frame has x right, y forward, z up. The published matrix of the Arbe
# ends its first row with +0.016 and is no rotation; with -0.016 it is one to seven digits.
_T_LIDAR_ARBE = np.array(
    [
        [0.99811280, 0.05916116, -0.01645581, 0.07800451],
        [-0.05950389, 0.99800331, -0.02118198, 2.21408004],
        [0.01516981, 0.02212119, 0.99964020, -1.60307404],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
_T_LIDAR_ARS548 = np.array(
    [
        [0.08065853, -0.99674179, 6.93e-05, 0.07152088],
        [0.99557554, 0.08056079, -0.04836635, 1.96854500],
        [0.04820318, 0.00397016, 0.99882966, -1.19909100],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
# The Arbe's own frame has y forward like the LiDAR's; ours has x forward and y left.
_T_RADAR_ARBE = np.array(
    [[0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


_CARD = DatasetCard(
    name="Dual-Radar, Arbe Phoenix",
    radar_sensor="Arbe Phoenix",
    lidar_sensor="RoboSense RS-Ruby Lite",
    field_of_view_deg=(100.0, 30.0),
    radar_rate_hz=20.0,
    lidar_rate_hz=10.0,
    licence="by agreement with the authors of Dual-Radar",
    citation=(
        "X. Zhang et al.: Dual Radar: A Multi-modal Dataset with Dual 4D Radar for Autonomous"
        " Driving. arXiv:2310.07602, 2023 (Dual-Radar)."
    ),
)


def open_dual_radar_arbe(root: Path) -> Source:
    """Find the frames of the Arbe Phoenix in a native folder.

    Args:
        root: folder that holds `training` and `testing`, each with `arbe` and `robosense`.

    Raises:
        InputError: a folder is missing or holds no frame, or a list in `ImageSets` is malformed.

    Source: README and pcdet/datasets/dual_radar of adept-thu/Dual-Radar.
    """
    T_radar_lidar = _T_RADAR_ARBE @ np.linalg.inv(_T_LIDAR_ARBE)
    return _open(root, "arbe", _CARD, partial(_read_frame, _T_RADAR_ARBE, T_radar_lidar))


def open_dual_radar_ars548(root: Path) -> Source:
    """Find the frames of the ARS548: as `open_dual_radar_arbe`, with `ars548` for `arbe`."""
    sensor = "Continental ARS548 RDI"
    card = replace(
        _CARD, name=f"Dual-Radar, {sensor}", radar_sensor=sensor, field_of_view_deg=(120.0, 28.0)
    )
    read = partial(_read_frame, np.eye(4), np.linalg.inv(_T_LIDAR_ARS548))
    return _open(root, "ars548", card, read)


def _open(root: Path, folder: str, card: DatasetCard, read: Callable[..., ScanPair]) -> Source:
    # Frames' numbers run on from one part to the other.
    parts = [root / part for part in PARTS if (root / part).is_dir()] or [root / PARTS[0]]
    for part in parts:
        need_folder(part / LIDAR_FOLDER, LAYOUT)
    files = {
        name: [part / each / f"{name}.bin" for each in (folder, LIDAR_FOLDER)]
        for part in parts
        for name in map(frame_name, list_numbers(part / folder, 6, LAYOUT))
    }
    lists = root / SPLIT_FOLDER
    split = read_image_sets(lists) if lists.is_dir() else _OFFICIAL_SPLIT
    return source_of_files(card, split, root, files, read)


def _read_frame(
    T_radar_native: NDArray[np.float64],
    T_radar_lidar: NDArray[np.float64],
    name: str,
    radar: Path,
    lidar: Path,
) -> ScanPair:
    """Read a frame; native radar points, of either radar, are turned to x forward, y left."""
    rows = read_float32(radar, len(RADAR_FIELDS))[:, [0, 1, 2, 4, 3]]
    points = transform_points(T_radar_native, usable_points(rows, RADAR_COLUMNS, str(radar)))
    ahead = np.count_nonzero(points[:, 0] > 0)
    if 2 * ahead <= len(points):
        raise InputError(
            f"{radar}: {ahead} of {len(points)} points lie before the radar; more than half must,"
            f" if it is a cloud of the {radar.parent.name}"
        )
    lidar_points = usable_lidar(read_float32(lidar, len(LIDAR_FIELDS))[:, :4], str(lidar))
    return ScanPair(name, points, lidar_points, T_radar_lidar)
