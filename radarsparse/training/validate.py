"""Scores of unseen frames while a stage trains, and what follows from them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from radarsparse.config import ValidationSettings
from radarsparse.errors import InputError
from radarsparse.geometry import Volume
from radarsparse.metrics import evaluate, summarize
from radarsparse.scan import ScanPair
from radarsparse.training.loader import Rank
from radarsparse.training.stages import Cloud, Stage

# All other metrics are better when they are larger.
_SMALLER_IS_BETTER = ("_m", "_m2", "_mae", "jsd_bev", "jsd_3d")


def choose_frames(frames: Sequence[ScanPair], count: int) -> list[int]:
    """Numbers of some frames, spread evenly over all of them."""
    chosen = np.linspace(0, len(frames) - 1, min(count, len(frames)))
    return np.unique(chosen.round().astype(int)).tolist()


def truth_of(pair: ScanPair, volume: Volume) -> Cloud:
    """The LiDAR points of a pair in the volume, radar frame."""
    lidar = pair.lidar_in_radar_frame
    return lidar[volume.contains(lidar)]


@dataclass
class Best:
    """The best value of a metric so far, and when it was reached."""

    settings: ValidationSettings
    value: float = field(default=math.nan)
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
        self.value = state.get("value", math.nan)
        self.samples = int(state.get("samples", 0))


class Validator:
    """Scores and pictures of some frames that training doesn't see.

    Args:
        frames: of the validation split.
        volume: where predictions live and truth is cropped to.
        rank: this process scores its share of the frames.
        best: the best scores so far.
        render: draws clouds side by side.
    """

    def __init__(
        self,
        frames: Sequence[ScanPair],
        volume: Volume,
        rank: Rank,
        best: Best,
        render: Callable[[Mapping[str, Cloud], str], NDArray[np.uint8]],
    ) -> None:
        self._frames, self._volume, self._rank = frames, volume, rank
        self.best, self._render = best, render
        self._chosen = choose_frames(frames, best.settings.frames)

    def score(self, stage: Stage) -> dict[str, float]:
        """`summarize` of the frames' metrics, all processes together."""
        stage.eval()
        rank = self._rank
        shares = self._chosen[rank.number :: rank.world_size]
        own = [self._score(stage, self._frames[index]) for index in shares]
        gathered: list[Any] = [own]
        if rank.world_size > 1:
            gathered = [None] * rank.world_size
            torch.distributed.all_gather_object(gathered, own)
        return summarize([score for part in gathered for score in part])

    def draw(self, stage: Stage, seen: int) -> NDArray[np.uint8]:
        """Radar, output and LiDAR of the middle one of the frames."""
        stage.eval()
        pair = self._frames[self._chosen[len(self._chosen) // 2]]
        clouds = {
            "radar": pair.radar[self._volume.contains(pair.radar), :3],
            "output": stage.predict(pair, self._volume),
            "LiDAR": truth_of(pair, self._volume),
        }
        return self._render(clouds, f"frame {pair.name} after {seen:,} samples")

    def _score(self, stage: Stage, pair: ScanPair) -> dict[str, float]:
        truth = truth_of(pair, self._volume)
        predicted = stage.predict(pair, self._volume)
        return evaluate(predicted, truth, diagonal_m=self._volume.diagonal_m)
