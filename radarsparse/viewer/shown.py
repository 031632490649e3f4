"""Which frames can be shown, and how one is read: only when it is asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch

from radarsparse.errors import InputError
from radarsparse.files import count_of
from radarsparse.formats.clouds import (
    list_clouds,
    read_probable_rows,
    read_radar,
    unique_names,
)
from radarsparse.formats.columns import Fields
from radarsparse.formats.prepared import is_prepared, read_frame
from radarsparse.metrics import nearest
from radarsparse.viewer.coloring import LAYER_NAMES, Floats, Layer, ShownFrame

RADAR, ENHANCED, LIDAR = LAYER_NAMES
FRAMES_KEPT = 4


@dataclass(frozen=True)
class ShownFrames:
    """Frames of which every layer has a file.

    Attributes:
        names: sorted.
        files: the file of each frame, by layer.
        fields: what the columns of radar clouds are.
    """

    names: tuple[str, ...]
    files: Mapping[str, Mapping[str, Path]]
    fields: Fields | None = None

    @staticmethod
    def find(paths: Mapping[str, Path]) -> "ShownFrames":
        """List the frames that all paths have, without opening a file.

        Args:
            paths: a file, a folder of clouds or prepared frames, by layer. Single files belong
                together whatever their names.

        Raises:
            InputError: nothing is given, a path is missing or empty, or they share no name.
        """
        if not paths:
            raise InputError("nothing to show: give prepared frames, or clouds of a layer")
        ordered = {name: paths[name] for name in LAYER_NAMES if name in paths}
        files = {name: unique_names(list_clouds(path)) for name, path in ordered.items()}
        if all(path.is_file() for path in ordered.values()):
            name = " + ".join(dict.fromkeys(path.stem for path in ordered.values()))
            return ShownFrames((name,), {layer: {name: path} for layer, path in ordered.items()})
        shared = set.intersection(*(set(named) for named in files.values()))
        if not shared:
            listed = ", ".join(map(str, dict.fromkeys(ordered.values())))
            raise InputError(f"{listed}: share no file name, so no frame has all layers")
        return ShownFrames(tuple(sorted(shared)), files)

    def only(self, name: str) -> "ShownFrames":
        """The set of one frame.

        Raises:
            InputError: there is no such frame.
        """
        if name not in self.names:
            count, ends = count_of(len(self.names), "frame"), f"{self.names[0]} to {self.names[-1]}"
            raise InputError(f"frame {name}: not among the {count} {ends}")
        return replace(self, names=(name,))

    def first(self, count: int) -> "ShownFrames":
        """The set of the first frames."""
        return replace(self, names=self.names[:count])

    @cached_property
    def read(self) -> Callable[[str], ShownFrame]:
        """What reads a frame by its name; the latest ones are kept, for who asks layer by layer.

        It raises `InputError` where a file can't be read or is of another kind.
        """
        return lru_cache(maxsize=FRAMES_KEPT)(self._read)

    def _read(self, name: str) -> ShownFrame:
        files = {layer: named[name] for layer, named in self.files.items()}
        layers = {layer: self._read_layer(layer, file) for layer, file in files.items()}
        if LIDAR in layers:
            target = layers[LIDAR].points
            for other in set(layers) - {LIDAR}:
                layers[other] = _with_error(layers[other], target)
        return ShownFrame(name, tuple(layers.values()))

    def _read_layer(self, name: str, file: Path) -> Layer:
        if name == RADAR:
            rows = read_radar(file, self.fields)
            values = {"height": rows[:, 2], "doppler": rows[:, 3], "power": rows[:, 4]}
            return Layer(RADAR, rows[:, :3], values)
        if name == LIDAR and is_prepared(file):
            rows, probability = read_frame(file).lidar_in_radar_frame, None
        else:
            rows, probability = read_probable_rows(file)
        rows = rows.astype(np.float32)
        kept = np.isfinite(rows[:, :3]).all(axis=1)
        values: dict[str, Floats] = dict(zip(("height", "intensity"), rows.T[2:], strict=False))
        if probability is not None and name == ENHANCED:
            values["probability"] = probability
        return Layer(name, rows[kept, :3], {key: column[kept] for key, column in values.items()})


def _with_error(layer: Layer, target: Floats) -> Layer:
    if not len(layer.points) or not len(target):
        return layer
    # the rows of one file are a slice of a wider table
    clouds = (torch.from_numpy(np.ascontiguousarray(cloud)) for cloud in (layer.points, target))
    squared_m2, _ = nearest(*clouds)
    return replace(layer, values={**layer.values, "error": squared_m2.sqrt().numpy()})
