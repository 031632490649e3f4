"""Prepared frames: a folder of `frames/NNNNNN.npz` with `split.yaml` and `dataset.yaml`."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError

from radarsparse.config import LidarSettings, describe_faults, read_yaml, to_yaml
from radarsparse.config.base import RINGS_MAX, RingsDeg
from radarsparse.errors import InputError
from radarsparse.files import replacing
from radarsparse.formats.content import array_names, read_npz
from radarsparse.scan import LIDAR_COLUMNS, RADAR_COLUMNS, ScanPair, usable_points

FRAMES_FOLDER = "frames"
SPLIT_FILE = "split.yaml"
CARD_FILE = "dataset.yaml"
RIGID_TOLERANCE = 1e-3
TRANSLATION_MAX_M = 1e4
TIME_GAP_MAX_S = 1e6
TIME_GAP = "time_gap_s"
INTENSITY_MAX = 255.0

_RINGS = "lidar_rings_deg"

Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]

Split = Mapping[str, Sequence[Sequence[int]]]
"""Inclusive ranges of frame numbers by split, such as `{"train": [[0, 378]]}`."""


@dataclass(frozen=True)
class DatasetCard:
    """What a user must know of a data set before using it.

    Attributes:
        radar_sensor: maker and model; so for the LiDAR.
        field_of_view_deg: the radar's full azimuth and elevation angles.
        licence: under which terms the points may be used.
        provenance: what the frames were made from; two cards differ if this differs.
        lidar_rings_deg: elevations of the rings of the LiDAR of all frames, in its own frame; none
            where it has no rings, they aren't known or the frames are of several LiDARs.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    name: str
    radar_sensor: str
    lidar_sensor: str
    field_of_view_deg: tuple[Positive, Positive]
    radar_rate_hz: Positive
    lidar_rate_hz: Positive
    licence: str
    citation: str
    provenance: Mapping[str, str | int] = field(default_factory=dict)
    lidar_rings_deg: RingsDeg = ()


