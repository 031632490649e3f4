"""Scores of unseen frames while a stage trains, and what follows from them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radarsparse.config import Config, ValidationSettings
from radarsparse.errors import InputError
from radarsparse.files import count_of
from radarsparse.geometry import Volume
from radarsparse.metrics import evaluate, summarize
from radarsparse.scan import ScanPair
from radarsparse.training.devices import Rank, gather
from radarsparse.training.stages import Stage

Cloud = NDArray[np.float32]
Render = Callable[[Mapping[str, Cloud], str], NDArray[np.uint8]]
"""Draws clouds side by side under a title: [height, width, 3]."""

# All other metrics are better when they are larger.
_SMALLER_IS_BETTER = ("_m", "_m2", "_mae", "jsd_bev", "jsd_3d")


def choose_frames(frames: Sequence[ScanPair], count: int) -> list[int]:
    """Numbers of some frames, spread evenly over all of them."""
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames)))
    return np.unique(chosen.round().astype(int)).tolist()


@dataclass
class Best:
    """The best value of a metric so far, and when it was reached."""

    settings: ValidationSettings
    value: float = math.nan
    samples: int = 0

    def improves(self, scores: Mapping[str, float], samples: int) -> bool:
        """Take notice of scores; whether they are the best so far.

        Raises:
            InputError: there is no such metric.
        """
        name = self.settings.metric
        if name not in scores:
            raise InputError(
                f"train.validation.metric = {name!r}: no such metric; there are: "
                + ", ".join(sorted(scores))
            )
        smaller = name.split("@")[0].endswith(_SMALLER_IS_BETTER)
        value = scores[name]
        better = value < self.value if smaller else value > self.value
        if math.isnan(value) or not (better or math.isnan(self.value)):
            return False
        self.value, self.samples = value, samples
        return True

    def is_stale(self, samples: int) -> bool:
        """Whether the run has waited for an improvement for too long."""
        patience = self.settings.patience_samples
        return patience is not None and samples - self.samples >= patience

    def state(self) -> dict[str, float]:
        """What resuming needs."""
        return {"value": self.value, "samples": self.samples}

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from a state; from an empty one as if nothing had been scored."""
        self.value, self.samples = state.get("value", math.nan), int(state.get("samples", 0))


class Validator:
    """Scores and pictures of some frames that training doesn't see.

    Args:
        frames: of the validation split.
        config: of the run, with settings of its validation.
        rank: this process scores its share of the frames.
        render: draws clouds side by side.
    """

    def __init__(
        self, frames: Sequence[ScanPair], config: Config, rank: Rank, render: Render
    ) -> None:
        assert config.train.validation is not None
        self.best = Best(config.train.validation)
        self._frames, self._rank, self._render = frames, rank, render
        self._volume = Volume.from_settings(config.volume)
        self._chosen = choose_frames(frames, self.best.settings.frames)

    def score(self, stage: Stage) -> dict[str, float]:
        """`summarize` of the frames' metrics, all processes together."""
        stage.eval()
        scores, diagonal_m = [], self._volume.diagonal_m
        for number in self._chosen[self._rank.number :: self._rank.world_size]:
            pair = self._frames[number]
            truth = self._truth_of(pair)
            scores.append(evaluate(stage.predict(pair), truth, diagonal_m=diagonal_m))
        return summarize(gather(scores, self._rank))

    def draw(self, stage: Stage, seen: int) -> NDArray[np.uint8]:
        """Radar, output and LiDAR of the middle one of the frames."""
        stage.eval()
        pair = self._frames[self._chosen[len(self._chosen) // 2]]
        clouds = {
            "radar": pair.radar[self._volume.contains(pair.radar), :3],
            "output": stage.predict(pair),
            "LiDAR": self._truth_of(pair),
        }
        return self._render(clouds, f"frame {pair.name} after {count_of(seen, 'sample')}")

    def _truth_of(self, pair: ScanPair) -> Cloud:
        """The LiDAR points of a pair in the volume, radar frame."""
        lidar = pair.lidar_in_radar_frame
        return lidar[self._volume.contains(lidar)]
