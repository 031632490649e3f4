"""Every rung of the ladder on the same frames: raw radar, regression, many steps, few steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radarsparse.config import SamplingSettings
from radarsparse.enhancer import Enhancer
from radarsparse.evaluation.frames import PREDICTION, RAW, Cloud, crop
from radarsparse.evaluation.runs import Row, name_radar, rows_of_run
from radarsparse.geometry import Volume
from radarsparse.metrics import evaluate
from radarsparse.metrics.voxel import occupancy_calibration
from radarsparse.models.consensus import Scene, draw_consensus
from radarsparse.models.state import State
from radarsparse.scan import ScanPair
from radarsparse.sparse import fill, prune, use_engine
from radarsparse.sparse.ops import union_support
from radarsparse.voxels.batch import make_batch
from radarsparse.voxels.voxelize import place_points

GROWN = "raw radar grown by one voxel"
HEUN = "Heun, 18 steps, one draw"
WRONG = "VAE reconstruction, wrong cells"
MISSING_SHARE, FALSE_SHARE = 0.05, 0.1
HEUN_STEPS, FEW_STEPS = 18, (1, 2, 4)
# Draws of which the best is reported, and shares of the curve of calibration.
DRAWS, CALIBRATION_BINS = 8, 10

# What one plain draw is, and the regression.
SINGLE: Mapping[str, Any] = {
    "samples": 1,
    "views": 1,
    "regression_share": 0.0,
    "start_sigma": None,
    "temperature": 1.0,
    "guidance": 1.0,
    "detail_sigma": None,
    "voxel_probability": SamplingSettings().voxel_probability,
}
COLD, DETAILED = "1 step, one draw, temperature 0.5", "regression, its details drawn"


@dataclass(frozen=True)
class Ladder:
    """The runs of one training seed.

    Attributes:
        many: of stage `edm`.
        few: of stage `ect` or `distill`, tuned from it.
        seed: of the noise.
    """

    many: Enhancer
    few: Enhancer
    seed: int = 0

    def rows(self) -> dict[str, Row]:
        """What makes each row's cloud of a pair; `PREDICTION` is what ships."""
        ships = self.few.sampling
        drawn = {
            **{name_few(steps): {"steps": steps} for steps in FEW_STEPS},
            COLD: {"steps": 1, "temperature": 0.5},
            DETAILED: {
                "regression_share": 1.0,
                "detail_sigma": ships.detail_sigma,
                "voxel_probability": ships.voxel_probability,
            },
        }
        volume, plain = self.many.volume, rows_of_run(_single(self.many, {}), self.seed)
        return {
            RAW: plain[RAW],
            GROWN: lambda pair: grow(plain[RAW](pair), volume),
            "regression": plain["regression"],
            HEUN: self._draw(_single(self.many, {"steps": HEUN_STEPS})),
            **{name: self._draw(_single(self.few, update)) for name, update in drawn.items()},
            PREDICTION: self._draw(self.few),
            WRONG: lambda pair: reconstruct_wrongly(self.many, pair, self.seed),
            "reconstruction": plain["reconstruction"],
        }

    def _draw(self, enhancer: Enhancer) -> Row:
        return lambda pair: enhancer(pair.radar, self.seed, name=name_radar(pair)).table


def _single(enhancer: Enhancer, update: Mapping[str, Any]) -> Enhancer:
    """One plain draw of a run, but for some settings."""
    return enhancer.with_sampling(enhancer.sampling.model_copy(update={**SINGLE, **update}))


