"""What every source of frames gives: the clouds of one moment, cropped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.evaluation.workers import Workers
from radarsparse.geometry import Volume
from radarsparse.scan import ScanPair

Cloud = NDArray[np.floating]

PREDICTION = "pred"
RAW = "raw"
ROW_NAMES = {
    RAW: "raw radar",
    "regression": "regression",
    PREDICTION: "enhanced",
    "reconstruction": "VAE reconstruction",
}


@dataclass(frozen=True)
class FrameClouds:
    """The clouds of one moment, cropped.

    Attributes:
        name: of the frame.
        clouds: by row of the table, [n, 3 or 4], radar frame.
        target: the LiDAR cloud, [m, 3 or 4], radar frame.
        pair: the whole sweeps, where they are known.
    """

    name: str
    clouds: Mapping[str, Cloud]
    target: Cloud
    pair: ScanPair | None


class FrameSource(Protocol):
    """Frames that are read, or made, when asked for."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the frames, sorted."""
        ...

    @property
    def diagonal_m(self) -> float | None:
        """The distance that stands for having no neighbour; None leaves it to each frame."""
        ...

    @property
    def volume(self) -> Volume:
        """Where sweeps are known, the box whose cells they observe."""
        ...

    @property
    def region(self) -> dict[str, Any]:
        """What the clouds were cropped to, as `metrics.json` holds it."""
        ...

    def check(self, workers: Workers) -> "FrameSource":
        """The frames with all that is known after a look at every one of them.

        Raises:
            InputError: they can't be compared.
        """
        ...

    def read(self, name: str) -> FrameClouds:
        """One frame.

        Raises:
            InputError: it can't be read or made.
        """
        ...


def describe_volume(volume: Volume) -> dict[str, Any]:
    """A volume as `metrics.json` holds it."""
    return {
        "volume": {
            "minimum_m": volume.minimum_m,
            "maximum_m": volume.maximum_m,
            "azimuth_max_deg": float(np.degrees(volume.azimuth_max_rad)),
        }
    }


def crop(points: Cloud, volume: Volume, name: str) -> Cloud:
    """The points inside a volume.

    Raises:
        InputError: there are none.
    """
    inside = points[volume.contains(points)]
    if len(inside) == 0:
        raise InputError(
            f"{name}: none of {len(points)} points lies in the box {volume.minimum_m} .."
            f" {volume.maximum_m} m"
        )
    return inside
