"""Sparse-voxel VAE: LiDAR voxels to a latent on stride 8 and back."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.distributed import all_reduce, is_initialized

from radarsparse.config import VaeSettings
from radarsparse.models.blocks import BLOCKS, ChannelBlock, Checkpointable, Pyramid, ResidualBlock
from radarsparse.sparse import SparseTensor, Subdivide, Support, fill
from radarsparse.sparse.ops import active_children, parent_support
from radarsparse.voxels.beams import Beams
from radarsparse.voxels.voxelize import LIDAR_FEATURES, RADAR_FEATURES

_LOG_VARIANCE_BOUND = 10.0
_STATISTICS_MOMENTUM = 0.01
_OUTPUTS = 4
_PROBABILITY_MIN = 1e-6
_CHILD_LOG_ODDS_AT_START = -2.0
RADAR_CHANNELS = (16, 24, 32, 48)


@dataclass(frozen=True)
class Hints:
    """What the decoder is told beside latents.

    Attributes:
        radar: features of the radar's pyramid, finest first.
        beams: of the LiDAR that is imitated.
    """

    radar: Sequence[SparseTensor]
    beams: Beams

    def at(self, support: Support) -> Tensor:
        """The radar's features at each voxel, and which of its 8 children beams cross."""
        seen = fill(self.radar[support.stride.bit_length() - 1], support).feats
        return torch.cat([seen, self.beams.crossed(support, 2).to(seen.dtype)], dim=1)


@dataclass(frozen=True)
class LevelSplit:
    """Which children the decoder gave to the voxels of one level, and which are true.

    Attributes:
        parents: the voxels that were asked.
        logits: [n, 8].
        truth: bool [n, 8].
    """

    parents: Support
    logits: Tensor
    truth: Tensor


class Encoder(nn.Module):
    """LiDAR voxels to mean and log variance of a latent on the occupied cells of stride 8.

    With a `kernel_size` of 1, a cell's latent depends on the cell's own points alone.
    """

    def __init__(self, channels: Sequence[int], latent_channels: int, kernel_size: int) -> None:
        super().__init__()
        self.pyramid = Pyramid(LIDAR_FEATURES, channels, BLOCKS[kernel_size])
        self.norm = nn.LayerNorm(channels[-1])
        self.head = nn.Linear(channels[-1], 2 * latent_channels)

    def forward(self, lidar: SparseTensor) -> tuple[SparseTensor, Tensor]:
        """Return the mean on its support, and the log variance [n, latent_channels]."""
        x = self.pyramid(lidar)[-1]
        mean, log_variance = self.head(self.norm(x.feats)).chunk(2, dim=1)
        return x.replace(mean), log_variance.clamp(-_LOG_VARIANCE_BOUND, _LOG_VARIANCE_BOUND)


