"""Measure every rung of the ladder on real and on simulated frames.

The rungs are what turns a radar cloud into a LiDAR-like one, from the worst to the ceiling: the
radar cloud itself, the regression, many steps, few steps, the VAE's own reconstruction.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from radarsparse.enhancer import Enhancer
from radarsparse.errors import InputError
from radarsparse.evaluation.crop import Cloud
from radarsparse.evaluation.frames import (
    DRAW,
    PREDICTION,
    RAW,
    MakeRow,
    crop,
    frame_seed,
    frames_of_rows,
    rows_of_run,
)
from radarsparse.evaluation.noise_levels import losses_by_level
from radarsparse.evaluation.report import make_report
from radarsparse.evaluation.results import Quality, write_results
from radarsparse.evaluation.score import score_frames
from radarsparse.evaluation.workers import Workers, start_workers
from radarsparse.files import check_file, count_of, replacing
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.geometry import Volume
from radarsparse.metrics import evaluate
from radarsparse.metrics.summary import RESAMPLES
from radarsparse.metrics.voxel import occupancy_calibration
from radarsparse.models.state import State
from radarsparse.scan import ScanPair
from radarsparse.simulator.pairs import simulate_pair
from radarsparse.sparse import fill, prune, use_engine
from radarsparse.sparse.ops import union_support
from radarsparse.training.planning.memory import read_peak_gib
from radarsparse.training.validate import choose_frames
from radarsparse.viewer.plots import save_levels, save_report
from radarsparse.voxels.returns import find_returns
from radarsparse.voxels.scene import Scene, make_views
from radarsparse.voxels.voxelize import place_points

GROWN = "raw radar grown by one voxel"
HEUN = "Heun, 18 steps, one draw"
WRONG = "VAE reconstruction, wrong cells"
MISSING_SHARE, FALSE_SHARE = 0.05, 0.1
HEUN_STEPS, FEW_STEPS = 18, (1, 2, 4)
# Draws of which the best is reported, and shares of the curve of calibration.
DRAWS, CALIBRATION_BINS = 8, 10
SQUARE = 4  # cells, 6.4 m where a voxel has 0.2 m
DRAW_METRICS = ("chamfer_sum_m", "fscore@0.5m")

# What one plain draw is, and the regression.
SINGLE: Mapping[str, Any] = {
    "samples": 1,
    "views": 1,
    "regression_share": 0.0,
    "start_sigma": None,
    "temperature": 1.0,
    "guidance": 1.0,
    "detail_sigma": None,
    "voxel_probability": 0.05,
}
CONSENSUS = "consensus of eight one-step draws"
# Of the few-step run: four draws of each view with the regression, details drawn anew.
TOGETHER: Mapping[str, Any] = {
    "steps": 1,
    "samples": 4,
    "views": 2,
    "regression_share": 0.5,
    "detail_sigma": 0.6,
    "voxel_probability": 0.09,
}

SEED = 0  # of the noise
# Seeds of simulated frames that no training run draws.
SIMULATED_SEED, SIMULATED_FRAMES = 1_000_003, 24
TIMED_FRAMES, DRAWN_FRAMES, PICTURES = 12, 22, 5
ABOUT = (
    "Written by `tools/benchmark.py quality`. Every metric is defined in [metrics.md](metrics.md).",
    "Times are medians of single frames, decoding included. Real frames are Astyx HiRes2019",
    "(Astyx GmbH, CC BY-NC-SA 4.0; so are the pictures made of them), drives that training never",
    "saw; sampling settings were chosen on them. Simulated frames are zero-shot: no run saw any.",
)


@dataclass(frozen=True)
class Ladder:
    """The runs of one training seed: of stage `edm`, and of a few-step stage tuned from it."""

    many: Enhancer
    few: Enhancer

    def rows(self) -> dict[str, MakeRow]:
        """What makes each row's cloud of a pair; `PREDICTION` is what ships."""
        drawn = {
            **{f"{count_of(steps, 'step')}, one draw": {"steps": steps} for steps in FEW_STEPS},
            CONSENSUS: TOGETHER,
        }
        shipped = rows_of_run(self.many, SEED)
        volume, plain = self.many.volume, self._rows(self.many, {"steps": HEUN_STEPS})
        return {
            RAW: plain[RAW],
            GROWN: lambda pair: grow(plain[RAW](pair), volume),
            "regression": plain["regression"],
            HEUN: plain[PREDICTION],
            **{name: self._rows(self.few, each)[PREDICTION] for name, each in drawn.items()},
            PREDICTION: shipped[PREDICTION],
            DRAW: shipped[DRAW],
            WRONG: lambda pair: reconstruct_wrongly(self.many, pair, frame_seed(SEED, pair.name)),
            "reconstruction": plain["reconstruction"],
        }

    def _rows(self, enhancer: Enhancer, update: Mapping[str, Any]) -> dict[str, MakeRow]:
        """Of one plain draw of a run, but for some settings."""
        sampling = enhancer.sampling.model_copy(update={**SINGLE, **update})
        return rows_of_run(enhancer.with_sampling(sampling), SEED)


