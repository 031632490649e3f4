"""What the data sets share that is no file format: pairs of files, splits, hashes, bounds."""

import hashlib
import os
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from radarsparse.datasets.build import EachFrame, Source
from radarsparse.errors import InputError
from radarsparse.formats.prepared import INTENSITY_MAX, DatasetCard, Split
from radarsparse.geometry import Floats
from radarsparse.scan import LIDAR_COLUMNS, ScanPair, usable_points

T = TypeVar("T")

HALF_TURN_S = 0.05
"""Of a LiDAR at 10 Hz: more apart, a radar cloud belongs to another turn."""


def source_of_files(
    card: DatasetCard,
    split: Split,
    root: Path,
    files: Mapping[str, Sequence[Path]],
    read: Callable[..., ScanPair],
) -> Source:
    """The frames of a data set that are each made from native files of their own.

    Args:
        card: what is known without the files, whose fingerprint is added.
        split: of the frames.
        root: the native folder.
        files: of each frame, by its name.
        read: makes a frame of its name and its files.
    """
    names = tuple(sorted(files))
    digest = fingerprint(root, chain.from_iterable(files[name] for name in names))
    card = replace(card, provenance={**card.provenance, "fingerprint": digest})
    return Source(card, split, names, EachFrame(_OfFiles(read, dict(files))))


@dataclass(frozen=True)
class _OfFiles:
    read: Callable[..., ScanPair]
    files: Mapping[str, Sequence[Path]]

    def __call__(self, name: str) -> ScanPair:
        return self.read(name, *self.files[name])


def check_bounds(values: NDArray[np.floating], source: str, lowest: float, highest: float) -> None:
    """Refuse finite values that a column can't hold, so that files of other data sets are noticed.

    Raises:
        InputError: a value lies beyond the bounds.
    """
    finite = values[np.isfinite(values)].astype(np.float64)
    if ((finite < lowest) | (finite > highest)).any():
        raise InputError(
            f"{source}: lies in {finite.min():g} .. {finite.max():g};"
            f" must lie in {lowest:g} .. {highest:g}"
        )


def usable_lidar(points: Floats, source: str) -> NDArray[np.float32]:
    """Usable `LIDAR_COLUMNS` [n, 4] of a LiDAR whose intensity ends at 255: more is another's.

    Raises:
        InputError: an intensity is beyond 0 .. 255, most points are implausible or none is left.
    """
    check_bounds(points[:, 3], f"{source}: intensity", 0.0, INTENSITY_MAX)
    return usable_points(points, LIDAR_COLUMNS, source)


def clipped_lidar(points: Floats, source: str) -> NDArray[np.float32]:
    """Usable `LIDAR_COLUMNS` [n, 4] of a LiDAR that counts photons, of which few pass 255, cut.

    Raises:
        InputError: most points are implausible or none is left.
    """
    usable = usable_points(points, LIDAR_COLUMNS, source)
    usable[:, 3] = usable[:, 3].clip(0.0, INTENSITY_MAX)
    return usable


def parse_numbers(text: str, count: int, source: str) -> list[float]:
    """Read a line of numbers with blanks between them.

    Raises:
        InputError: there are more or less of them than `count`, or a word is no finite number.
    """
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InputError(f"{source}: {text.strip()[:200]!r}; must be {count} finite numbers")
    return numbers


def nearest_stamps(
    stamps_s: NDArray[np.float64], moments_s: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Find the stamp nearest to each moment; of two that are as near, the later one.

    Args:
        stamps_s: [m] seconds, ascending, at least one.
        moments_s: [n] seconds.

    Returns:
        [n] numbers of the stamps, which ascend where the moments do, and [n] seconds to them.
    """
    after = np.searchsorted(stamps_s, moments_s).clip(max=len(stamps_s) - 1)
    before = (after - 1).clip(min=0)
    gaps_s = np.abs(stamps_s[[before, after]] - moments_s)
    return np.where(gaps_s[0] < gaps_s[1], before, after), gaps_s.min(axis=0)


def unique_rows(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Keep the first of all rows [n, c] that are equal bit by bit, in their order."""
    rows = np.ascontiguousarray(points)
    _, first = np.unique(rows.view(f"V{rows.strides[0]}"), return_index=True)
    return rows[np.sort(first)]


def split_by_group(
    frames: Mapping[T, tuple[int, int]], val: Container[T], test: Container[T]
) -> Split:
    """Give whole groups of frames to the splits, so that no drive is cut.

    Args:
        frames: first and last frame's number of each group, such as a drive.
        val: groups.
        test: groups; all others are to train.
    """
    split: dict[str, list[tuple[int, int]]] = {"train": [], "val": [], "test": []}
    for group, bounds in frames.items():
        split["test" if group in test else "val" if group in val else "train"].append(bounds)
    return split


def fingerprint(root: Path, paths: Iterable[Path], salt: bytes = b"") -> str:
    """Short hash of the names and sizes of native files, to tell one source from another.

    Args:
        root: what the names are relative to.
        paths: the files; a missing one counts as such.
        salt: what else tells one source from another.
    """
    digest = hashlib.sha256(salt)
    for path in paths:
        size = path.stat().st_size if path.is_file() else "missing"
        digest.update(os.fsencode(os.path.relpath(path, root)) + f" {size}\n".encode())
    return digest.hexdigest()[:16]


def need_folder(folder: Path, layout: str) -> None:
    """Raise an `InputError` where there is no folder that a data set's layout has."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; the layout of {layout} has it")
