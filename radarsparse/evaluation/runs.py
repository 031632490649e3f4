"""The frames of a trained run: what it makes of a split."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from radarsparse.data.prepared import PreparedFrames
from radarsparse.enhancer import Enhancer
from radarsparse.evaluation.frames import PREDICTION, RAW, Frame, crop, describe_volume
from radarsparse.evaluation.team import Team
from radarsparse.geometry import Volume


@dataclass(frozen=True)
class RunFrames:
    """What a trained run makes of prepared frames, beside raw radar and VAE reconstruction.

    Attributes:
        enhancer: the run.
        prepared: pairs, each cropped to the run's volume.
        seed: of the noise, the same for every frame.
    """

    enhancer: Enhancer
    prepared: PreparedFrames
    seed: int

    @property
    def names(self) -> Sequence[str]:
        """As in `Frames`."""
        return self.prepared.names

    @property
    def volume(self) -> Volume:
        """As in `Frames`."""
        return self.enhancer.volume

    @property
    def diagonal_m(self) -> float:
        """As in `Frames`."""
        return self.volume.diagonal_m

    @property
    def region(self) -> dict[str, Any]:
        """As in `Frames`."""
        return describe_volume(self.volume)

    def check(self, team: Team) -> "RunFrames":
        """As in `Frames`."""
        return self

    def read(self, name: str) -> Frame:
        """As in `Frames`."""
        pair = self.prepared[self.prepared.names.index(name)]
        source = f"frame {name}: radar"
        clouds = {
            RAW: crop(pair.radar, self.volume, source)[:, :3],
            "regression": self.enhancer.regress(pair.radar, source).table,
            PREDICTION: self.enhancer(pair.radar, self.seed, name=source).table,
            "reconstruction": self.enhancer.reconstruct(pair).table,
        }
        target = crop(pair.lidar_in_radar_frame, self.volume, f"frame {name}: LiDAR")
        return Frame(name, clouds, target, pair)