@torch.no_grad()
def reconstruct_wrongly(enhancer: Enhancer, pair: ScanPair, seed: int) -> Cloud:
    """The true cloud through the VAE, without some of its cells and with empty ones, [n, 4]."""
    batch, vae = make_batch([pair], enhancer.volume), enhancer.network.vae
    random = torch.Generator().manual_seed(seed)
    with use_engine(enhancer.engine):
        latent = vae.encode(batch.lidar)
        kept = prune(latent, torch.rand(len(latent.feats), generator=random) >= MISSING_SHARE)
        empty = ~latent.support.find(batch.lattice.support.keys)[1]
        share = FALSE_SHARE * len(latent.feats) / int(empty.sum())
        added = empty & (torch.rand(len(empty), generator=random) < share)
        support = union_support(kept.support, prune(batch.lattice, added).support)
        # A cell that was never there has the mean latent, which is 0.
        voxels = vae.decode(fill(kept, support), batch.radar)
    return place_points(voxels.coords[:, 1:].numpy(), voxels.feats.numpy(), enhancer.volume)


def name_few(steps: int) -> str:
    """What the table calls a row of few steps."""
    return f"{steps} step{'s' if steps > 1 else ''}, one draw"


def grow(points: Cloud, volume: Volume) -> NDArray[np.floating]:
    """Centres of the voxels that hold a point or touch one that does, [n, 3]."""
    index = np.unique(volume.voxel_index(points), axis=0)
    offsets = np.array(list(product((-1, 0, 1), repeat=3)))
    grown = np.unique((index[:, None] + offsets).reshape(-1, 3), axis=0)
    centers = volume.voxel_center(grown)
    return centers[volume.contains(centers)]


@torch.no_grad()
def score_draws(ladder: Ladder, pairs: Sequence[ScanPair]) -> dict[str, Any]:
    """How much draws differ, and whether flags are as likely as they say.

    Args:
        ladder: whose few-step run draws.
        pairs: frames.

    Returns:
        Means over frames: of the first draw and of the best of `DRAWS`, by Chamfer and by F-score;
        calibration of the mean of the draws: by bin of what is said of a flag, how often it is up,
        and the expected calibration error.
    """
    settings = {**SINGLE, "samples": DRAWS}
    sampling = ladder.few.sampling.model_copy(update=settings)
    scored = [_score_frame(ladder, pair, sampling) for pair in pairs]
    scores = np.stack([scores for scores, _, _ in scored])
    said, up = (torch.cat(parts) for parts in zip(*((s, u) for _, s, u in scored), strict=True))
    found = occupancy_calibration(said, up, CALIBRATION_BINS)
    best = np.stack([scores[:, :, 0].min(1), scores[:, :, 1].max(1)], axis=1)
    return {
        "draws": DRAWS,
        "first": _name_scores(scores[:, 0].mean(0)),
        "best": _name_scores(best.mean(0)),
        "said": found.mean_probability.tolist(),
        "found": found.share_occupied.tolist(),
        "flags": found.count.tolist(),
        "calibration_error": found.expected_error,
    }


def _score_frame(
    ladder: Ladder, pair: ScanPair, sampling: SamplingSettings
) -> tuple[NDArray[np.float64], Tensor, Tensor]:
    """Chamfer and F-score of each draw; what the mean says of observed flags, and the truth."""
    enhancer, network = ladder.few.with_sampling(sampling), ladder.few.network
    batch = make_batch([pair], enhancer.volume)
    scene = Scene(batch.radar, batch.cells, batch.volume)
    with use_engine(enhancer.engine):
        draws = draw_consensus(network, pair.radar, scene, ladder.seed, sampling).draws
        target = crop(pair.lidar_in_radar_frame, enhancer.volume, pair.name)
        scores = []
        for draw in draws:
            cloud = enhancer.decode(draw, draw[None], scene).table
            found = evaluate(cloud, target, diagonal_m=enhancer.volume.diagonal_m)
            scores.append((found["chamfer_sum_m"], found["fscore@0.5m"]))
        said = (0.5 * (State.split(draws.mean(0)).flags + 1.0)).clamp(0.0, 1.0)
        up = State.split(network.clean_state(batch)).flags > 0
    rows = batch.observed
    return np.array(scores), said[rows].flatten(), up[rows].flatten()


def _name_scores(values: NDArray[np.float64]) -> Mapping[str, float]:
    return dict(zip(("chamfer_sum_m", "fscore@0.5m"), map(float, values), strict=True))
