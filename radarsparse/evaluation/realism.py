"""How real the clouds of each row look as a set, beside real clouds of other frames."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from radarsparse.errors import InputError
from radarsparse.evaluation.critic import Patch, tell_apart
from radarsparse.evaluation.frames import REAL, FrameClouds, FrameSource
from radarsparse.evaluation.report import title_of
from radarsparse.files import count_of
from radarsparse.geometry import Volume, transform_points
from radarsparse.metrics.distribution import jensen_shannon
from radarsparse.metrics.published import r2flow
from radarsparse.metrics.realism import (
    EDGES,
    count_hidden,
    count_statistics,
    cut_patches,
    frechet_distance,
    nearest_are_alike,
    sum_moments,
)
from radarsparse.metrics.summary import INTERVAL_PERCENTILES, format_table
from radarsparse.models.weights import SHIPPED, load_vae_of
from radarsparse.voxels.scene import stack_voxels
from radarsparse.voxels.voxelize import voxelize_lidar

# Headings of the measures.
MEASURES = {
    "one_nn_accuracy": "1-NN accuracy",
    "c2st_accuracy": "C2ST accuracy",
    "frechet": "Fréchet",
    "hidden_share": "hidden share",
    **{f"jsd_{name}": f"JSD {name}" for name in EDGES},
    "jsd_set": "JSD of sets",
    "mmd_set": "MMD of sets",
}
FRAMES_LEAST = 12
PATCHES_MOST = 128
CRITICS = 3

Floats = NDArray[np.floating]
Table = NDArray[Any]
Value = Callable[[Table], float]


class Look(NamedTuple):
    """What is kept of one cloud.

    Attributes:
        points: [n, 3], in the frame of the LiDAR where that is known.
        histograms: of `count_statistics`.
        hidden: of `count_hidden`.
        moments: of latents of the VAE that ships, which is shown no intensity.
        patches: of `cut_patches`, with the radar's points there.
    """

    points: Tensor
    histograms: Mapping[str, NDArray[np.int64]]
    hidden: tuple[int, int]
    moments: NDArray[np.float64]
    patches: Sequence[Patch]


def score_realism(frames: FrameSource, resamples: int) -> dict[str, dict[str, list[float]]]:
    """Measures of each row's clouds beside real ones, with their 95 % intervals.

    Compared are the clouds of every other frame with the LiDAR of the frames between them, so that
    real clouds, row `REAL`, can be compared in the same way: what they reach is the floor.

    Args:
        frames: at least `FRAMES_LEAST`.
        resamples: of the bootstrap over frames.

    Returns:
        By row and measure of `MEASURES`: value, lower and upper bound, these not of the published
        measures.

    Raises:
        InputError: there are fewer frames, or a cloud can't be read or made.
    """
    check_frames(frames.names)
    look, pairs = _Looker(), list(zip(frames.names[::2], frames.names[1::2], strict=False))
    drawn, real = [], []
    for name, other in tqdm(pairs, "realism", unit="pair", disable=None):
        frame, next_frame = frames.read(name), frames.read(other)
        clouds = {**frame.clouds, REAL: frame.target}
        drawn.append({row: look(cloud, frame) for row, cloud in clouds.items()})
        real.append(look(next_frame.target, next_frame))
    return {row: _compare([each[row] for each in drawn], real, resamples) for row in drawn[0]}


def check_frames(names: Sequence[str]) -> None:
    """Refuse a set that is too small to be measured.

    Raises:
        InputError: there are fewer than `FRAMES_LEAST` frames.
    """
    if len(names) < FRAMES_LEAST:
        found = count_of(len(names), "frame")
        raise InputError(f"--realism: {found} found, at least {FRAMES_LEAST} needed")


def describe_realism(report: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """The values of `score_realism` as a table."""
    rows = {
        title_of(row): {name: values[0] for name, values in found.items()}
        for row, found in report.items()
    }
    return format_table(rows, MEASURES)


class _Looker:
    """Looks at clouds with the encoder of the VAE that ships."""

    def __init__(self) -> None:
        self._vae, config = load_vae_of(SHIPPED)
        self._volume = Volume.from_settings(config.volume)

    def __call__(self, cloud: Floats, frame: FrameClouds) -> Look:
        points = cloud[np.isfinite(cloud[:, :3]).all(axis=1), :3].astype(np.float64)
        T_radar_lidar = frame.pair.T_radar_lidar if frame.pair else np.eye(4)
        around_lidar = transform_points(np.linalg.inv(T_radar_lidar), points)
        radar = cut_patches(frame.pair.radar, least=1) if frame.pair else {}
        unseen = np.zeros((0, 3))
        patches = [Patch(own, radar.get(at, unseen)) for at, own in cut_patches(points).items()]
        return Look(
            torch.from_numpy(around_lidar),
            count_statistics(around_lidar),
            count_hidden(around_lidar),
            sum_moments(self._latents(points)),
            patches,
        )

    @torch.no_grad()
    def _latents(self, points: Floats) -> Floats:
        unlit = np.c_[points, np.zeros(len(points))]
        voxels = voxelize_lidar(unlit, self._volume)
        return self._vae.encode(stack_voxels([voxels])).feats.numpy()


def _compare(
    ours: Sequence[Look], theirs: Sequence[Look], resamples: int
) -> dict[str, list[float]]:
    """Each measure of two sets of clouds, from what adds up over frames [frames, ...]."""
    both = list(zip(ours, theirs, strict=True))
    sums: dict[str, tuple[Value, Table]] = {
        f"jsd_{name}": (
            _divergence,
            np.array([[a.histograms[name], b.histograms[name]] for a, b in both]),
        )
        for name in EDGES
    }
    sums["frechet"] = _frechet, np.array([[a.moments, b.moments] for a, b in both])
    sums["hidden_share"] = _share, np.array([look.hidden for look in ours])
    sums["one_nn_accuracy"] = _share, _ask_neighbours(ours, theirs)
    sums["c2st_accuracy"] = _share, _ask_critics(ours, theirs)
    found = {name: _with_bounds(value, table, resamples) for name, (value, table) in sums.items()}
    return found | {name: [value] for name, value in _published(both).items()}


def _published(both: Sequence[tuple[Look, Look]]) -> dict[str, float]:
    try:
        return r2flow((ours.points, theirs.points) for ours, theirs in both)
    except InputError:  # a cloud without a point that they count
        return {"jsd_set": math.nan, "mmd_set": math.nan}


def _divergence(histograms: Table) -> float:
    return jensen_shannon(torch.from_numpy(histograms[:, histograms.any(axis=0)].T))


def _frechet(moments: Table) -> float:
    return frechet_distance(*moments) if moments[:, 0, 0].all() else math.nan


def _share(counts: Table) -> float:
    return float(counts[0] / counts[1]) if counts[1] else math.nan


def _with_bounds(value: Value, table: Table, resamples: int) -> list[float]:
    random = np.random.default_rng(0)
    rows = random.integers(len(table), size=(resamples, len(table)))
    values = [value(table[drawn].sum(axis=0)) for drawn in rows]
    numbers = [number for number in values if not math.isnan(number)] or [math.nan]
    return [value(table.sum(axis=0)), *np.percentile(numbers, INTERVAL_PERCENTILES).tolist()]


def _ask_neighbours(ours: Sequence[Look], theirs: Sequence[Look]) -> Table:
    """How often the nearest patch is of the patch's own side, and how many there are, by frame."""
    (a, of_a), (b, of_b) = _as_many(ours, theirs, PATCHES_MOST)
    if not a:
        return np.zeros((1, 2))
    alike = nearest_are_alike(*([patch.points for patch in patches] for patches in (a, b)))
    return _count(alike, np.concatenate([of_a, of_b]), len(ours))


