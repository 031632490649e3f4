"""A folder of anyone's paired clouds: PCD, PLY, NPY or raw float32, told of in a YAML file."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from radarsparse.config import describe_faults, parse_yaml
from radarsparse.config.base import Settings
from radarsparse.datasets.build import Source
from radarsparse.datasets.native import check_bounds, source_of_files
from radarsparse.errors import InputError
from radarsparse.formats.clouds import unique_names
from radarsparse.formats.content import as_float64, parse_file, parse_unstated_bin
from radarsparse.formats.prepared import INTENSITY_MAX, DatasetCard, frame_name, rigid_transform
from radarsparse.formats.tables import PARSERS, read_named, read_npy, read_text
from radarsparse.scan import LIDAR_COLUMNS, RADAR_COLUMNS, ScanPair, usable_points

LAYOUT_FILE = "layout.yaml"
NUMBER_MAX = 999_999

Entry = Annotated[float, Field(ge=-1e4, le=1e4)]
Number = Annotated[int, Field(ge=0, le=NUMBER_MAX)]


class FileSettings(Settings):
    """The clouds of a sensor.

    `columns` says what ours are called in files that name theirs; in others it lists all of a row.
    """

    folder: Annotated[str, Field(min_length=1, max_length=255)]
    suffix: Literal[".pcd", ".ply", ".npy", ".bin"]
    columns: dict[str, str] | tuple[str, ...]

    def check(self, key: str, wanted: Sequence[str]) -> None:
        """Raise a `ValueError` where `columns` isn't of the right form or names."""
        named = self.suffix in PARSERS
        if isinstance(self.columns, dict) != named:
            form = "a mapping of our names to theirs" if named else "a list"
            raise ValueError(f"{key}.columns must be {form} for {self.suffix}")
        if missing := set(wanted) - set(self.columns):
            raise ValueError(f"{key}.columns lacks {', '.join(sorted(missing))}")
        if named and (unknown := set(self.columns) - set(wanted)):
            raise ValueError(f"{key}.columns has unknown {', '.join(sorted(unknown))}")

    def find(self, root: Path) -> dict[str, Path]:
        """The files by their name without suffix; none where there is no such folder.

        Raises:
            InputError: two names differ by the suffix's capitals only.
        """
        folder = root / self.folder
        files = folder.iterdir() if folder.is_dir() else ()
        return unique_names(
            file
            for file in sorted(files)
            if file.suffix.lower() == self.suffix and file.name[0] != "." and file.is_file()
        )

    def read(self, path: Path, wanted: Sequence[str]) -> NDArray[np.floating]:
        """Read some of our columns, [n, len(wanted)]."""
        if isinstance(self.columns, dict):
            return read_named(path, [self.columns[name] for name in wanted])
        count = len(self.columns)
        if self.suffix == ".npy":
            rows = read_npy(path, (count,))
        else:
            parse = partial(parse_unstated_bin, count, "float32", f" as {LAYOUT_FILE} has it")
            rows = parse_file(path, parse)
        return rows[:, [self.columns.index(name) for name in wanted]]


class FolderLayout(Settings):
    """The contents of `layout.yaml`.

    `split` has inclusive ranges of the files' numbers; where any file of the radar has a name that
    is no number, of their places in the list of all names, from 0.
    """

    card: DatasetCard
    radar: FileSettings
    lidar: FileSettings
    lidar_intensity_max: Annotated[float, Field(ge=1e-3, le=1e9)] = INTENSITY_MAX
    T_radar_lidar: list[list[Entry]]
    split: dict[str, list[tuple[Number, Number]]]

    @model_validator(mode="after")
    def _columns_are_named_and_splits_apart(self) -> "FolderLayout":
        self.radar.check("radar", RADAR_COLUMNS)
        self.lidar.check("lidar", LIDAR_COLUMNS)
        ranges = sorted(bounds for listed in self.split.values() for bounds in listed)
        for first, last in ranges:
            if first > last:
                raise ValueError(f"split has [{first}, {last}], which ends before it begins")
        for one, two in pairwise(ranges):
            if two[0] <= one[1]:
                raise ValueError(f"split has {list(one)} and {list(two)}, which share frames")
        return self


def open_folder(root: Path) -> Source:
    """Find the frames of a folder that holds `layout.yaml`.

    Args:
        root: folder with the layout and the clouds; a pair's files have the same name.

    Raises:
        InputError: the layout is missing or malformed, or there are no radar clouds.
    """
    path = root / LAYOUT_FILE
    text = read_text(path)
    try:
        raw = json.dumps(parse_yaml(text, str(path)))
        layout = FolderLayout.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise InputError(f"{path}: {describe_faults(error)}") from error
    T_radar_lidar = rigid_transform(layout.T_radar_lidar, f"{path}: T_radar_lidar")
    digest = {"layout": hashlib.sha256(text.encode()).hexdigest()[:16]}
    card = replace(layout.card, provenance=digest)
    read = partial(_read_frame, layout, T_radar_lidar)
    return source_of_files(card, layout.split, root, _find_pairs(root, layout), read)


def _find_pairs(root: Path, layout: FolderLayout) -> dict[str, tuple[Path, Path]]:
    radar, lidar = layout.radar, layout.lidar
    folder = root / radar.folder
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {root / LAYOUT_FILE} names it")
    radars, lidars = radar.find(root), lidar.find(root)
    if not radars:
        raise InputError(f"{folder}: holds no file that ends in {radar.suffix}")
    return {
        name: (radars[stem], lidars.get(stem, root / lidar.folder / f"{stem}{lidar.suffix}"))
        for name, stem in _number(sorted(radars), folder).items()
    }


def _number(stems: Sequence[str], folder: Path) -> dict[str, str]:
    """The files' names by six digits: their own number, or the place where any has none."""
    numbered = all(stem.isascii() and stem.isdecimal() for stem in stems)
    # Longer ones are beyond the bound, and Python refuses to read the longest.
    numbers = [int(stem[:99]) for stem in stems] if numbered else range(len(stems))
    if max(numbers) > NUMBER_MAX or len(set(numbers)) < len(stems):
        raise InputError(
            f"{folder}: its files' numbers must differ and be {NUMBER_MAX} at most;"
            f" {stems[0]} .. {stems[-1]} don't"
        )
    return {frame_name(number): stem for number, stem in zip(numbers, stems, strict=True)}


def _read_frame(
    layout: FolderLayout, T_radar_lidar: NDArray[np.float64], name: str, radar: Path, lidar: Path
) -> ScanPair:
    points = usable_points(layout.radar.read(radar, RADAR_COLUMNS), RADAR_COLUMNS, str(radar))
    targets = as_float64(layout.lidar.read(lidar, LIDAR_COLUMNS))
    scale = INTENSITY_MAX / layout.lidar_intensity_max
    targets[:, 3] *= scale
    usable = usable_points(targets, LIDAR_COLUMNS, str(lidar))
    beyond = (usable[:, 3] < 0.0) | (usable[:, 3] > INTENSITY_MAX)
    theirs = usable[beyond, 3] / scale  # in the file's units again
    check_bounds(theirs, f"{lidar}: intensity", 0.0, layout.lidar_intensity_max)
    return ScanPair(name, points, usable, T_radar_lidar)
