"""What a user would build in a day: a dense bird's-eye U-Net, trained on the frames that ours sees.

It turns radar into occupied voxels of 0.4 m by 2D convolutions, with heights as channels. Frames,
their order and their augmentation are those of a run of the same config and seed. A voxel's point
is its centre: the network knows no place within it.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count, pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from radarsparse.benchmark.measure import find_device
from radarsparse.config import DenoiserConfig, LidarSettings, SamplingSettings, TrainSettings
from radarsparse.geometry import Volume, observed_mask
from radarsparse.scan import ScanPair
from radarsparse.training.loader import TrainingSamples
from radarsparse.voxels.returns import find_returns
from radarsparse.voxels.scene import Surroundings, mount
from radarsparse.voxels.voxelize import DOPPLER_SCALE_MPS, POWER_CENTER_DB, POWER_SCALE_DB

STRIDE = 2
WIDTHS = (32, 64, 128, 256)
# Beside the heights: mean Doppler, largest power, range.
COLUMN_CHANNELS = 3
_GROUPS = 8
# Of a voxel before anything is learnt: few are occupied. Source: Lin et al. 2017, focal loss.
_OCCUPIED_AT_FIRST = 0.01
_RETURN_SHARE = SamplingSettings().return_share

Mask = NDArray[np.bool_]


class Example(NamedTuple):
    """What the network is shown of b frames, and what it should say; heights come first.

    Attributes:
        grid: [b, heights + COLUMN_CHANNELS, x, y] of `radar_grid`.
        occupied: [b, heights, x, y] 1 where LiDAR returns are, else 0.
        weight: [b, heights, x, y] of the loss.
    """

    grid: Tensor
    occupied: Tensor
    weight: Tensor


def radar_grid(points: NDArray[np.float32], volume: Volume) -> NDArray[np.float32]:
    """A radar cloud as channels of a bird's-eye picture.

    Args:
        points: [n, 5] x, y, z, doppler_mps, power_db, radar frame; those outside are left out.
        volume: where; cells are `STRIDE` voxels wide and high.

    Returns:
        [heights + COLUMN_CHANNELS, x, y], each scaled to about one: log of one plus the points of
        each height, then of each column the mean Doppler and the largest power, 0 without points,
        and the range.
    """
    points, shape = points[volume.contains(points)], _shape(volume)
    cells = _cells(points, volume)
    counts = np.zeros(shape)
    np.add.at(counts, tuple(cells.T), 1.0)
    columns, there = tuple(cells[:, :2].T), counts.sum(axis=2)
    doppler, power = np.zeros(shape[:2]), np.full(shape[:2], -np.inf)
    np.add.at(doppler, columns, points[:, 3].astype(np.float64) / DOPPLER_SCALE_MPS)
    np.maximum.at(power, columns, (points[:, 4] - POWER_CENTER_DB) / POWER_SCALE_DB)
    column_channels = (
        doppler / np.maximum(there, 1.0),
        np.where(there > 0.0, power, 0.0),
        _column_range_m(volume) / volume.range_max_m,
    )
    heights = np.moveaxis(np.log1p(counts), 2, 0)
    return np.concatenate([heights, np.stack(column_channels)]).astype(np.float32)


def lidar_grid(points: NDArray[np.float32], volume: Volume) -> Mask:
    """The voxels of `STRIDE` that hold LiDAR returns, [heights, x, y].

    Args:
        points: [n, 3 or more] x, y, z in metres, radar frame; those outside are left out.
        volume: where.
    """
    occupied = np.zeros(_shape(volume), dtype=np.bool_)
    occupied[tuple(_cells(points[volume.contains(points)], volume).T)] = True
    return np.moveaxis(occupied, 2, 0)


@lru_cache(maxsize=1)
def view_grid(volume: Volume) -> Mask:
    """The voxels of `STRIDE` that reach into the field of view, [heights, x, y], read-only."""
    seen = np.zeros(_shape(volume), dtype=np.bool_)
    seen[tuple(volume.lattice(STRIDE).T)] = True
    seen.flags.writeable = False
    return np.moveaxis(seen, 2, 0)


def make_example(pairs: Sequence[ScanPair], volume: Volume, unobserved_weight: float) -> Example:
    """What is learnt from frames.

    Args:
        pairs: at least one.
        volume: where.
        unobserved_weight: of voxels that no LiDAR ray crossed or hit, beside 1 of the others and 0
            outside the field of view.
    """
    grids, occupied, weights = [], [], []
    for pair in pairs:
        lidar = pair.lidar_in_radar_frame
        observed = observed_mask(volume, STRIDE, pair.lidar_origin_m, lidar)
        seen = np.where(np.moveaxis(observed, 2, 0), 1.0, unobserved_weight)
        grids.append(radar_grid(pair.radar, volume))
        occupied.append(lidar_grid(lidar, volume))
        weights.append(seen * view_grid(volume))
    parts = (np.stack(part).astype(np.float32) for part in (grids, occupied, weights))
    return Example(*map(torch.from_numpy, parts))


def voxel_centers(voxels: Mask, volume: Volume) -> NDArray[np.floating]:
    """Centres of voxels [heights, x, y] that are marked: [n, 3] metres, radar frame."""
    return volume.voxel_center(np.argwhere(np.moveaxis(voxels, 0, 2)), STRIDE)


def choose_likeliest(probability: Tensor) -> Tensor:
    """The likeliest voxels, as many as their probabilities add up to.

    So are flags chosen in `radarsparse.models.flags.choose_flags`.

    Args:
        probability: of any shape.

    Returns:
        bool, the same shape.
    """
    wanted = round(float(probability.double().sum()))
    chosen = torch.zeros_like(probability, dtype=torch.bool)
    chosen.view(-1)[probability.flatten().topk(wanted).indices] = True
    return chosen


class BirdsEyeUnet(nn.Module):
    """A U-Net of 2D convolutions over four sizes of cells.

    Args:
        heights: voxels in a column.

    Source:
        Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image
        segmentation", MICCAI 2015.
    """

    def __init__(self, heights: int) -> None:
        super().__init__()
        finer = list(pairwise(WIDTHS))
        down = pairwise((heights + COLUMN_CHANNELS, *WIDTHS))
        self.down = nn.ModuleList(_convolve_twice(c_in, c_out) for c_in, c_out in down)
        self.up = nn.ModuleList(_convolve_twice(a + b, a) for a, b in reversed(finer))
        self.head = nn.Conv2d(WIDTHS[0], heights, 1)
        nn.init.constant_(_bias(self.head), math.log(_OCCUPIED_AT_FIRST / (1 - _OCCUPIED_AT_FIRST)))

    def forward(self, grid: Tensor) -> Tensor:
        """Logits of occupancy.

        Args:
            grid: [b, heights + COLUMN_CHANNELS, x, y].

        Returns:
            [b, heights, x, y].
        """
        sizes: list[Tensor] = []
        for block in self.down:
            # Rounded up, so that grids of any size pass.
            grid = block(F.max_pool2d(grid, 2, ceil_mode=True) if sizes else grid)
            sizes.append(grid)
        for block, skip in zip(self.up, reversed(sizes[:-1]), strict=True):
            grid = block(torch.cat([skip, F.interpolate(grid, size=skip.shape[-2:])], dim=1))
        return self.head(grid)


def _convolve_twice(c_in: int, c_out: int) -> nn.Sequential:
    layers = [
        (nn.Conv2d(c, c_out, 3, padding=1, bias=False), nn.GroupNorm(_GROUPS, c_out), nn.SiLU())
        for c in (c_in, c_out)
    ]
    return nn.Sequential(*(layer for each in layers for layer in each))


def _bias(convolution: nn.Conv2d) -> Tensor:
    assert convolution.bias is not None
    return convolution.bias


def occupancy_loss(network: nn.Module, example: Example) -> Tensor:
    """Weighted mean of the binary cross-entropy of all voxels."""
    logits, weight = network(example.grid), example.weight
    total = F.binary_cross_entropy_with_logits(logits, example.occupied, weight, reduction="sum")
    return total / weight.sum()


@dataclass(frozen=True)
class BirdsEye:
    """A trained network.

    Attributes:
        network: gives logits of `radar_grid`s.
        volume: where.
        lidar: whose beams return from its voxels.
        losses: of each step of its training.
    """

    network: BirdsEyeUnet
    volume: Volume
    lidar: LidarSettings
    losses: Sequence[float]

    def draw(self, pair: ScanPair) -> NDArray[np.floating]:
        """Centres of the likeliest voxels in view, [n, 3] metres, radar frame."""
        return self._choose(pair)[0]

    def scan(self, pair: ScanPair) -> NDArray[np.floating]:
        """Where the beams of the frame's LiDAR meet these voxels, as for our own clouds."""
        centers, probability = self._choose(pair)
        coarse = replace(self.volume, voxel_size_m=STRIDE * self.volume.voxel_size_m)
        around = Surroundings(coarse, mount(self.lidar, pair.T_radar_lidar))
        return find_returns(centers, probability, around, _RETURN_SHARE).points

    @torch.no_grad()
    def _choose(self, pair: ScanPair) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Centres of the likeliest voxels in view and how likely they are."""
        device = _bias(self.network.head).device
        grid = torch.from_numpy(radar_grid(pair.radar, self.volume))
        probability = self.network(grid[None].to(device))[0].sigmoid().cpu()
        in_view = torch.from_numpy(view_grid(self.volume).copy())
        chosen = choose_likeliest(probability * in_view).numpy()
        said = np.moveaxis(probability.numpy(), 0, 2)[np.moveaxis(chosen, 0, 2)]
        return voxel_centers(chosen, self.volume), said


def shares_of_time(minutes: float) -> Iterator[float]:
    """How much of a time has passed whenever the next step would begin, until it's over.

    Args:
        minutes: from when the first share is asked for.
    """
    start_s, whole_s = time.monotonic(), 60.0 * minutes
    with tqdm(desc="train birds-eye", total=round(whole_s), unit="s", disable=None) as bar:
        while (passed_s := time.monotonic() - start_s) < whole_s:
            bar.update(int(passed_s) - bar.n)
            yield passed_s / whole_s


def train_birds_eye(
    config: DenoiserConfig, frames: Sequence[ScanPair], shares: Iterable[float]
) -> BirdsEye:
    """Train by the samples, learning rate, batches and averages of a config.

    The same shares give the same network on a CPU.

    Args:
        config: of a run that sees the same samples; its model isn't used.
        frames: to train on.
        shares: how much of the training is over at each step, 0 to 1, from which the learning rate
            follows; there are as many steps.

    Raises:
        InputError: a frame can't be used.
    """
    volume, device = Volume.from_settings(config.volume), find_device()
    torch.manual_seed(config.seed)
    learner = _Learner(BirdsEyeUnet(_shape(volume)[2]).to(device), config.train)
    samples, size = TrainingSamples(frames, config), config.train.batch_size

    def make(step: int) -> Example:
        pairs = [samples.draw_pair(size * step + number, volume) for number in range(size)]
        return make_example(pairs, volume, config.diffusion.unobserved_weight)

    # Shares are asked first, so that nothing is made after the last.
    steps = zip(shares, _ahead(make), strict=False)
    losses = [learner.step(Example(*(x.to(device) for x in each)), share) for share, each in steps]
    return BirdsEye(learner.average, volume, config.lidar, losses)


def _ahead(make: Callable[[int], Example]) -> Iterator[Example]:
    """Examples by number, each made in a thread of its own while the one before is learnt from."""
    with ThreadPoolExecutor(1) as worker:
        coming = worker.submit(make, 0)
        for number in count(1):
            example, coming = coming.result(), worker.submit(make, number)
            yield example


class _Learner:
    """A network, its optimiser and the moving average of its weights."""

    def __init__(self, network: BirdsEyeUnet, settings: TrainSettings) -> None:
        self.average = deepcopy(network)
        self._network, self._settings, self._steps = network, settings, 0
        self._optimizer = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.99))

    def step(self, example: Example, share: float) -> float:
        """Learn from an example when a share of the training is over; the loss before."""
        settings = self._settings
        warmup = min(1.0, (settings.batch_size * self._steps + 1) / settings.warmup_samples)
        fall = 0.5 * (1.0 + math.cos(math.pi * share))
        self._optimizer.param_groups[0]["lr"] = settings.learning_rate * warmup * fall
        self._optimizer.zero_grad()
        loss = occupancy_loss(self._network, example)
        loss.backward()
        nn.utils.clip_grad_norm_(
            self._network.parameters(), settings.gradient_norm_max, error_if_nonfinite=True
        )
        self._optimizer.step()
        self._follow()
        return loss.item()

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average; at first faster, or in a short training it would lag behind."""
        self._steps += 1
        decay = 0.5 ** (self._settings.batch_size / self._settings.ema_samples)
        share = max(1.0 - decay, 9.0 / (9.0 + self._steps))
        pairs = zip(self.average.parameters(), self._network.parameters(), strict=True)
        for average, current in pairs:
            average.lerp_(current, share)


def _shape(volume: Volume) -> tuple[int, int, int]:
    """Voxels of `STRIDE` along x, y and z."""
    x, y, z = volume.shape
    return x // STRIDE, y // STRIDE, z // STRIDE


def _cells(points: NDArray[np.float32], volume: Volume) -> NDArray[np.int64]:
    """Index [n, 3] of the voxel of `STRIDE` that each point falls in."""
    return volume.voxel_index(points) // STRIDE


def _column_range_m(volume: Volume) -> NDArray[np.floating]:
    """Level distance of each column's centre, [x, y]."""
    columns = np.moveaxis(np.indices((*_shape(volume)[:2], 1))[..., 0], 0, -1)
    return np.linalg.norm(volume.voxel_center(columns, STRIDE)[..., :2], axis=-1)
