"""Given poses of radar scans, and what is plausible between two of them."""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.evaluation.scans import Clip
from radarsparse.files import count_of
from radarsparse.formats.prepared import rigid_transform

# Between two scans: at 10 Hz, 180 km/h and 300 deg/s.
STEP_MAX_M, TURN_MAX_DEG = 5.0, 30.0

STEPS, WORLD = "trans", "T_world_radar"


@dataclass(frozen=True)
class ScanPoses:
    """Where scans were taken.

    Attributes:
        path: of the file.
        transforms: [4, 4] of each scan, by name.
        are_steps: whether each leads to a scan's frame from that of the next one; else, to the
            world's from its own.
    """

    path: Path
    transforms: Mapping[str, NDArray[np.float64]]
    are_steps: bool

    def steps(self, clip: Clip) -> list[NDArray[np.float64]]:
        """For each scan of a clip but the last [4, 4] to its frame from that of the next.

        Raises:
            InputError: a scan has no pose, or two that follow each other lie too far apart.
        """
        needed = clip.scans[:-1] if self.are_steps else clip.scans
        if missing := [name for name in needed if name not in self.transforms]:
            count = count_of(len(missing), "scan")
            raise InputError(f"{self.path}: no pose of {count} of {clip.name}, first {missing[0]}")
        poses = [self.transforms[name] for name in needed]
        if not self.are_steps:
            poses = [
                np.linalg.inv(T_world_scan) @ T_world_next
                for T_world_scan, T_world_next in pairwise(poses)
            ]
        for at, step in enumerate(poses):
            _check_step(f"{self.path}: from {clip.scans[at]} to {clip.scans[at + 1]}", step)
        return poses


def read_poses(path: Path) -> ScanPoses:
    """Read an archive of `name` (n) and `trans` or `T_world_radar` (n, 4, 4).

    `trans` leads to a scan's frame from that of the next one.

    Raises:
        InputError: the file is missing or damaged, an array is missing or of another shape, a name
            stands twice, or a transform isn't rigid.
    """
    arrays = _read_arrays(path)
    key = WORLD if WORLD in arrays else STEPS
    if "name" not in arrays or key not in arrays:
        there = ", ".join(arrays) or "none"
        raise InputError(f"{path}: arrays name and {STEPS} or {WORLD} expected; there are: {there}")
    names, transforms = arrays["name"].astype(str), arrays[key]
    if names.ndim != 1 or transforms.shape != (len(names), 4, 4):
        raise InputError(
            f"{path}: name of shape {names.shape} and {key} of shape {transforms.shape} found,"
            " (n,) and (n, 4, 4) expected"
        )
    return ScanPoses(path, _by_name(names.tolist(), transforms, f"{path}: {key}"), key == STEPS)


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        # Opened here, since NumPy leaves a damaged one open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {key: archive[key] for key in ("name", STEPS, WORLD) if key in archive}
    except (AttributeError, EOFError, OSError, TypeError, ValueError) as error:
        raise InputError(f"{path}: can't be read ({error})") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: is damaged ({error})") from error


def _by_name(
    names: Sequence[str], transforms: NDArray[Any], source: str
) -> dict[str, NDArray[np.float64]]:
    found: dict[str, NDArray[np.float64]] = {}
    if len(names) and source.endswith(WORLD):
        # Worlds such as UTM begin far away; only differences count.
        transforms = transforms - np.pad(transforms[:1, :3, 3:], ((0, 0), (0, 1), (3, 0)))
    for name, transform in zip(names, transforms, strict=True):
        if name in found:
            raise InputError(f"{source}: holds {name} more than once")
        found[name] = rigid_transform(transform, f"{source} of {name}")
    return found


def _check_step(source: str, step: NDArray[np.float64]) -> None:
    length_m = float(np.linalg.norm(step[:3, 3]))
    if length_m > STEP_MAX_M:
        raise InputError(f"{source}, poses jump by {length_m:.3g} m; at most {STEP_MAX_M:g} m")
    cosine = np.clip(0.5 * (np.trace(step[:3, :3]) - 1.0), -1.0, 1.0)
    turn_deg = float(np.degrees(np.arccos(cosine)))
    if turn_deg > TURN_MAX_DEG:
        raise InputError(
            f"{source}, poses turn by {turn_deg:.3g} deg; at most {TURN_MAX_DEG:g} deg"
        )
