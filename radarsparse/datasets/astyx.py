"""Astyx HiRes2019 in its own layout: Astyx 6455 radar and VLP-16, as text files."""

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.build import Source, read_each
from radarsparse.errors import InputError
from radarsparse.formats.prepared import DatasetCard, rigid_transform, usable_points
from radarsparse.formats.tables import INTENSITY_MAX, check_bounds, read_text
from radarsparse.geometry import azimuth_rad, transform_points
from radarsparse.scan import ScanPair

RADAR_FOLDER = "radar_6455"
LIDAR_FOLDER = "lidar_vlp16"
CALIBRATION_FOLDER = "calibration"
RADAR_HEADER = ("X", "Y", "Z", "V_r", "Mag")
LIDAR_HEADER = ("X", "Y", "Z", "Reflectivity")

LIDAR_AZIMUTH_MAX_RAD = np.radians(75.0)
LIDAR_RANGE_MIN_M = 1.0

# Drives are never cut, so that neighbouring frames can't leak from one split to another.
_SPLIT = {"train": [[0, 378]], "val": [[379, 444]], "test": [[445, 545]]}


def open_astyx(root: Path) -> Source:
    """Find the frames of a native folder.

    Args:
        root: folder that holds `radar_6455`, `lidar_vlp16` and `calibration`.

    Raises:
        InputError: a folder or file is missing.
    """
    names = _list_frames(root)
    card = _make_card(_fingerprint(root, names))
    return Source(card, _SPLIT, names, partial(read_each, partial(read_astyx_frame, root)))


def _make_card(fingerprint: str) -> DatasetCard:
    """The data set's card.

    Source: data-formats.md, sections 4 and 10.1.
    """
    return DatasetCard(
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
        provenance={"fingerprint": fingerprint},
    )


def _list_frames(root: Path) -> tuple[str, ...]:
    folder = root / RADAR_FOLDER
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {root} must hold the native Astyx layout")
    names = tuple(sorted(path.stem for path in folder.glob("*.txt") if path.stem.isdecimal()))
    if not names:
        raise InputError(f"{folder}: holds no file such as 000000.txt")
    return names


def _fingerprint(root: Path, names: Sequence[str]) -> str:
    """Short hash of the names and sizes of the native files, to tell one source from another."""
    digest = hashlib.sha256()
    for name in names:
        for path in _native_paths(root, name):
            if not path.is_file():
                raise InputError(f"{path}: no such file")
            digest.update(f"{path.parent.name}/{path.name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def read_astyx_frame(root: Path, name: str) -> ScanPair:
    """Read one native frame, the LiDAR cropped to what lies before the radar.

    Args:
        root: folder that holds `radar_6455`, `lidar_vlp16` and `calibration`.
        name: the frame's six digits.

    Raises:
        InputError: a file is missing or malformed, or no point is left.

    Source: data-formats.md, section 4.
    """
    radar_path, lidar_path, calibration_path = _native_paths(root, name)
    T_radar_lidar = _read_calibration(calibration_path)
    return ScanPair(
        name=name,
        radar=usable_points(_read_table(radar_path, RADAR_HEADER), str(radar_path)),
        lidar=_read_lidar(lidar_path, T_radar_lidar),
        T_radar_lidar=T_radar_lidar,
    )


def _native_paths(root: Path, name: str) -> tuple[Path, Path, Path]:
    return (
        root / RADAR_FOLDER / f"{name}.txt",
        root / LIDAR_FOLDER / f"{name}.txt",
        root / CALIBRATION_FOLDER / f"{name}.json",
    )


def _read_lidar(path: Path, T_radar_lidar: NDArray[np.float64]) -> NDArray[np.float32]:
    cropped = _crop(_read_table(path, LIDAR_HEADER), T_radar_lidar)
    points = usable_points(cropped, str(path))
    check_bounds(points[:, 3], f"{path}: column Reflectivity", 0.0, INTENSITY_MAX)
    return points


def _crop(lidar: NDArray[np.float64], T_radar_lidar: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep what lies within 75 deg of the radar's axis: the yaw between the two is 2.7 deg."""
    # Damaged tables can hold infinity, which lies nowhere and so is left out.
    with np.errstate(over="ignore", invalid="ignore"):
        seen = transform_points(T_radar_lidar, lidar)
        ahead = np.abs(azimuth_rad(seen)) < LIDAR_AZIMUTH_MAX_RAD
        return lidar[ahead & (np.linalg.norm(seen[:, :3], axis=1) > LIDAR_RANGE_MIN_M)]


def _read_table(path: Path, header: tuple[str, ...]) -> NDArray[np.float64]:
    """Read the first columns of a table below its header; the radar's has a blank line before."""
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    found = tuple(lines[0].split()[: len(header)]) if lines else ()
    if found != header:
        raise InputError(f"{path}: has header {' '.join(found)!r}; must begin {' '.join(header)!r}")
    if len(lines) == 1:
        raise InputError(f"{path}: holds no point; at least 1 is needed")
    try:
        return np.loadtxt(lines[1:], usecols=range(len(header)), ndmin=2)
    except ValueError as error:
        raise InputError(f"{path}: is no table of numbers ({error})") from error


def _read_calibration(path: Path) -> NDArray[np.float64]:
    try:
        sensors = json.loads(read_text(path))["sensors"]
        T_ref = {item["sensor_uid"]: item["calib_data"]["T_to_ref_COS"] for item in sensors}
        T_ref_radar, T_ref_lidar = T_ref[RADAR_FOLDER], T_ref[LIDAR_FOLDER]
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: lacks T_to_ref_COS of {RADAR_FOLDER} or {LIDAR_FOLDER} ({error!r})"
        ) from error
    radar = rigid_transform(T_ref_radar, f"{path}: {RADAR_FOLDER}")
    return np.linalg.inv(radar) @ rigid_transform(T_ref_lidar, f"{path}: {LIDAR_FOLDER}")
