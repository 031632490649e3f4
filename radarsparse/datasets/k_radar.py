"""K-Radar in its own layout: sparse radar tensors and Ouster OS2-64, by recordings.

The sparse tensors, the strongest hundredth of each radar cube, are a download of their own and
lie beside the recordings in `rtnh_wider_1p_1`, or `rtnh_wider_1p_1_doppler` with Doppler.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.build import Source
from radarsparse.datasets.native import (
    check_bounds,
    clipped_lidar,
    parse_numbers,
    source_of_files,
    split_by_group,
)
from radarsparse.errors import InputError
from radarsparse.formats.prepared import DatasetCard, frame_name
from radarsparse.formats.tables import read_named, read_npy, read_text
from radarsparse.scan import LIDAR_COLUMNS, RADAR_COLUMNS, ScanPair, usable_points

LABEL_FOLDER = "info_label"
RECORDINGS = range(1, 59)
FRAMES_PER_RECORDING = 10_000
"""Recording 7, radar frame 33 gets the number 70033, whichever are there."""

RADAR_ABOVE_LIDAR_M = 0.7
OFFSET_MAX_M = 10.0

_LABEL = re.compile(r"(\d{5})_(\d{5})")

# The official split puts neighbouring frames of every recording on both sides, so that a model is
# tested on places that it has seen; here no recording is cut. They are taken by number alone,
# spread over the months and their weather: where they were driven isn't published.
_TEST_RECORDINGS = range(5, 59, 5)
_VAL_RECORDINGS = range(3, 59, 10)

_CARD = DatasetCard(
    name="K-Radar",
    radar_sensor="RETINA-4ST, the strongest 1 % of the cube; Doppler 0 where not downloaded",
    lidar_sensor="Ouster OS2-64",
    field_of_view_deg=(106.0, 36.0),
    radar_rate_hz=10.0,
    lidar_rate_hz=10.0,
    licence="CC BY-NC-ND",
    citation=(
        "D.-H. Paek, S.-H. Kong, K. T. Wijaya: K-Radar: 4D Radar Object Detection for"
        " Autonomous Driving in Various Weather Conditions. NeurIPS Datasets and Benchmarks,"
        " 2022 (K-Radar)."
    ),
)


def open_k_radar(root: Path) -> Source:
    """Find the frames of a native folder.

    Args:
        root: folder that holds the recordings `1` to `58`, all together or in folders such as
            `dir_1to20`, and the sparse tensors.

    Raises:
        InputError: there are no recordings, no sparse tensors or no frames.

    Source: README, loaders and configurations of kaist-avelab/K-Radar.
    """
    radar_folder, prefix = _find_radar(root)
    files: dict[str, tuple[Path, ...]] = {}
    for recording in _find_recordings(root):
        for label in sorted((recording / LABEL_FOLDER).glob("*.txt")):
            if match := _LABEL.fullmatch(label.stem):
                radar, lidar = match.groups()
                files[_number(int(recording.name), int(radar), label)] = (
                    radar_folder / f"{recording.name}/{prefix}_{radar}.npy",
                    recording / f"os2-64/os2-64_{lidar}.pcd",
                    recording / "info_calib/calib_radar_lidar.txt",
                )
    if not files:
        raise InputError(f"{root}: holds no file such as 1/{LABEL_FOLDER}/00033_00001.txt")
    per = FRAMES_PER_RECORDING
    frames = {each: (each * per, each * per + per - 1) for each in RECORDINGS}
    split = split_by_group(frames, _VAL_RECORDINGS, _TEST_RECORDINGS)
    return source_of_files(_CARD, split, root, files, _read_frame)


def _find_radar(root: Path) -> tuple[Path, str]:
    """The folder of the sparse tensors, and how their names begin."""
    kinds = (("rtnh_wider_1p_1_doppler", "rdr_sparse_doppler"), ("rtnh_wider_1p_1", "sprdr"))
    for folder, prefix in kinds:
        for found in _glob_shallow(root, folder):
            return found, prefix
    raise InputError(f"{root}: holds no folder {kinds[1][0]} of sparse radar tensors")


def _find_recordings(root: Path) -> list[Path]:
    folders = (labels.parent for labels in _glob_shallow(root, f"*/{LABEL_FOLDER}"))
    numbered = [folder for folder in folders if re.fullmatch(r"[0-9]+", folder.name)]
    if wrong := [folder for folder in numbered if int(folder.name) not in RECORDINGS]:
        raise InputError(
            f"{wrong[0]}: is no recording of K-Radar; they are {RECORDINGS[0]} .. {RECORDINGS[-1]}"
        )
    return sorted(numbered, key=lambda folder: int(folder.name))


def _glob_shallow(root: Path, pattern: str) -> Iterable[Path]:
    return sorted([*root.glob(pattern), *root.glob(f"*/{pattern}")])


def _number(recording: int, radar: int, label: Path) -> str:
    if radar >= FRAMES_PER_RECORDING:
        raise InputError(f"{label}: has radar frame {radar}; must be below {FRAMES_PER_RECORDING}")
    return frame_name(recording * FRAMES_PER_RECORDING + radar)


def _read_frame(name: str, radar: Path, lidar: Path, calibration: Path) -> ScanPair:
    points = clipped_lidar(read_named(lidar, LIDAR_COLUMNS), str(lidar))
    return ScanPair(name, _read_radar(radar), points, _read_calibration(calibration))


def _read_radar(path: Path) -> NDArray[np.float32]:
    """Read x, y, z, power and, where the file has it, Doppler; power is linear in the files."""
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        rows = read_npy(path, (4, 5)).astype(np.float32)
        check_bounds(rows[:, 3], f"{path}: column power", 0.0, np.inf)
        power_db = 10.0 * np.log10(rows[:, 3])
    doppler_mps = rows[:, 4] if rows.shape[1] == 5 else np.zeros(len(rows))
    points = np.column_stack([rows[:, :3], doppler_mps, power_db])
    return usable_points(points, RADAR_COLUMNS, str(path))


def _read_calibration(path: Path) -> NDArray[np.float64]:
    """Read the offset of the LiDAR from the radar, whose axes are parallel."""
    line = "".join(read_text(path).splitlines()[1:2])
    source = f"{path}: offset of line 2, 'frame offset,x,y'"
    offset_m = parse_numbers(" ".join(line.split(",")[1:3]), 2, source)
    check_bounds(np.array(offset_m), source, -OFFSET_MAX_M, OFFSET_MAX_M)
    T_radar_lidar = np.eye(4)
    T_radar_lidar[:3, 3] = *offset_m, RADAR_ABOVE_LIDAR_M
    return T_radar_lidar