class Level(Checkpointable):
    """One step of the decoder: say which children exist, make them, add hints, refine."""

    def __init__(self, c_in: int, c_out: int, c_radar: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(c_in)
        self.child_head = nn.Linear(c_in, 8)
        # An untrained head that believed in half of all children would swamp the first steps.
        nn.init.constant_(self.child_head.bias, _CHILD_LOG_ODDS_AT_START)
        self.subdivide = Subdivide(c_in, c_out)
        self.hints = nn.Linear(c_radar + 8, c_out)
        self.block = ResidualBlock(c_out)

    def child_logits(self, x: SparseTensor) -> Tensor:
        """Log odds of each of the 8 children, [n, 8]."""
        return self.run(lambda feats: self.child_head(self.norm(feats)), x.feats)

    def forward(self, x: SparseTensor, keep: Tensor, hints: Hints) -> SparseTensor:
        """Features of the kept children.

        Args:
            x: parents.
            keep: bool [n, 8].
            hints: for all strides.
        """
        fine = self.subdivide(x, keep)
        told = self.run(lambda: self.hints(hints.at(fine.support)))
        return self.block(fine.replace(fine.feats + told))


class Decoder(Checkpointable):
    """Latent on active cells of stride 8 to voxels of stride 1 with offset and intensity."""

    def __init__(self, channels: Sequence[int], latent_channels: int, kernel_size: int) -> None:
        super().__init__()
        coarse_first = list(reversed(channels))
        self.stem = nn.Linear(latent_channels, coarse_first[0])
        self.hints = nn.Linear(RADAR_CHANNELS[-1] + 8, coarse_first[0])
        self.block = BLOCKS[kernel_size](coarse_first[0])
        widths = zip(coarse_first, coarse_first[1:], reversed(RADAR_CHANNELS[:-1]), strict=False)
        levels = nn.ModuleList(Level(*three) for three in widths)
        self.levels = cast(Iterable[Level], levels)
        self.norm = nn.LayerNorm(coarse_first[-1])
        self.head = nn.Linear(coarse_first[-1], _OUTPUTS)

    def teach(
        self,
        latent: SparseTensor,
        fine: Sequence[Support],
        hints: Hints,
        cap: int,
    ) -> tuple[SparseTensor, list[LevelSplit]]:
        """Decode along the true children, joined with those that the decoder wrongly believes in.

        Args:
            latent: on active cells of stride 8, true ones and others.
            fine: the true supports at strides 4, 2, 1.
            hints: what is told beside it.
            cap: candidates per level; the likeliest are kept, true ones first.

        Returns:
            Outputs of stride 1, and what was said at each level.
        """
        x, splits = self._start(latent, hints), []
        for level, truth_support in zip(self.levels, fine, strict=True):
            logits = level.child_logits(x)
            truth = active_children(x.support, truth_support)
            splits.append(LevelSplit(x.support, logits, truth))
            x = level(x, limit_candidates(logits.detach(), truth, cap), hints)
        return self.run(self._finish, x), splits

    def generate(self, latent: SparseTensor, hints: Hints, cap: int) -> SparseTensor:
        """Decode along the children that the decoder believes in.

        Args:
            latent: on active cells of stride 8.
            hints: what is told beside it.
            cap: candidates per level; the likeliest are kept.

        Returns:
            Outputs of stride 1: offset from the voxel's centre in half voxels, intensity.
        """
        x = self._start(latent, hints)
        for level in self.levels:
            logits = level.child_logits(x)
            nothing = torch.zeros_like(logits, dtype=torch.bool)
            x = level(x, limit_candidates(logits, nothing, cap), hints)
        return self._finish(x)

    def generate_below(
        self,
        latent: SparseTensor,
        hints: Hints,
        cap: int,
        fine: SparseTensor,
        probability: float,
    ) -> SparseTensor:
        """Decode onto known voxels of stride 2; only their children are the decoder's to choose.

        Args:
            latent: on active cells of stride 8.
            hints: what is told beside it.
            cap: candidates of stride 1; the likeliest are kept.
            fine: [m, 1] how likely each voxel of stride 2 is, all in active cells; each keeps its
                likeliest child.
            probability: above which further children exist, their parent's included.

        Returns:
            As `generate`.
        """
        x, (first, second, last) = self._start(latent, hints), self.levels
        x = first(x, active_children(x.support, parent_support(fine.support)), hints)
        x = second(x, active_children(x.support, fine.support), hints)
        believed = fine.feats.clamp(min=_PROBABILITY_MIN).log()
        joint = nn.functional.logsigmoid(last.child_logits(x)) + believed
        likeliest = torch.zeros_like(joint, dtype=torch.bool)
        likeliest.scatter_(1, joint.argmax(1, keepdim=True), value=True)
        keep = limit_candidates(joint - math.log(probability), likeliest, cap)
        return self._finish(last(x, keep, hints))

    def _start(self, latent: SparseTensor, hints: Hints) -> SparseTensor:
        told = self.hints(hints.at(latent.support))
        return self.block(latent.replace(self.stem(latent.feats) + told))

    def _finish(self, x: SparseTensor) -> SparseTensor:
        raw = self.head(self.norm(x.feats))
        offset, intensity = raw[:, :3].tanh(), raw[:, 3:].sigmoid()
        return x.replace(torch.cat([offset, intensity], dim=1))


def limit_candidates(logits: Tensor, truth: Tensor, cap: int) -> Tensor:
    """Children that are true or likelier than not, at most `cap` of them, true ones first.

    Args:
        logits: [n, 8].
        truth: bool [n, 8], kept first.
        cap: largest number of children.

    Returns:
        bool [n, 8].
    """
    keep = truth | (logits > 0)
    if int(keep.sum()) <= cap:
        return keep
    rank = logits.masked_fill(~keep, -torch.inf).masked_fill(truth, torch.inf).flatten()
    kept = torch.zeros_like(rank, dtype=torch.bool)
    kept[rank.topk(cap).indices] = True
    return kept.view_as(keep)


class Vae(nn.Module):
    """Encoder, decoder with its radar look-up, and the statistics that standardise latents.

    Args:
        settings: widths, and how many voxels a frame may have.
    """

    latent_mean: Tensor
    latent_square: Tensor

    def __init__(self, settings: VaeSettings) -> None:
        super().__init__()
        self.settings = settings
        shape = settings.channels, settings.latent_channels, settings.kernel_size
        self.encoder = Encoder(*shape)
        # Its weights are its own; each voxel tells of the points in its own cell.
        self.radar = Pyramid(RADAR_FEATURES, RADAR_CHANNELS, ChannelBlock)
        self.decoder = Decoder(*shape)
        self.register_buffer("latent_mean", torch.zeros(settings.latent_channels))
        self.register_buffer("latent_square", torch.ones(settings.latent_channels))
        # Sums over rows of latents, their squares and one, since statistics were settled.
        self._observed: Tensor | None = None

    @property
    def latent_std(self) -> Tensor:
        """Standard deviation of each latent channel over occupied cells."""
        return (self.latent_square - self.latent_mean**2).clamp(min=1e-6).sqrt()

    @torch.no_grad()
    def observe_latents(self, latents: Tensor) -> None:
        """Take notice of a batch's latents, [n, latent_channels]; `settle_statistics` uses them."""
        wide = latents.double()
        sums = torch.stack([wide.sum(0), wide.square().sum(0), torch.ones_like(wide).sum(0)])
        self._observed = sums if self._observed is None else self._observed + sums

    @torch.no_grad()
    def settle_statistics(self) -> None:
        """Move the running statistics towards those of the latents observed since the last time.

        Processes that train together observe as one.
        """
        if self._observed is None:
            return
        if is_initialized():
            all_reduce(self._observed)
        mean, square = (self._observed[:2] / self._observed[2]).to(self.latent_mean.dtype)
        self.latent_mean.lerp_(mean, _STATISTICS_MOMENTUM)
        self.latent_square.lerp_(square, _STATISTICS_MOMENTUM)
        self._observed = None

    def standardize(self, latents: Tensor) -> Tensor:
        """Zero mean and unit standard deviation per channel."""
        return (latents - self.latent_mean) / self.latent_std

    def encode(self, lidar: SparseTensor) -> SparseTensor:
        """Standardised mean latent on the occupied cells of stride 8."""
        mean, _ = self.encoder(lidar)
        return mean.replace(self.standardize(mean.feats))

    def hints(self, radar: SparseTensor, beams: Beams) -> Hints:
        """What the decoder is told of a radar, features of `voxelize_radar`, and of a LiDAR."""
        return Hints(self.radar(radar), beams)

    def decode(self, latent: SparseTensor, hints: Hints) -> SparseTensor:
        """Voxels of stride 1 from standardised latents on active cells of stride 8.

        Args:
            latent: [n, latent_channels].
            hints: of the frames.

        Returns:
            Offset from the voxel's centre in half voxels (3), intensity (0 to 1).
        """
        return self.decoder.generate(self._raw(latent), hints, self._cap(latent))

    def decode_below(
        self, latent: SparseTensor, fine: SparseTensor, hints: Hints, probability: float
    ) -> SparseTensor:
        """As `decode`, onto known voxels of stride 2; the rest as in `Decoder.generate_below`."""
        asked = self._raw(latent), hints, self._cap(latent)
        return self.decoder.generate_below(*asked, fine, probability)

    def _raw(self, latent: SparseTensor) -> SparseTensor:
        """Latents as the encoder gave them."""
        return latent.replace(latent.feats * self.latent_std + self.latent_mean)

    def _cap(self, latent: SparseTensor) -> int:
        return self.settings.max_voxels_per_frame * latent.batch_size
