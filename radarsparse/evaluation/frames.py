"""Frames that are scored: the clouds of one moment, from files or made by trained runs."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from radarsparse.enhancer import EnhancedCloud, Enhancer
from radarsparse.errors import InputError
from radarsparse.evaluation.crop import Cloud
from radarsparse.geometry import Volume
from radarsparse.scan import ScanPair

MakeRow = Callable[[ScanPair], Cloud]
"""Makes a row's cloud of a pair."""

PREDICTION = "pred"
DRAW = "draw"
RAW = "raw"
REAL = "real"  # real clouds beside others, where rows are compared as sets
ROW_NAMES = {
    RAW: "raw radar",
    "regression": "regression",
    PREDICTION: "enhanced",
    DRAW: "one draw",
    "reconstruction": "VAE reconstruction",
}


@dataclass(frozen=True)
class FrameClouds:
    """What is compared in one frame: a cloud for each row of the table, and the LiDAR's.

    Attributes:
        name: of the frame.
        clouds: by row, [n, 3 or 4], radar frame, cropped.
        target: the LiDAR cloud, [m, 3 or 4], radar frame, cropped.
        pair: the whole sweeps, where they are known.
    """

    name: str
    clouds: Mapping[str, Cloud]
    target: Cloud
    pair: ScanPair | None


@dataclass(frozen=True)
class FrameSource:
    """Frames that are read, or made, when asked for.

    Attributes:
        names: of the frames, sorted.
        read: gives the clouds of a frame; raises `InputError` where it can't.
        volume: where sweeps are known, the box whose cells they observe.
        diagonal_m: the distance that stands for having no neighbour; None leaves it to each frame.
        region: what the clouds were cropped to, as `metrics.json` holds it.
    """

    names: Sequence[str]
    read: Callable[[str], FrameClouds]
    volume: Volume
    diagonal_m: float | None
    region: Mapping[str, Any]


def frames_of_rows(
    rows: Mapping[str, MakeRow], names: Sequence[str], pairs: Sequence[ScanPair], volume: Volume
) -> FrameSource:
    """Frames whose clouds are made of pairs.

    Args:
        rows: by name.
        names: of the pairs.
        pairs: each is cropped to the volume.
        volume: of the runs behind the rows.
    """

    def read(name: str) -> FrameClouds:
        pair = pairs[names.index(name)]
        clouds = {row: make_cloud(pair) for row, make_cloud in rows.items()}
        target = crop(pair.lidar_in_radar_frame, volume, f"frame {name}: LiDAR")
        return FrameClouds(name, clouds, target, pair)

    return FrameSource(names, read, volume, volume.diagonal_m, describe_volume(volume))


def rows_of_run(enhancer: Enhancer, seed: int) -> dict[str, MakeRow]:
    """What one run is scored by, from raw radar to the VAE's reconstruction.

    The LiDAR that is imitated stands where the frame's own does.

    Args:
        enhancer: the run.
        seed: of the noise, from which every frame gets its own.
    """
    volume = enhancer.volume

    def regress(pair: ScanPair) -> Cloud:
        there = enhancer.beside(pair)
        return there.regress(pair.radar, _name_radar(pair)).table

    def enhance(pair: ScanPair, samples: int = 0) -> EnhancedCloud:
        there, own_seed = enhancer.beside(pair), frame_seed(seed, pair.name)
        return there(pair.radar, own_seed, samples=samples, name=_name_radar(pair))

    return {
        RAW: lambda pair: crop(pair.radar, volume, _name_radar(pair))[:, :3],
        "regression": regress,
        PREDICTION: lambda pair: enhance(pair).table,
        DRAW: lambda pair: enhance(pair, samples=1).draws[0].table,
        "reconstruction": lambda pair: enhancer.reconstruct(pair).table,
    }


def frame_seed(seed: int, name: str) -> int:
    """A frame's own seed: noise that all frames share would look like a trait of the set.

    Args:
        seed: of the whole evaluation.
        name: of the frame.
    """
    return zlib.crc32(f"{seed} {name}".encode())


def _name_radar(pair: ScanPair) -> str:
    return f"frame {pair.name}: radar"


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
