"""Frames of which trained runs make several clouds each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from radarsparse.enhancer import Enhancer
from radarsparse.evaluation.frames import PREDICTION, RAW, Cloud, FrameClouds, crop, describe_volume
from radarsparse.evaluation.workers import Workers
from radarsparse.geometry import Volume
from radarsparse.scan import ScanPair

Row = Callable[[ScanPair], Cloud]
"""Makes a row's cloud of a pair."""


class NamedPairs(Protocol):
    """Pairs by number, and their names."""

    @property
    def names(self) -> Sequence[str]:
        """Of the pairs, in order."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> ScanPair: ...


@dataclass(frozen=True)
class RunFrames:
    """What trained runs make of pairs.

    Attributes:
        rows: by name.
        pairs: each is cropped to the volume.
        volume: of the runs.
    """

    rows: Mapping[str, Row]
    pairs: NamedPairs
    volume: Volume

    @staticmethod
    def of(enhancer: Enhancer, pairs: NamedPairs, seed: int) -> "RunFrames":
        """The rows of one run, see `rows_of_run`."""
        return RunFrames(rows_of_run(enhancer, seed), pairs, enhancer.volume)

    @property
    def names(self) -> Sequence[str]:
        """As in `FrameSource`."""
        return self.pairs.names

    @property
    def diagonal_m(self) -> float:
        """As in `FrameSource`."""
        return self.volume.diagonal_m

    @property
    def region(self) -> dict[str, Any]:
        """As in `FrameSource`."""
        return describe_volume(self.volume)

    def check(self, workers: Workers) -> "RunFrames":
        """As in `FrameSource`."""
        return self

    def read(self, name: str) -> FrameClouds:
        """As in `FrameSource`."""
        pair = self.pairs[self.pairs.names.index(name)]
        clouds = {row: make(pair) for row, make in self.rows.items()}
        target = crop(pair.lidar_in_radar_frame, self.volume, f"frame {name}: LiDAR")
        return FrameClouds(name, clouds, target, pair)


def rows_of_run(enhancer: Enhancer, seed: int) -> dict[str, Row]:
    """What one run is scored by: raw radar, regression, enhanced cloud, VAE reconstruction.

    Args:
        enhancer: the run.
        seed: of the noise, the same for every frame.
    """
    volume = enhancer.volume
    return {
        RAW: lambda pair: crop(pair.radar, volume, name_radar(pair))[:, :3],
        "regression": lambda pair: enhancer.regress(pair.radar, name_radar(pair)).table,
        PREDICTION: lambda pair: enhancer(pair.radar, seed, name=name_radar(pair)).table,
        "reconstruction": lambda pair: enhancer.reconstruct(pair).table,
    }


def name_radar(pair: ScanPair) -> str:
    """What errors call the radar cloud of a pair."""
    return f"frame {pair.name}: radar"