def write_frame(folder: Path, pair: ScanPair) -> None:
    """Write `folder/frames/<name>.npz`; the folders are made where missing."""
    path = folder / FRAMES_FOLDER / f"{pair.name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        "radar": pair.radar.astype(np.float32),
        "lidar": pair.lidar.astype(np.float32),
        "T_radar_lidar": pair.T_radar_lidar.astype(np.float64),
    }
    if pair.time_gap_s is not None:
        arrays[TIME_GAP] = np.float64(pair.time_gap_s)
    if pair.rings_deg is not None:
        arrays[_RINGS] = np.array(pair.rings_deg, dtype=np.float64)
    with replacing(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read_frame(path: Path) -> ScanPair:
    """Read what `write_frame` wrote and check it; points that aren't usable are dropped and told.

    Raises:
        InputError: the file is missing or corrupt, an array is missing or has the wrong shape, the
            transform is not rigid, most points are implausible or none is left.
    """
    arrays = read_npz(path, ("radar", "lidar", "T_radar_lidar"), (TIME_GAP, _RINGS))
    return ScanPair(
        name=path.stem,
        radar=_read_points(arrays["radar"], RADAR_COLUMNS, f"{path}: radar"),
        lidar=_read_points(arrays["lidar"], LIDAR_COLUMNS, f"{path}: lidar"),
        T_radar_lidar=rigid_transform(arrays["T_radar_lidar"], f"{path}: T_radar_lidar"),
        time_gap_s=_read_time_gap_s(arrays.get(TIME_GAP), f"{path}: {TIME_GAP}"),
        rings_deg=_read_rings_deg(arrays.get(_RINGS), f"{path}: {_RINGS}"),
    )


def _read_points(points: NDArray[Any], columns: Sequence[str], source: str) -> NDArray[np.float32]:
    if points.ndim != 2 or points.shape[1] != len(columns):
        raise InputError(f"{source} has shape {points.shape}; must be (n, {len(columns)})")
    return usable_points(points, columns, source)


def _read_rings_deg(value: NDArray[Any] | None, source: str) -> tuple[float, ...] | None:
    if value is None:
        return None
    found = value.tolist() if value.ndim == 1 and value.dtype.kind in "iuf" else None
    if not found or len(found) > RINGS_MAX or not all(-90.0 <= deg <= 90.0 for deg in found):
        raise InputError(
            f"{source} = {value!s:.80}; must be 1 to {RINGS_MAX} elevations, -90 to 90 degrees"
        )
    return tuple(map(float, found))


def _read_time_gap_s(value: NDArray[Any] | None, source: str) -> float | None:
    if value is None:
        return None
    if value.shape != () or not 0 <= value <= TIME_GAP_MAX_S:
        bounds = f"0 to {TIME_GAP_MAX_S:g}"
        raise InputError(f"{source} = {value!s:.80}; must be one number of seconds, {bounds}")
    return float(value)


def rigid_transform(value: object, source: str) -> NDArray[np.float64]:
    """Check that nested lists or an array are a rigid 4x4 transform.

    Raises:
        InputError: it is not 4x4, not finite, no rotation with a translation, or that is farther
            than `TRANSLATION_MAX_M`.
    """
    try:
        transform = np.asarray(value, dtype=np.float64)
    except (OverflowError, TypeError, ValueError) as error:
        raise InputError(f"{source}: must be 4x4 numbers") from error
    if transform.shape != (4, 4):
        raise InputError(f"{source}: has shape {transform.shape}; must be (4, 4)")
    rotation = transform[:3, :3]
    with np.errstate(over="ignore", invalid="ignore"):
        skew = np.abs(rotation @ rotation.T - np.eye(3)).max()
        error = skew + np.abs(transform[3] - (0, 0, 0, 1)).max()
    is_near = np.isfinite(transform).all() and error <= RIGID_TOLERANCE
    if not (is_near and np.linalg.det(rotation) > 0):
        raise InputError(
            f"{source}: is not rigid (off by {error:.3g}, at most {RIGID_TOLERANCE:g} allowed;"
            " a rotation without mirroring over the row 0 0 0 1 is expected)"
        )
    if (farthest := np.abs(transform[:3, 3]).max()) > TRANSLATION_MAX_M:
        bound = f"at most {TRANSLATION_MAX_M:g} m"
        raise InputError(f"{source}: moves by {farthest:g} m; must be {bound} along each axis")
    return transform


def write_split(folder: Path, split: Split) -> None:
    """Write `split.yaml`: inclusive ranges of frame numbers by split."""
    write_yaml(folder / SPLIT_FILE, dict(split))


def read_split(folder: Path) -> dict[str, list[list[int]]]:
    """Read `split.yaml`: inclusive ranges of frame numbers by split.

    Raises:
        InputError: the file is missing or a range is malformed.
    """
    path = folder / SPLIT_FILE
    content = read_yaml(path)
    for name, ranges in content.items():
        if not isinstance(ranges, list) or not all(map(_is_range, ranges)):
            bound = "a list of [first, last] with 0 <= first <= last"
            raise InputError(f"{path}: {name} = {ranges!r:.200}; must be {bound}")
    return content


def write_dataset_card(folder: Path, card: DatasetCard) -> None:
    """Write `dataset.yaml`."""
    write_yaml(folder / CARD_FILE, _plain_card(card))


@dataclass(frozen=True)
class PreparedFrames(Sequence[ScanPair]):
    """The frames of one split, read when asked for.

    Attributes:
        root: folder of the prepared frames.
        names: the frames' names, sorted.
    """

    root: Path
    names: tuple[str, ...]

    @staticmethod
    def open(root: Path, split: str, ranges_of: Split | None = None) -> "PreparedFrames":
        """Find the frames of a split in a folder that holds `frames/` and `split.yaml`.

        Args:
            root: the folder.
            split: name of the split.
            ranges_of: splits in the place of those in `split.yaml`.

        Raises:
            InputError: a folder or file is missing, the split is unknown or holds no frame.
        """
        every = PreparedFrames.open_all(root)
        splits = read_split(root) if ranges_of is None else ranges_of
        if split not in splits:
            source = root / SPLIT_FILE if ranges_of is None else "data.split"
            there = ", ".join(map(str, splits))
            raise InputError(f"{source}: no split {split!r}; there are: {there}")
        ranges = splits[split]
        names = [
            name
            for name in every.names
            if any(first <= int(name) <= last for first, last in ranges)
        ]
        if not names:
            raise InputError(f"{root}: split {split!r} = {ranges!r:.200} holds none of the frames")
        return PreparedFrames(root, tuple(names))

    @staticmethod
    def open_all(root: Path) -> "PreparedFrames":
        """Find the frames of all splits, and those of none, in a folder that holds `frames/`.

        Raises:
            InputError: a folder is missing, or there is no frame.
        """
        for folder in (root, root / FRAMES_FOLDER):
            if not folder.is_dir():
                raise InputError(f"{folder}: no such folder; prepared frames are expected there")
        names = frame_names(root)
        if not names:
            raise InputError(f"{root / FRAMES_FOLDER}: holds no frame such as 000000.npz")
        return PreparedFrames(root, names)

    @property
    def fingerprint(self) -> str:
        """How many frames there are, and a hash of their names and sizes."""
        folder = self.root / FRAMES_FOLDER
        parts = [f"{name} {(folder / f'{name}.npz').stat().st_size}" for name in self.names]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        return f"{len(self.names)} frames, {digest}"

    @property
    def lidar_rings_deg(self) -> tuple[float, ...]:
        """As of the `DatasetCard`; none where there is no card, or an older one.

        Raises:
            InputError: the card can't be read.
        """
        path = self.root / CARD_FILE
        found = read_yaml(path).get(_RINGS, ()) if path.is_file() else ()
        try:
            raw = json.dumps({"rings_deg": found})
            return LidarSettings.model_validate_json(raw, strict=True).rings_deg
        except ValidationError as error:
            raise InputError(f"{path}: lidar_{describe_faults(error)}") from error

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> ScanPair:  # type: ignore[override]
        return read_frame(self.root / FRAMES_FOLDER / f"{self.names[index]}.npz")


def is_prepared(file: Path) -> bool:
    """Whether a file is a prepared frame; one that can't be opened isn't."""
    return file.suffix.lower() == ".npz" and "lidar" in array_names(file)


def frame_name(number: int) -> str:
    """The name of a frame's number, such as `000012`."""
    return f"{number:06d}"


def frame_names(root: Path) -> tuple[str, ...]:
    """Names of all numbered frames in a folder of prepared frames, sorted."""
    stems = (path.stem for path in (root / FRAMES_FOLDER).glob("*.npz"))
    return tuple(sorted(stem for stem in stems if stem.isdecimal()))


def holds_card(folder: Path, card: DatasetCard) -> bool:
    """Whether a folder's `dataset.yaml` says exactly this."""
    path, plain = folder / CARD_FILE, _plain_card(card)
    # Older cards say nothing of rings.
    return path.is_file() and {_RINGS: plain[_RINGS], **read_yaml(path)} == plain


def _plain_card(card: DatasetCard) -> dict[str, Any]:
    return json.loads(json.dumps(asdict(card)))  # lists in the place of tuples, as YAML has them


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    """Write a mapping, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = to_yaml(content, default_flow_style=None)
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def _is_range(bounds: Any) -> bool:
    is_pair = isinstance(bounds, list) and [type(bound) for bound in bounds] == [int, int]
    return is_pair and 0 <= bounds[0] <= bounds[1]
