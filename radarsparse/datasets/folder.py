"""A folder of anyone's paired clouds: PCD, PLY, NPY or raw float32, told of in a YAML file."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from radarsparse.config import parse_yaml
from radarsparse.config.settings import Settings
from radarsparse.datasets.build import Source, read_each
from radarsparse.errors import InputError
from radarsparse.formats.prepared import DatasetCard, rigid_transform, usable_points
from radarsparse.formats.tables import (
    INTENSITY_MAX,
    CloudFiles,
    check_bounds,
    fingerprint,
    read_float32,
    read_npy,
    read_pcd,
    read_ply,
    read_text,
)
from radarsparse.scan import LIDAR_COLUMNS, RADAR_COLUMNS, ScanPair

LAYOUT_FILE = "layout.yaml"
NUMBER_MAX = 999_999

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
IntensityMax = Annotated[float, Field(ge=1e-3, le=1e9)]
Entry = Annotated[float, Field(ge=-1e4, le=1e4)]
Number = Annotated[int, Field(ge=0, le=NUMBER_MAX)]
Name = Annotated[str, Field(min_length=1, max_length=255)]


class NamedFiles(Settings):
    """Clouds whose files name their columns; `columns` says what ours are called there."""

    folder: Name
    suffix: Literal[".pcd", ".ply"]
    columns: dict[str, str]

    def read(self, path: Path, wanted: Sequence[str]) -> NDArray[np.floating]:
        """Read some of our columns, [n, len(wanted)]."""
        read = read_pcd if self.suffix == ".pcd" else read_ply
        return read(path, [self.columns[name] for name in wanted])


class OrderedFiles(Settings):
    """Clouds whose files have no names; `columns` lists all of a row's, ours by our names."""

    folder: Name
    suffix: Literal[".npy", ".bin"]
    columns: tuple[str, ...]

    def read(self, path: Path, wanted: Sequence[str]) -> NDArray[np.floating]:
        """Read some of our columns, [n, len(wanted)]."""
        count = len(self.columns)
        rows = read_npy(path, (count,)) if self.suffix == ".npy" else read_float32(path, count)
        return rows[:, [self.columns.index(name) for name in wanted]]


Files = Annotated[NamedFiles | OrderedFiles, Field(discriminator="suffix")]


class Card(Settings):
    """What a user must know of the data set before using it."""

    name: str
    radar_sensor: str
    lidar_sensor: str
    field_of_view_deg: tuple[Positive, Positive]
    radar_rate_hz: Positive
    lidar_rate_hz: Positive
    licence: str
    citation: str


class FolderLayout(Settings):
    """The contents of `layout.yaml`.

    `split` has inclusive ranges of the files' numbers; where any file of the radar has a name that
    is no number, of their places in the list of all names, from 0.
    """

    card: Card
    radar: Files
    lidar: Files
    lidar_intensity_max: IntensityMax = INTENSITY_MAX
    T_radar_lidar: list[list[Entry]]
    split: dict[str, list[tuple[Number, Number]]]

    @model_validator(mode="after")
    def _columns_are_named(self) -> "FolderLayout":
        for key, files, wanted in (
            ("radar", self.radar, RADAR_COLUMNS),
            ("lidar", self.lidar, LIDAR_COLUMNS),
        ):
            missing = set(wanted) - set(files.columns)
            unknown = set(files.columns) - set(wanted) if isinstance(files, NamedFiles) else set()
            if missing or unknown:
                listed = ", ".join(sorted(missing | unknown))
                raise ValueError(f"{key}.columns {'lacks' if missing else 'has unknown'} {listed}")
        return self

    @model_validator(mode="after")
    def _splits_are_apart(self) -> "FolderLayout":
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
    layout = _parse_layout(text, path)
    T_radar_lidar = rigid_transform(layout.T_radar_lidar, f"{path}: T_radar_lidar")
    pairs = _find_pairs(root, layout)
    provenance = {
        "layout": hashlib.sha256(text.encode()).hexdigest()[:16],
        "fingerprint": fingerprint(root, (file for pair in pairs.values() for file in pair)),
    }
    card = DatasetCard(**layout.card.model_dump(), provenance=provenance)
    read = partial(read_each, partial(_read_frame, layout, T_radar_lidar, pairs))
    return Source(card, layout.split, tuple(pairs), read)


def _parse_layout(text: str, path: Path) -> FolderLayout:
    try:
        return FolderLayout.model_validate(parse_yaml(text, str(path)))
    except ValidationError as error:
        raise InputError(f"{path}: " + "; ".join(_describe(error))) from error


def _describe(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(map(str, item['loc'])) or 'layout'}: {item['msg']}" for item in error.errors()
    ]


def _find_pairs(root: Path, layout: FolderLayout) -> dict[str, CloudFiles]:
    radar, lidar = layout.radar, layout.lidar
    folder = root / radar.folder
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; {root / LAYOUT_FILE} names it")
    stems = sorted(path.stem for path in folder.iterdir() if path.suffix == radar.suffix)
    if not stems:
        raise InputError(f"{folder}: holds no file that ends in {radar.suffix}")
    return {
        name: CloudFiles(
            folder / f"{stem}{radar.suffix}", root / lidar.folder / f"{stem}{lidar.suffix}"
        )
        for name, stem in sorted(_number(stems, folder).items())
    }


def _number(stems: Sequence[str], folder: Path) -> dict[str, str]:
    """The files' names by six digits: their own number, or the place where any has none."""
    numbered = all(stem.isascii() and stem.isdecimal() for stem in stems)
    numbers = [int(stem) for stem in stems] if numbered else range(len(stems))
    if max(numbers) > NUMBER_MAX or len(set(numbers)) < len(stems):
        raise InputError(
            f"{folder}: its files' numbers must differ and be {NUMBER_MAX} at most;"
            f" {stems[0]} .. {stems[-1]} don't"
        )
    return {f"{number:06d}": stem for number, stem in zip(numbers, stems, strict=True)}


def _read_frame(
    layout: FolderLayout,
    T_radar_lidar: NDArray[np.float64],
    pairs: Mapping[str, CloudFiles],
    name: str,
) -> ScanPair:
    pair = pairs[name]
    radar = layout.radar.read(pair.radar, RADAR_COLUMNS)
    return ScanPair(
        name=name,
        radar=usable_points(radar, str(pair.radar)),
        lidar=_read_lidar(layout, pair.lidar),
        T_radar_lidar=T_radar_lidar,
    )


def _read_lidar(layout: FolderLayout, path: Path) -> NDArray[np.float32]:
    points = usable_points(layout.lidar.read(path, LIDAR_COLUMNS), str(path))
    check_bounds(points[:, 3], f"{path}: intensity", 0.0, layout.lidar_intensity_max)
    points[:, 3] *= INTENSITY_MAX / layout.lidar_intensity_max
    return points
