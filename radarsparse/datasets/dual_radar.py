"""Dual-Radar in its own layout: Arbe Phoenix or ARS548 radar and RS-Ruby Lite LiDAR."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.build import Source, read_each
from radarsparse.datasets.kitti import list_numbers, read_image_sets
from radarsparse.errors import InputError
from radarsparse.formats.prepared import DatasetCard, Split, usable_points
from radarsparse.formats.tables import (
    INTENSITY_MAX,
    check_bounds,
    fingerprint,
    need_folder,
    read_float32,
)
from radarsparse.geometry import transform_points
from radarsparse.scan import ScanPair

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


@dataclass(frozen=True)
class _Radar:
    """One of the two radars.

    Attributes:
        folder: of its clouds.
        sensor: maker and model.
        field_of_view_deg: full azimuth and elevation angles.
        T_radar_native: from the frame of its files to x forward, y left, z up.
        T_radar_lidar: from the LiDAR's frame to x forward, y left, z up.
    """

    folder: str
    sensor: str
    field_of_view_deg: tuple[float, float]
    T_radar_native: NDArray[np.float64]
    T_radar_lidar: NDArray[np.float64]


_ARBE = _Radar(
    folder="arbe",
    sensor="Arbe Phoenix",
    field_of_view_deg=(100.0, 30.0),
    T_radar_native=_T_RADAR_ARBE,
    T_radar_lidar=_T_RADAR_ARBE @ np.linalg.inv(_T_LIDAR_ARBE),
)
_ARS548 = _Radar(
    folder="ars548",
    sensor="Continental ARS548 RDI",
    field_of_view_deg=(120.0, 28.0),
    T_radar_native=np.eye(4),
    T_radar_lidar=np.linalg.inv(_T_LIDAR_ARS548),
)


def open_dual_radar_arbe(root: Path) -> Source:
    """Find the frames of the Arbe Phoenix in a native folder.

    Args:
        root: folder that holds `training` and `testing`, each with `arbe` and `robosense`.

    Raises:
        InputError: a folder is missing or holds no frame, or a list in `ImageSets` is malformed.
    """
    return _open(root, _ARBE)


def open_dual_radar_ars548(root: Path) -> Source:
    """Find the frames of the ARS548 in a native folder.

    Args:
        root: folder that holds `training` and `testing`, each with `ars548` and `robosense`.

    Raises:
        InputError: a folder is missing or holds no frame, or a list in `ImageSets` is malformed.
    """
    return _open(root, _ARS548)


def _open(root: Path, radar: _Radar) -> Source:
    parts = _find_frames(root, radar)
    names = tuple(sorted(parts))
    paths = (path for name in names for path in _native_paths(parts[name], name, radar))
    card = _make_card(radar, fingerprint(root, paths))
    read = partial(read_each, partial(_read_frame, parts, radar))
    return Source(card, _find_split(root), names, read)


def _find_frames(root: Path, radar: _Radar) -> dict[str, Path]:
    """Which part of the data set holds each frame: numbers run on from one part to the other."""
    found = [root / part for part in PARTS if (root / part).is_dir()] or [root / PARTS[0]]
    for part in found:
        need_folder(part / LIDAR_FOLDER, LAYOUT)
    return {
        f"{number:06d}": part
        for part in found
        for number in list_numbers(part / radar.folder, 6, LAYOUT)
    }


def _find_split(root: Path) -> Split:
    folder = root / SPLIT_FOLDER
    return read_image_sets(folder) if folder.is_dir() else _OFFICIAL_SPLIT


def _make_card(radar: _Radar, digest: str) -> DatasetCard:
    """The card of one radar's frames.

    Source: data-formats.md, sections 6 and 10.1.
    """
    return DatasetCard(
        name=f"Dual-Radar, {radar.sensor}",
        radar_sensor=radar.sensor,
        lidar_sensor="RoboSense RS-Ruby Lite",
        field_of_view_deg=radar.field_of_view_deg,
        radar_rate_hz=20.0,
        lidar_rate_hz=10.0,
        licence="by agreement with the authors of Dual-Radar",
        citation=(
            "X. Zhang et al.: Dual Radar: A Multi-modal Dataset with Dual 4D Radar for Autonomous"
            " Driving. arXiv:2310.07602, 2023 (Dual-Radar)."
        ),
        provenance={"fingerprint": digest},
    )


def _read_frame(parts: Mapping[str, Path], radar: _Radar, name: str) -> ScanPair:
    """Read one native frame.

    Source: data-formats.md, section 6.
    """
    radar_path, lidar_path = _native_paths(parts[name], name, radar)
    return ScanPair(
        name=name,
        radar=_read_radar(radar_path, radar),
        lidar=_read_lidar(lidar_path),
        T_radar_lidar=radar.T_radar_lidar,
    )


def _native_paths(part: Path, name: str, radar: _Radar) -> tuple[Path, Path]:
    return part / radar.folder / f"{name}.bin", part / LIDAR_FOLDER / f"{name}.bin"


def _read_radar(path: Path, radar: _Radar) -> NDArray[np.float32]:
    native = usable_points(read_float32(path, len(RADAR_FIELDS)), str(path))
    points = transform_points(radar.T_radar_native, native)[:, [0, 1, 2, 4, 3]]
    ahead = np.count_nonzero(points[:, 0] > 0)
    if 2 * ahead <= len(points):
        raise InputError(
            f"{path}: {ahead} of {len(points)} points lie before the radar; more than half must,"
            f" if it is a cloud of the {radar.sensor}"
        )
    return points


def _read_lidar(path: Path) -> NDArray[np.float32]:
    points = usable_points(read_float32(path, len(LIDAR_FIELDS)), str(path))[:, :4]
    check_bounds(points[:, 3], f"{path}: column intensity", 0.0, INTENSITY_MAX)
    return points
