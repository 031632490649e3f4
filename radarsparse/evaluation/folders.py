"""Clouds of several folders that belong together by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from radarsparse.errors import InputError
from radarsparse.evaluation.crop import TARGET, Cloud, CropBox, check_crops
from radarsparse.evaluation.frames import (
    PREDICTION,
    RAW,
    REAL,
    ROW_NAMES,
    FrameClouds,
    FrameSource,
    describe_volume,
)
from radarsparse.evaluation.workers import Workers
from radarsparse.formats.clouds import list_clouds, read_radar, read_rows, unique_names
from radarsparse.formats.columns import Fields
from radarsparse.formats.prepared import is_prepared, read_frame
from radarsparse.geometry import Volume
from radarsparse.scan import ScanPair

Files = Mapping[str, Path]

# What else `metrics.json` and its entries per frame hold beside the rows.
TAKEN_NAMES = {
    *ROW_NAMES,
    *(REAL, "realism"),
    *("name", "frames", "definitions", "volume", "crop", "diagonal_m", "intervals", "left_out"),
    *("bands", "worst", "per_frame", "unmatched_targets"),
}


@dataclass(frozen=True)
class FolderFrames:
    """Clouds of several folders, by frame.

    Prepared frames hold whole sweeps, so these are cropped to the volume; other files are taken
    as they are. A box crops them all alike.

    Attributes:
        files: the file of each frame, by row.
        targets: the file of each frame's LiDAR cloud.
        box: the crop of all clouds, if one was given.
        volume: the crop of prepared frames without it.
        unmatched: how many targets have no prediction.
        fields: what the columns of radar clouds are.
    """

    files: Mapping[str, Files]
    targets: Files
    box: CropBox | None
    volume: Volume
    unmatched: int
    fields: Fields | None = None

    @staticmethod
    def find(
        folders: Mapping[str, Path], target: Path, box: CropBox | None, volume: Volume
    ) -> "FolderFrames":
        """List the files without opening them.

        Args:
            folders: clouds in the radar frame or, for the row `RAW`, prepared frames, too, by row;
                one is `PREDICTION`.
            target: folder of LiDAR clouds, radar frame, or of prepared frames.
            box: as in the class.
            volume: as in the class.

        Raises:
            InputError: a folder is missing or empty, two files share a name, or a frame lacks a
                file in one of the folders.
        """
        files = {row: unique_names(list_clouds(folder)) for row, folder in folders.items()}
        preds, targets = files[PREDICTION], unique_names(list_clouds(target))
        for row, folder in folders.items():
            if row not in (PREDICTION, RAW):
                _check_partners(files[row], preds, folders[PREDICTION])
            _check_partners(preds, files[row], folder)
        _check_partners(preds, targets, target)
        matched = {name: targets[name] for name in preds}
        return FolderFrames(files, matched, box, volume, len(targets) - len(preds))

    @property
    def names(self) -> Sequence[str]:
        """Of the frames, sorted."""
        return list(self.targets)

    def check(self, workers: Workers) -> FrameSource:
        """The frames as they are scored, after every cloud was opened once.

        Raises:
            InputError: a file can't be read, or predictions and targets were cropped differently.
        """
        region: dict[str, Any] = {"unmatched_targets": self.unmatched}
        if self.box:
            diagonal_m = self.box.diagonal_m
            region["crop"] = {key: corner.tolist() for key, corner in self.box._asdict().items()}
        else:
            spanned = check_crops(self.names, self._sides, workers)
            diagonal_m = (spanned.diagonal_m or None) if spanned else None
            if any(map(is_prepared, self.targets.values())):
                diagonal_m = self.volume.diagonal_m
                region |= describe_volume(self.volume)
        return FrameSource(self.names, self.read, self.volume, diagonal_m, region)

    def _sides(self, name: str) -> dict[str, Cloud]:
        frame = self.read(name)
        rows = {row: cloud for row, cloud in frame.clouds.items() if row != RAW}
        return {**rows, TARGET: frame.target}

    def read(self, name: str) -> FrameClouds:
        """As in `FrameSource`."""
        file = self.targets[name]
        pair = read_frame(file) if is_prepared(file) else None
        if pair:
            target = self._crop_sweep(pair.lidar_in_radar_frame)
        else:
            target = self._crop(read_rows(file))
        clouds = {row: self._read_row(row, name, pair) for row in self.files}
        return FrameClouds(name, clouds, target, pair)

    def _read_row(self, row: str, name: str, pair: ScanPair | None) -> Cloud:
        file = self.files[row][name]
        if row != RAW:
            return self._crop(read_rows(file))
        if not is_prepared(file):
            return self._crop(read_radar(file, self.fields))[:, :3]
        # raw radar and target are often one file
        sweeps = pair if pair and file == self.targets[name] else read_frame(file)
        return self._crop_sweep(sweeps.radar)[:, :3]

    def _crop(self, points: Cloud) -> Cloud:
        if self.box is None:
            return points
        # What isn't finite lies nowhere; it stays, to be counted.
        finite = np.isfinite(points[:, :3]).all(axis=1)
        return points[self.box.contains(points) | ~finite]

    def _crop_sweep(self, points: Cloud) -> Cloud:
        return self._crop(points) if self.box else points[self.volume.contains(points)]


def parse_compared(words: Sequence[str]) -> dict[str, Path]:
    """Read `NAME=DIR` of each further row of the table.

    Raises:
        InputError: a word has another form, or a name is taken.
    """
    compared: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not (name and equals and folder):
            raise InputError(f"--compare {word}: NAME=DIR expected")
        if name in compared or name in TAKEN_NAMES:
            raise InputError(f"--compare {word}: the name {name} is taken")
        compared[name] = Path(folder)
    return compared


def _check_partners(files: Files, others: Files, folder: Path) -> None:
    for name, file in files.items():
        if name not in others:
            raise InputError(f"{file}: has no partner named {name} in {folder}")
