"""The VAE's stage."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from radarsparse.config import VaeConfig
from radarsparse.geometry import Volume
from radarsparse.models.losses.detail import ComparedVoxels, intensity_loss, kl_loss, offset_loss
from radarsparse.models.losses.occupancy import dice_loss, focal_loss, split_loss
from radarsparse.models.losses.perceptual import PerceptualLoss, random_pyramid
from radarsparse.models.losses.reduce import Term, weigh
from radarsparse.models.losses.structure import neighbour_loss, normal_loss
from radarsparse.models.vae import LevelSplit, Vae
from radarsparse.models.weights import load_vae
from radarsparse.scan import ScanPair
from radarsparse.sparse import SparseTensor, Support
from radarsparse.sparse.ops import finer_supports, take, union_support
from radarsparse.sparse.tensor import move
from radarsparse.training.random import SampleRandom, TrainingBatch
from radarsparse.voxels.batch import Batch, make_batch
from radarsparse.voxels.voxelize import place_points


class VaeStage(nn.Module):
    """Learns to encode LiDAR clouds and to decode them again."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.settings, self.volume = config.model, Volume.from_settings(config.volume)
        self.rings_deg = config.lidar.rings_deg
        self.network = Vae(config.model)
        self.perceptual = None
        if config.model.perceptual_weight > 0.0:
            vae = config.model.perceptual_vae
            pyramid = load_vae(Path(vae))[0].encoder.pyramid if vae else random_pyramid()
            self.perceptual = PerceptualLoss(pyramid)

    def forward(self, training: TrainingBatch) -> dict[str, Tensor]:
        """Losses of encoding and decoding, along the true children and wrongly believed ones.

        Returns:
            Each loss by name; `total` is the one to minimise.
        """
        batch, random = training.frames, training.random
        mean, log_variance = self.network.encoder(batch.lidar)
        self.network.observe_latents(mean.feats)
        latent = self._disturb(mean, log_variance, batch, random)
        decoded, splits = self.network.decoder.teach(
            latent,
            finer_supports(batch.lidar.support),
            self.network.hints(batch.radar, batch.beams),
            self.settings.max_voxels_per_frame * batch.lidar.batch_size,
        )
        # Under autocast networks compute in half precision; losses must not.
        with torch.autocast(latent.feats.device.type, enabled=False):
            kl = "kl", self.settings.kl_weight, partial(kl_loss, mean, log_variance)
            return weigh([*self._terms_of_voxels(decoded, splits, batch.lidar), kl])

    def end_window(self) -> None:
        """Take up what the batches since the last step of the optimiser showed."""
        self.network.settle_statistics()

    @torch.no_grad()
    def predict(self, pair: ScanPair) -> NDArray[np.float32]:
        """The LiDAR cloud through the encoder and back, [n, 4] as `place_points` gives it."""
        network = self.network
        batch = make_batch([pair], self.volume, self.rings_deg).to(network.latent_mean.device)
        hints = network.hints(batch.radar, batch.beams)
        voxels = network.decode(network.encode(batch.lidar), hints)
        index, feats = voxels.coords[:, 1:].cpu().numpy(), voxels.feats.cpu().numpy()
        return place_points(index, feats, self.volume)

    def _terms_of_voxels(
        self, decoded: SparseTensor, splits: Sequence[LevelSplit], lidar: SparseTensor
    ) -> Iterator[Term]:
        weights, match = self.settings, ComparedVoxels.of(decoded, lidar)
        for split in splits:
            stride, balance = split.parents.stride, (weights.positive_weight, weights.split_balance)
            yield f"split{stride}", weights.split_weight, partial(split_loss, split, *balance)
            yield f"focal{stride}", weights.focal_weight, partial(focal_loss, split)
            yield f"dice{stride}", weights.dice_weight, partial(dice_loss, split)
        yield "offset", weights.offset_weight, partial(offset_loss, match)
        yield "intensity", weights.intensity_weight, partial(intensity_loss, match)
        yield "neighbour", weights.neighbour_weight, partial(neighbour_loss, match)
        yield "normal", weights.normal_weight, partial(normal_loss, match)
        if self.perceptual is not None:
            compute = partial(self.perceptual, decoded, lidar)
            yield "perceptual", weights.perceptual_weight, compute

    def _disturb(
        self, mean: SparseTensor, log_variance: Tensor, batch: Batch, random: SampleRandom
    ) -> SparseTensor:
        """Draw latents, add noise of a random level, and add cells that hold nothing."""
        channels = mean.feats.shape[1]
        spread = (0.5 * log_variance).exp()
        drawn = mean.feats + spread * random.normal_rows(mean.support, channels)
        parents = self._false_parents(batch, len(mean.feats), random)
        support = union_support(mean.support, parents)
        feats, there = take(mean.replace(drawn), support.keys)
        empty = self.network.latent_mean.expand_as(feats)
        level = move(self.settings.latent_noise * random.uniform(), feats.device)
        level = level[support.coords[:, 0], None]
        noise = level * self.network.latent_std * random.normal_rows(support, channels)
        return SparseTensor.on(support, torch.where(there[:, None], feats, empty) + noise)

    def _false_parents(self, batch: Batch, occupied: int, random: SampleRandom) -> Support:
        lattice = batch.lattice.support
        share = self.settings.false_parent_share * occupied / len(lattice)
        chosen = random.uniform_rows(lattice) < share
        return Support(lattice.keys[chosen], lattice.batch_size, lattice.stride)