@torch.no_grad()
def reconstruct_wrongly(enhancer: Enhancer, pair: ScanPair, seed: int) -> Cloud:
    """The true cloud through the VAE, without some of its cells and with empty ones, [n, 4]."""
    batch, vae = enhancer.make_batch(pair), enhancer.network.vae
    random = torch.Generator().manual_seed(seed)
    with use_engine(enhancer.engine):
        latent = vae.encode(batch.lidar)
        kept = prune(latent, torch.rand(len(latent.feats), generator=random) >= MISSING_SHARE)
        empty = ~latent.support.find(batch.lattice.support.keys)[1]
        share = FALSE_SHARE * len(latent.feats) / int(empty.sum())
        added = empty & (torch.rand(len(empty), generator=random) < share)
        support = union_support(kept.support, prune(batch.lattice, added).support)
        # A cell that was never there has the mean latent, which is 0.
        voxels = vae.decode(fill(kept, support), vae.hints(batch.radar, batch.beams))
    table = place_points(voxels.coords[:, 1:].numpy(), voxels.feats.numpy(), enhancer.volume)
    around = enhancer.beside(pair).around
    points, source = find_returns(table[:, :3], np.ones(len(table)), around, share=0.0)
    return np.c_[points, table[source, 3]]


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
        ladder: whose run of stage `edm` draws.
        pairs: frames.

    Returns:
        Means over frames: of the first draw and of the best of `DRAWS`, by Chamfer and by F-score;
        the variance of flags between draws over that which their probabilities ask for, and of the
        number of flags in a square over its mean squared error; calibration of what is said of a
        flag: by bin, how often it is up, and the expected calibration error.
    """
    scored = [_score_frame(ladder.many, pair) for pair in pairs]
    scores = np.stack([each.scores for each in scored])
    said, up = torch.cat([s.said for s in scored]), torch.cat([s.up for s in scored])
    found = occupancy_calibration(said, up, CALIBRATION_BINS)
    best = np.stack([scores[:, :, 0].min(1), scores[:, :, 1].max(1)], axis=1)
    return {
        "draws": DRAWS,
        "first": dict(zip(DRAW_METRICS, scores[:, 0].mean(0).tolist(), strict=True)),
        "best": dict(zip(DRAW_METRICS, best.mean(0).tolist(), strict=True)),
        "variance_ratio": float(np.mean([each.variance_ratio for each in scored])),
        "count_variance_ratio": float(np.mean([each.count_variance_ratio for each in scored])),
        "said": found.mean_probability.tolist(),
        "found": found.share_occupied.tolist(),
        "flags": found.count.tolist(),
        "calibration_error": found.expected_error,
    }


class _ScoredDraws(NamedTuple):
    """Draws of a frame: Chamfer and F-score of each [k, 2], what is said of observed flags."""

    scores: NDArray[np.float64]
    said: Tensor
    up: Tensor
    variance_ratio: float
    count_variance_ratio: float


def _score_frame(enhancer: Enhancer, pair: ScanPair) -> _ScoredDraws:
    network, sampling = enhancer.network, enhancer.sampling
    batch, seed = enhancer.make_batch(pair), frame_seed(SEED, pair.name)
    there = enhancer.beside(pair)
    scenes = make_views(pair.radar, there.around, sampling.views, pair.name)
    with use_engine(enhancer.engine):
        views = network.look(scenes)
        draws = network.draw_each(views, DRAWS, seed, sampling)
        mean = network.draw(views, seed, sampling).state
        clouds = [there.decode_draw(draw, scenes[0]).table for draw in draws]
        up = State.split(network.clean_state(batch)).flags > 0
    target = crop(pair.lidar_in_radar_frame, enhancer.volume, pair.name)
    found = [evaluate(cloud, target, diagonal_m=enhancer.volume.diagonal_m) for cloud in clouds]
    scores = np.array([[each[key] for key in DRAW_METRICS] for each in found])
    said = (0.5 * (State.split(mean).flags + 1.0)).clamp(0.0, 1.0)
    drawn = torch.stack([(State.split(draw.state).flags > 0).to(said) for draw in draws])
    ratio = drawn.var(0).sum() / (said * (1.0 - said)).sum()
    counts, wrong = (_count_in_squares(each, scenes[0]) for each in (drawn, up.to(said) - said))
    count_ratio = counts.var(0).sum() / wrong.square().sum()
    seen = batch.observed
    return _ScoredDraws(
        scores, said[seen].flatten(), up[seen].flatten(), float(ratio), float(count_ratio)
    )


def _count_in_squares(flags: Tensor, scene: Scene) -> Tensor:
    """Sums of flags [..., n, FLAGS] over squares of `SQUARE` cells, all heights, [..., squares]."""
    x, y = torch.div(scene.cells.support.coords[:, 1:3], SQUARE, rounding_mode="floor").T
    square = (x * (int(y.max()) + 1) + y).unique(return_inverse=True)[1]
    sums = flags.new_zeros(*flags.shape[:-2], int(square.max()) + 1)
    return sums.index_add_(-1, square, flags.sum(-1))


def _open_ladder(text: str) -> Ladder:
    folders = text.split(",")
    if len(folders) != 2:
        raise InputError(f"--runs {text}: must be two folders, EDM,FEW")
    return Ladder(*map(Enhancer.load, folders))


def run_quality(
    runs: Sequence[str], root: Path | None, document: Path | None, dry_run: bool
) -> list[dict[str, Any]]:
    """Measure and write the document, with pictures in a folder of its name beside it.

    Args:
        runs: `EDM,FEW` of each training seed.
        root: prepared frames.
        document: Markdown file.
        dry_run: only check and say what would be done.

    Returns:
        The reports of all sets of frames and seeds.

    Raises:
        InputError: a run or a frame can't be read or made, or a file can't be written.
    """
    if not runs or root is None or document is None:
        raise InputError("quality needs --runs EDM,FEW, --root DIR and --doc FILE.md")
    check_file(document)
    ladders = [_open_ladder(text) for text in runs]
    prepared = PreparedFrames.open(root, "val")
    if dry_run:
        seeds, frames = count_of(len(ladders), "seed"), count_of(len(prepared), "frame")
        print(f"would score {seeds} on {frames} and simulated ones")
        return []
    simulated = [simulate_pair(SIMULATED_SEED, number) for number in range(SIMULATED_FRAMES)]
    with start_workers(None) as workers:
        real = _measure("Astyx `val`", ladders, prepared.names, prepared, workers)
        names = [pair.name for pair in simulated]
        others = _measure("Simulated frames", ladders, names, simulated, workers)
    parts = [real._replace(pictures=_draw(ladders[0], prepared, real, document)), others]
    older = document.read_text() if document.exists() else ""
    with replacing(document) as part:
        part.write_text(write_results(parts, ABOUT, older))
    return [dict(report) for quality in parts for report in quality.reports]


def _measure(
    title: str,
    ladders: Sequence[Ladder],
    names: Sequence[str],
    pairs: Sequence[ScanPair],
    workers: Workers,
) -> Quality:
    """All but pictures."""
    reports = []
    for ladder in ladders:
        frames = frames_of_rows(ladder.rows(), names, pairs, ladder.many.volume)
        reports.append(make_report(score_frames(frames, workers), frames, RESAMPLES, PICTURES))
    few = [pairs[number] for number in choose_frames(pairs, DRAWN_FRAMES)]
    timed = [pairs[number] for number in choose_frames(pairs, TIMED_FRAMES)]
    draws = [score_draws(ladder, few) for ladder in tqdm(ladders, "draws", disable=None)]
    seconds = _time_rows(ladders[0], timed)
    noise = losses_by_level(ladders[0].many, few, SEED)
    return Quality(title, reports, draws, noise, seconds, read_peak_gib(torch.device("cpu")), ())


def _time_rows(ladder: Ladder, pairs: Sequence[ScanPair]) -> dict[str, float]:
    times: dict[str, list[float]] = {}
    for pair in tqdm(pairs, "time", disable=None):
        for row, make in ladder.rows().items():
            start = time.perf_counter()
            make(pair)
            times.setdefault(row, []).append(time.perf_counter() - start)
    return {row: median(values) for row, values in times.items() if row != RAW}


def _draw(
    ladder: Ladder, prepared: PreparedFrames, quality: Quality, document: Path
) -> Sequence[str]:
    """Pictures of some frames, evenly apart, of the worst one, and of losses by noise level."""
    folder, worst = document.with_suffix(""), quality.reports[0]["worst"][0]
    folder.mkdir(exist_ok=True)
    names = [prepared.names[number] for number in choose_frames(prepared, PICTURES - 1)]
    make, volume = ladder.rows()[PREDICTION], ladder.many.volume
    chosen = list(dict.fromkeys([*names, worst]))
    for name in chosen:
        pair = prepared[prepared.names.index(name)]
        radar = crop(pair.radar, volume, name)
        lidar = crop(pair.lidar_in_radar_frame, volume, name)
        title = f"Astyx frame {name}" + (" (the worst)" if name == worst else "")
        save_report(folder / f"{name}.png", radar, make(pair), lidar, title)
    settings, noise = ladder.many.network.diffusion, quality.noise
    curves = {
        "flags, bits per flag that is up": noise.flags,
        "the same without neighbours": noise.alone,
        "latents, weighted squared error": noise.latents,
    }
    # How often training draws a level.
    density = np.exp(-0.5 * ((np.log(noise.sigmas) - settings.p_mean) / settings.p_std) ** 2)
    save_levels(folder / "noise.png", noise.sigmas, curves, density, "losses by noise level")
    return [f"{folder.name}/{name}.png" for name in (*chosen, "noise")]
