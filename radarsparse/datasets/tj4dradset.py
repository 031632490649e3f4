"""TJ4DRadSet's Oculii Eagle radar; its LiDAR isn't published, so it only serves inference."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.kitti import list_numbers
from radarsparse.errors import InputError
from radarsparse.files import Unfinished, replacing
from radarsparse.formats.prepared import frame_name
from radarsparse.formats.tables import read_float32
from radarsparse.scan import RADAR_COLUMNS, usable_points

LAYOUT = "TJ4DRadSet"
RADAR_FOLDER = "training/velodyne"
RADAR_FIELDS = ("x", "y", "z", "V_r", "Range", "Power", "Alpha", "Beta")
RANGE_TOLERANCE = 1e-3


def convert_tj4dradset(root: Path, target: Path) -> int:
    """Write each radar cloud as [n, 5], x, y, z, Doppler and power, in the radar's frame.

    Args:
        root: native folder that holds `training/velodyne`.
        target: new or empty folder for `NNNNNN.npy`; see `Unfinished`.

    Returns:
        How many clouds were written.

    Raises:
        InputError: a folder or file is missing or malformed, or the target can't be written.

    Source: README of TJRadarLab/TJ4DRadSet.
    """
    folder = root / RADAR_FOLDER
    names = list(map(frame_name, list_numbers(folder, 6, LAYOUT)))
    claim = {"data_set": LAYOUT, "source": str(root.resolve()), "clouds": len(names)}
    with Unfinished(target, claim).working() as results:
        for name in names:
            path = results / f"{name}.npy"
            if not path.exists():
                points = read_tj4dradset_radar(folder / f"{name}.bin")
                with replacing(path) as part, part.open("wb") as stream:
                    np.save(stream, points)
    return len(names)


def read_tj4dradset_radar(path: Path) -> NDArray[np.float32]:
    """Read one native radar cloud.

    Args:
        path: a .bin file of `training/velodyne`.

    Returns:
        [n, 5], x, y, z in metres, Doppler in m/s and power in dB, radar frame.

    Raises:
        InputError: the file is missing, malformed or another data set's, or no point is left.

    Source: README of TJRadarLab/TJ4DRadSet.
    """
    rows = read_float32(path, len(RADAR_FIELDS))
    points = usable_points(rows[:, [0, 1, 2, 3, 5]], RADAR_COLUMNS, str(path))
    # The range column fits the coordinates; in any other table they differ.
    finite = rows[np.isfinite(rows).all(axis=1)].astype(np.float64)
    range_m = np.linalg.norm(finite[:, :3], axis=1)
    off_m = np.abs(finite[:, 4] - range_m) - RANGE_TOLERANCE * range_m
    if off_m.max(initial=0.0) > RANGE_TOLERANCE:
        row = int(off_m.argmax())
        raise InputError(
            f"{path}: point {row} has range {finite[row, 4]:g} m in column Range; must be"
            f" {range_m[row]:g} m by its coordinates"
        )
    return points
