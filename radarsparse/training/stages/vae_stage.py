"""The VAE's stage."""

from pathlib import Path

import torch
from torch import Tensor, nn

from radarsparse.config import VaeConfig, VaeSettings
from radarsparse.geometry import Volume
from radarsparse.models.losses import (
    ComparedVoxels,
    PerceptualLoss,
    Term,
    latent_terms,
    occupancy_terms,
    point_terms,
    random_pyramid,
    weigh,
)
from radarsparse.models.vae import Vae
from radarsparse.models.weights import load_vae
from radarsparse.scan import ScanPair
from radarsparse.sparse import SparseTensor, Support
from radarsparse.sparse.ops import finer_supports, take, union_support
from radarsparse.sparse.tensor import move
from radarsparse.training.random import SampleRandom
from radarsparse.training.stages.training_batch import Cloud, TrainingBatch, to_points
from radarsparse.voxels.batch import Batch, make_batch


class VaeStage(nn.Module):
    """Learns to encode LiDAR clouds and to decode them again."""

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.settings = config.model
        self.network = Vae(config.model)
        self.perceptual = _make_perceptual(config.model)

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
            self.network.radar(batch.radar),
            self.settings.max_voxels_per_frame * batch.lidar.batch_size,
        )
        # Under autocast networks compute in half precision; losses must not.
        with torch.autocast(latent.feats.device.type, enabled=False):
            match = ComparedVoxels.of(decoded, batch.lidar)
            return weigh(
                [
                    *occupancy_terms(splits, self.settings),
                    *point_terms(match, self.settings),
                    *self._perceptual_terms(decoded, batch.lidar),
                    *latent_terms(mean, log_variance, self.settings),
                ]
            )

    def end_window(self) -> None:
        """Take up what the batches since the last step of the optimiser showed."""
        self.network.settle_statistics()

    @torch.no_grad()
    def predict(self, pair: ScanPair, volume: Volume) -> Cloud:
        """The LiDAR cloud through the encoder and back, [n, 4] as `place_points` gives it."""
        batch = make_batch([pair], volume).to(self.network.latent_mean.device)
        voxels = self.network.decode(self.network.encode(batch.lidar), batch.radar)
        return to_points(voxels, volume)

    def _perceptual_terms(self, decoded: SparseTensor, lidar: SparseTensor) -> list[Term]:
        perceptual = self.perceptual
        if perceptual is None:
            return []
        weight = self.settings.perceptual_weight
        return [Term("perceptual", weight, lambda: perceptual(decoded, lidar))]

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


def _make_perceptual(settings: VaeSettings) -> PerceptualLoss | None:
    if settings.perceptual_weight == 0.0:
        return None
    if settings.perceptual_vae is None:
        return PerceptualLoss(random_pyramid())
    return PerceptualLoss(load_vae(Path(settings.perceptual_vae))[0].encoder.pyramid)