def _ask_critics(ours: Sequence[Look], theirs: Sequence[Look]) -> Table:
    """How often critics are right, and how often they were asked, by frame of the last third."""
    split = len(ours) * 2 // 3
    known = [patches for patches, _ in _as_many(ours[:split], theirs[:split])]
    (a, of_a), (b, of_b) = _as_many(ours[split:], theirs[split:])
    if not (known[0] and a):
        return np.zeros((1, 2))
    right = np.concatenate(
        [tell_apart((known[0], known[1]), (a, b), seed) for seed in range(CRITICS)]
    )
    return _count(right, np.tile(np.concatenate([of_a, of_b]), CRITICS), len(ours) - split)


def _as_many(
    ours: Sequence[Look], theirs: Sequence[Look], most: int = 10**6
) -> list[tuple[list[Patch], NDArray[np.int64]]]:
    """As many patches of either side, evenly taken, and the number of their frame."""
    count = min(most, *(sum(len(look.patches) for look in looks) for looks in (ours, theirs)))
    sides = []
    for looks in (ours, theirs):
        of = np.repeat(np.arange(len(looks)), [len(look.patches) for look in looks])
        rows = np.linspace(0, len(of) - 1, count).round().astype(np.int64)
        patches = [patch for look in looks for patch in look.patches]
        sides.append(([patches[row] for row in rows], of[rows]))
    return sides


def _count(right: NDArray[np.bool_], of: NDArray[np.int64], frames: int) -> Table:
    return np.stack([np.bincount(of, right, frames), np.bincount(of, minlength=frames)], axis=1)
