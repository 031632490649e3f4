"""K-Radar in its own layout: sparse radar tensors and Ouster OS2-64, by sequences.

The sparse tensors, the strongest hundredth of each radar cube, are a download of their own; they
lie beside the sequences in the folder `rtnh_wider_1p_1`, or `rtnh_wider_1p_1_doppler` with Doppler.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.build import Source, read_each
from radarsparse.errors import InputError
from radarsparse.formats.prepared import DatasetCard, Split, usable_points
from radarsparse.formats.tables import (
    INTENSITY_MAX,
    check_bounds,
    fingerprint,
    read_npy,
    read_pcd,
    read_text,
    split_by_group,
)
from radarsparse.scan import ScanPair

LABEL_FOLDER = "info_label"
SEQUENCES = range(1, 59)
FRAMES_PER_SEQUENCE = 10_000
"""Sequence 7, radar frame 33 gets the number 70033, whichever sequences are there."""

MISSING_RETURN_M = 0.01
RADAR_ABOVE_LIDAR_M = 0.7
OFFSET_MAX_M = 10.0

_LABEL = re.compile(r"(\d{5})_(\d{5})")

# The official split puts neighbouring frames of every sequence on both sides, so that a model is
# tested on scenes that it has seen; here no sequence is cut. They are taken by number alone, spread
# over the months and their weather: where the sequences were driven isn't published.
_TEST_SEQUENCES = range(5, 59, 5)
_VAL_SEQUENCES = range(3, 59, 10)


class _RadarFiles(NamedTuple):
    """Where the sparse tensors are.

    Attributes:
        folder: holds one folder for each sequence.
        prefix: of the files' names, before the radar frame's number.
    """

    folder: Path
    prefix: str


class _Frame(NamedTuple):
    """The native files of one frame."""

    radar: Path
    lidar: Path
    calibration: Path


def open_k_radar(root: Path) -> Source:
    """Find the frames of a native folder.

    Args:
        root: folder that holds the sequences `1` to `58`, all together or in folders such as
            `dir_1to20`, and the sparse tensors.

    Raises:
        InputError: there are no sequences, no sparse tensors or no frames.
    """
    frames = _find_frames(root)
    names = tuple(sorted(frames))
    card = _make_card(fingerprint(root, (path for name in names for path in frames[name])))
    read = partial(read_each, partial(_read_frame, frames))
    return Source(card, _split_by_sequence(), names, read)


def _find_frames(root: Path) -> dict[str, _Frame]:
    radar_files = _find_radar(root)
    frames: dict[str, _Frame] = {}
    for sequence in _find_sequences(root):
        for label in sorted((sequence / LABEL_FOLDER).glob("*.txt")):
            match = _LABEL.fullmatch(label.stem)
            if match:
                radar, lidar = match.groups()
                name = _number(int(sequence.name), int(radar), label)
                frames[name] = _native_paths(sequence, radar_files, radar, lidar)
    if not frames:
        raise InputError(f"{root}: holds no file such as 1/{LABEL_FOLDER}/00033_00001.txt")
    return frames


def _find_radar(root: Path) -> _RadarFiles:
    kinds = (("rtnh_wider_1p_1_doppler", "rdr_sparse_doppler"), ("rtnh_wider_1p_1", "sprdr"))
    for folder, prefix in kinds:
        for found in _glob_shallow(root, folder):
            return _RadarFiles(found, prefix)
    raise InputError(f"{root}: holds no folder {kinds[1][0]} of sparse radar tensors")


def _find_sequences(root: Path) -> list[Path]:
    folders = (labels.parent for labels in _glob_shallow(root, f"*/{LABEL_FOLDER}"))
    numbered = [folder for folder in folders if re.fullmatch(r"[0-9]+", folder.name)]
    wrong = [folder for folder in numbered if int(folder.name) not in SEQUENCES]
    if wrong:
        raise InputError(
            f"{wrong[0]}: is no sequence of K-Radar; they are {SEQUENCES[0]} .. {SEQUENCES[-1]}"
        )
    return sorted(numbered, key=lambda folder: int(folder.name))


def _glob_shallow(root: Path, pattern: str) -> Iterable[Path]:
    return sorted([*root.glob(pattern), *root.glob(f"*/{pattern}")])


def _number(sequence: int, radar: int, label: Path) -> str:
    if radar >= FRAMES_PER_SEQUENCE:
        raise InputError(f"{label}: has radar frame {radar}; must be below {FRAMES_PER_SEQUENCE}")
    return f"{sequence * FRAMES_PER_SEQUENCE + radar:06d}"


def _native_paths(sequence: Path, radar_files: _RadarFiles, radar: str, lidar: str) -> _Frame:
    return _Frame(
        radar_files.folder / sequence.name / f"{radar_files.prefix}_{radar}.npy",
        sequence / "os2-64" / f"os2-64_{lidar}.pcd",
        sequence / "info_calib" / "calib_radar_lidar.txt",
    )


def _split_by_sequence() -> Split:
    firsts = {sequence: sequence * FRAMES_PER_SEQUENCE for sequence in SEQUENCES}
    frames = {key: (first, first + FRAMES_PER_SEQUENCE - 1) for key, first in firsts.items()}
    return split_by_group(frames, _VAL_SEQUENCES, _TEST_SEQUENCES)


def _make_card(digest: str) -> DatasetCard:
    """The data set's card.

    Source: data-formats.md, section 5.
    """
    return DatasetCard(
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
        provenance={"fingerprint": digest},
    )


def _read_frame(frames: Mapping[str, _Frame], name: str) -> ScanPair:
    """Read one native frame.

    Source: data-formats.md, section 5.
    """
    frame = frames[name]
    return ScanPair(
        name=name,
        radar=_read_radar(frame.radar),
        lidar=_read_lidar(frame.lidar),
        T_radar_lidar=_read_calibration(frame.calibration),
    )


def _read_radar(path: Path) -> NDArray[np.float32]:
    """Read x, y, z, power and, where the file has it, Doppler; power is linear in the files."""
    points = usable_points(read_npy(path, (4, 5)), str(path))
    check_bounds(points[:, 3], f"{path}: column power", 0.0, np.inf)
    with np.errstate(divide="ignore"):
        power_db = 10.0 * np.log10(points[:, 3])
    doppler_mps = points[:, 4] if points.shape[1] == 5 else np.zeros(len(points))
    return usable_points(np.column_stack([points[:, :3], doppler_mps, power_db]), str(path))


def _read_lidar(path: Path) -> NDArray[np.float32]:
    points = usable_points(read_pcd(path, ("x", "y", "z", "intensity")), str(path))
    # Pulses without a return stand at the origin.
    hit = (np.abs(points[:, :2]) > MISSING_RETURN_M).any(axis=1)
    # The sensor counts photons, without an upper bound; only strong reflectors pass 255.
    points[:, 3] = np.clip(points[:, 3], 0.0, INTENSITY_MAX)
    return usable_points(points[hit], str(path))


def _read_calibration(path: Path) -> NDArray[np.float64]:
    """Read the offset of the LiDAR from the radar, whose axes are parallel."""
    lines = read_text(path).splitlines()
    try:
        forward_m, left_m = (float(text) for text in lines[1].split(",")[1:3])
    except (IndexError, ValueError) as error:
        raise InputError(f"{path}: line 2 must read 'frame offset,x,y' ({error})") from error
    check_bounds(np.array([forward_m, left_m]), f"{path}: offset", -OFFSET_MAX_M, OFFSET_MAX_M)
    T_radar_lidar = np.eye(4)
    T_radar_lidar[:3, 3] = forward_m, left_m, RADAR_ABOVE_LIDAR_M
    return T_radar_lidar
