"""Clouds of several folders that belong together by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from radarsparse.errors import InputError
from radarsparse.evaluation.crop import CropBox, Side, check_same_crop
from radarsparse.evaluation.frames import (
    PREDICTION,
    RAW,
    ROW_NAMES,
    Cloud,
    FrameClouds,
    describe_volume,
)
from radarsparse.evaluation.workers import Workers
from radarsparse.formats.clouds import list_clouds, read_radar, read_rows, unique_names
from radarsparse.formats.prepared import is_prepared, read_frame
from radarsparse.geometry import Volume
from radarsparse.scan import ScanPair

Files = Mapping[str, Path]

# What else `metrics.json` and its entries per frame hold beside the rows.
TAKEN_NAMES = {
    *ROW_NAMES,
    *("name", "frames", "definitions", "volume", "crop", "diagonal_m", "intervals", "left_out"),
    *("bands", "worst", "per_frame", "unmatched_targets"),
}


@dataclass(frozen=True)
class Folders:
    """Where clouds lie that belong together by name.

    Attributes:
        pred: predicted clouds, radar frame.
        target: LiDAR clouds, radar frame, or prepared frames.
        raw: radar clouds or prepared frames, if they are scored too.
        compared: further predictions by the name of their row.
    """

    pred: Path
    target: Path
    raw: Path | None
    compared: Mapping[str, Path]


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
        diagonal_m: the distance that stands for having no neighbour.
        unmatched: how many targets have no prediction.
    """

    files: Mapping[str, Files]
    targets: Files
    box: CropBox | None
    volume: Volume
    diagonal_m: float | None
    unmatched: int

    @staticmethod
    def find(folders: Folders, box: CropBox | None, volume: Volume) -> "FolderFrames":
        """List the files without opening them.

        Raises:
            InputError: a folder is missing or empty, two files share a name, or a frame lacks a
                file in one of the folders.
        """
        preds, targets = _by_name(folders.pred), _by_name(folders.target)
        files = {PREDICTION: preds}
        for name, folder in folders.compared.items():
            files[name] = _by_name(folder)
            _check_partners(files[name], preds, folders.pred)
            _check_partners(preds, files[name], folder)
        if folders.raw:
            files[RAW] = _by_name(folders.raw)
            _check_partners(preds, files[RAW], folders.raw)
        _check_partners(preds, targets, folders.target)
        matched = {name: targets[name] for name in preds}
        diagonal_m = box.diagonal_m if box else None
        return FolderFrames(files, matched, box, volume, diagonal_m, len(targets) - len(preds))

    def check(self, workers: Workers) -> "FolderFrames":
        """The frames with their diagonal, after every cloud was opened once.

        Raises:
            InputError: a file can't be read, or predictions and targets were cropped differently.
        """
        if self.box:
            return self
        target = Side.measure("target", self._read_target, self.names, workers)
        boxes = list(target.boxes.values())
        for row in [row for row in self.files if row != RAW]:
            side = Side.measure(row, partial(self._read_row, row), self.names, workers)
            check_same_crop(side, target, workers)
            boxes += side.boxes.values()
        if self._crops_to_volume:
            return replace(self, diagonal_m=self.volume.diagonal_m)
        diagonal_m = CropBox.joined(boxes).diagonal_m if boxes else 0.0
        return replace(self, diagonal_m=diagonal_m or None)

    @property
    def names(self) -> Sequence[str]:
        """As in `FrameSource`."""
        return list(self.targets)

    @property
    def region(self) -> dict[str, Any]:
        """As in `FrameSource`."""
        region: dict[str, Any] = {"unmatched_targets": self.unmatched}
        if self.box:
            corners = {"minimum_m": self.box.minimum_m, "maximum_m": self.box.maximum_m}
            return {"crop": corners, **region}
        return {**describe_volume(self.volume), **region} if self._crops_to_volume else region

    def read(self, name: str) -> FrameClouds:
        """As in `FrameSource`."""
        file = self.targets[name]
        pair = read_frame(file) if is_prepared(file) else None
        target = self._lidar_of(pair) if pair else self._crop(read_rows(file))
        clouds = {row: self._read_row(row, name, pair) for row in self.files}
        return FrameClouds(name, clouds, target, pair)

    @property
    def _crops_to_volume(self) -> bool:
        return self.box is None and any(map(is_prepared, self.targets.values()))

    def _read_target(self, name: str) -> Cloud:
        file = self.targets[name]
        if is_prepared(file):
            return self._lidar_of(read_frame(file))
        return self._crop(read_rows(file))

    def _read_row(self, row: str, name: str, pair: ScanPair | None = None) -> Cloud:
        file = self.files[row][name]
        if row != RAW:
            return self._crop(read_rows(file))
        if not is_prepared(file):
            return self._crop(read_radar(file))[:, :3]
        # raw radar and target are often one file
        sweeps = pair if pair and file == self.targets[name] else read_frame(file)
        return self._crop_sweep(sweeps.radar)[:, :3]

    def _lidar_of(self, pair: ScanPair) -> Cloud:
        return self._crop_sweep(pair.lidar_in_radar_frame)

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


def _by_name(path: Path) -> dict[str, Path]:
    return unique_names(list_clouds(path))


def _check_partners(files: Files, others: Files, folder: Path) -> None:
    for name, file in files.items():
        if name not in others:
            raise InputError(f"{file}: has no partner named {name} in {folder}")
