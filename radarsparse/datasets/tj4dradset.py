"""TJ4DRadSet's Oculii Eagle radar; its LiDAR isn't published, so it only serves inference."""

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.kitti import list_numbers
from radarsparse.errors import InputError
from radarsparse.formats.prepared import usable_points
from radarsparse.formats.tables import read_float32

LAYOUT = "TJ4DRadSet"
RADAR_FOLDER = "training/velodyne"
RADAR_FIELDS = ("x", "y", "z", "V_r", "Range", "Power", "Alpha", "Beta")
RANGE_TOLERANCE = 1e-3


def convert_tj4dradset(root: Path, target: Path) -> int:
    """Write each radar cloud as [n, 5], x, y, z, Doppler and power, in the radar's frame.

    Args:
        root: native folder that holds `training/velodyne`.
        target: new or empty folder for `NNNNNN.npy`; it appears when all of them are written.

    Returns:
        How many clouds were written.

    Raises:
        InputError: a folder or file is missing or malformed, or the target can't be written.

    Source: data-formats.md, section 7.1.
    """
    numbers = list_numbers(root / RADAR_FOLDER, 6, LAYOUT)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target}: exists with other contents; name a new folder")
    partial = target.with_name(target.name + ".partial")
    try:
        partial.mkdir(parents=True)
        _convert_all([root / RADAR_FOLDER / f"{number:06d}.bin" for number in numbers], partial)
        partial.replace(target)
    except FileExistsError as error:
        raise InputError(f"{partial}: is in the way; remove it") from error
    except OSError as error:
        raise InputError(f"{target}: can't be written ({error})") from error
    return len(numbers)


def _convert_all(paths: list[Path], folder: Path) -> None:
    try:
        for path in paths:
            np.save(folder / f"{path.stem}.npy", read_tj4dradset_radar(path))
    except BaseException:
        shutil.rmtree(folder)
        raise


def read_tj4dradset_radar(path: Path) -> NDArray[np.float32]:
    """Read one native radar cloud.

    Args:
        path: a .bin file of `training/velodyne`.

    Returns:
        [n, 5], x, y, z in metres, Doppler in m/s and power in dB, radar frame.

    Raises:
        InputError: the file is missing, malformed or another data set's, or no point is left.

    Source: data-formats.md, section 7.1.
    """
    points = usable_points(read_float32(path, len(RADAR_FIELDS)), str(path))
    _check_ranges(points.astype(np.float64), path)
    return points[:, [0, 1, 2, 3, 5]]


def _check_ranges(points: NDArray[np.float64], path: Path) -> None:
    """Compare the range column with the coordinates: in any other table they differ."""
    range_m = np.linalg.norm(points[:, :3], axis=1)
    off_m = np.abs(points[:, 4] - range_m) - RANGE_TOLERANCE * range_m
    if off_m.max() > RANGE_TOLERANCE:
        row = int(off_m.argmax())
        raise InputError(
            f"{path}: point {row} has range {points[row, 4]:g} m in column Range; must be"
            f" {range_m[row]:g} m by its coordinates"
        )
