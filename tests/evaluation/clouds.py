"""Small folders of clouds that several tests score."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from radarsparse.config import VolumeSettings
from radarsparse.evaluation.folders import FolderFrames
from radarsparse.evaluation.frames import PREDICTION, RAW
from radarsparse.geometry import Volume

VOLUME = Volume.from_settings(VolumeSettings())


def cloud(*points: tuple[float, ...]) -> np.ndarray:
    """[n, 4]; intensity 0 where it isn't given."""
    rows = [(*point, 0.0)[:4] for point in points]
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def save(folder: Path, **clouds: np.ndarray) -> Path:
    """A folder of `.npy` files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, points in clouds.items():
        np.save(folder / f"{name}.npy", points)
    return folder


def find(
    pred: Path, target: Path, raw: Path | None = None, compared: Mapping[str, Path] | None = None
) -> FolderFrames:
    folders = {PREDICTION: pred, **(compared or {}), **({RAW: raw} if raw else {})}
    return FolderFrames.find(folders, target, None, VOLUME)


# By hand: in frame a, both points of the prediction are 1 m from the target's only point; in frame
# b, they are 0 m and 3 m from the nearest of two, of which one is 0 m and one 4 m away.
PRED = {
    "a": cloud((5, 1, 0, 10), (5, -1, 0, 30)),
    "b": cloud((5, 0, 0, 7), (8, 0, 0, 7)),
}
TARGET = {"a": cloud((5, 0, 0, 20)), "b": cloud((5, 0, 0, 5), (5, -4, 0, 5))}
