"""What each training stage learns: its network and its losses for some scan pairs."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from radarsparse.config import EdmConfig, VaeConfig, VaeSettings
from radarsparse.data.batch import Batch, make_batch
from radarsparse.data.scan import ScanPair
from radarsparse.data.voxelize import place_points
from radarsparse.diffusion.precondition import loss_weight
from radarsparse.diffusion.schedule import lognormal_sigma
from radarsparse.geometry import Volume
from radarsparse.models.latent_diffusion import LatentDiffusion
from radarsparse.models.losses import (
    Match,
    PerceptualLoss,
    Term,
    by_noise_level,
    latent_terms,
    means_by_sample,
    occupancy_terms,
    point_terms,
    random_pyramid,
    weigh,
)
from radarsparse.models.vae import Vae
from radarsparse.sparse import SparseTensor, Support, look_up
from radarsparse.sparse.ops import parent_support, union_support
from radarsparse.training.checkpoint import load_vae
from radarsparse.training.random import SampleRandom

Cloud = NDArray[np.float32]


class TrainingBatch:
    """Frames, and the random numbers that belong to them.

    No dataclass, since Fabric would take one apart.

    Args:
        frames: what is learnt from.
        random: one generator per frame.
    """

    def __init__(self, frames: Batch, random: SampleRandom) -> None:
        self.frames, self.random = frames, random


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
            _finer_supports(batch.lidar.support),
            self.network.radar(batch.radar),
            self.settings.max_voxels_per_frame * batch.lidar.batch_size,
        )
        # Under autocast networks compute in half precision; losses must not.
        with torch.autocast(latent.feats.device.type, enabled=False):
            match = Match.of(decoded, batch.lidar)
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
        drawn = mean.feats + spread * random.normal_rows(mean.coords[:, 0], channels)
        parents = self._false_parents(batch, len(mean.feats), random)
        support = union_support(mean.support, parents)
        feats, there = look_up(mean.replace(drawn), support.coords)
        empty = self.network.latent_mean.expand_as(feats)
        sample = support.coords[:, 0]
        level = (self.settings.latent_noise * random.uniform())[sample, None]
        noise = level * self.network.latent_std * random.normal_rows(sample, channels)
        return SparseTensor.on(support, torch.where(there[:, None], feats, empty) + noise)

    def _false_parents(self, batch: Batch, occupied: int, random: SampleRandom) -> Support:
        lattice = batch.lattice.support
        share = self.settings.false_parent_share * occupied / len(lattice)
        chosen = random.uniform_rows(lattice.coords[:, 0]) < share
        return Support(lattice.coords[chosen], lattice.batch_size, lattice.stride)


class EdmStage(nn.Module):
    """Learns to denoise the VAE's latents on the lattice, given the radar."""

    def __init__(self, config: EdmConfig, vae: Vae) -> None:
        super().__init__()
        self.settings = config.diffusion
        self.sampling = config.sampling
        self.network = LatentDiffusion(vae.settings, config.model, config.diffusion)
        self.network.vae.load_state_dict(vae.state_dict())

    def forward(self, training: TrainingBatch) -> dict[str, Tensor]:
        """Weighted squared errors of the clean state's estimate.

        Returns:
            Each loss by name; `total` is the one to minimise.

        Source: Karras et al. 2022, Eq. 8.
        """
        batch, random = training.frames, training.random
        clean = self.network.clean_state(batch)
        noisy, sigma, regression = self._add_noise(clean, batch, random)
        context = self.network.denoiser.read_radar(batch.radar, batch.lattice)
        denoised = self.network.denoise(noisy, sigma, context)
        with torch.autocast(clean.device.type, enabled=False):
            presence, latent = self._errors(denoised, clean, sigma, batch)
            settings = self.settings
            terms = weigh(
                [
                    Term("presence", settings.presence_weight, presence.mean),
                    Term("latent", settings.latent_weight, latent.mean),
                ]
            )
            loss = settings.presence_weight * presence + settings.latent_weight * latent
            return {**terms, **by_noise_level(loss, sigma, regression)}

    def end_window(self) -> None:
        """Nothing to take up: the statistics are those of the frozen VAE."""

    @torch.no_grad()
    def predict(self, pair: ScanPair, volume: Volume) -> Cloud:
        """A cloud drawn for the radar, [n, 4] as `place_points` gives it; always the same one."""
        batch = make_batch([pair], volume).to(self.network.vae.latent_mean.device)
        context = self.network.denoiser.read_radar(batch.radar, batch.lattice)
        state = self.network.draw(context, 0, self.sampling)
        return to_points(
            self.network.decode(state, batch.lattice, batch.radar, self.sampling), volume
        )

    def _errors(
        self, denoised: Tensor, clean: Tensor, sigma: Tensor, batch: Batch
    ) -> tuple[Tensor, Tensor]:
        """Weighted squared error of presence and of latents, of each sample: [b], [b]."""
        sample, count = batch.lattice.coords[:, 0], batch.lattice.batch_size
        weight = loss_weight(sigma, self.settings.sigma_data)[sample]
        error = weight[:, None] * (denoised - clean) ** 2
        presence_weight = torch.where(batch.observed, 1.0, self.settings.unobserved_weight)
        latent_weight = torch.where(clean[:, -1] > 0, 1.0, self.settings.absent_weight)
        return (
            means_by_sample(error[:, -1], sample, count, presence_weight),
            means_by_sample(error[:, :-1].mean(1), sample, count, latent_weight),
        )

    def _add_noise(
        self, clean: Tensor, batch: Batch, random: SampleRandom
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Noisy states, their levels, and which samples are the regression task: no input."""
        regression = random.uniform() < self.settings.regression_share
        sigma = lognormal_sigma(random.normal(), self.settings)
        sigma = torch.where(regression, self.settings.sigma_max, sigma)
        sample = batch.lattice.coords[:, 0]
        noisy = clean + sigma[sample, None] * random.normal_rows(sample, clean.shape[1])
        return noisy.masked_fill(regression[sample, None], 0.0), sigma, regression


Stage = VaeStage | EdmStage


def _make_perceptual(settings: VaeSettings) -> PerceptualLoss | None:
    if settings.perceptual_weight == 0.0:
        return None
    if settings.perceptual_vae is None:
        return PerceptualLoss(random_pyramid())
    return PerceptualLoss(load_vae(Path(settings.perceptual_vae))[0].encoder.pyramid)


def to_points(voxels: SparseTensor, volume: Volume) -> Cloud:
    """Decoded voxels of one frame as points, [n, 4] as `place_points` gives them."""
    return place_points(voxels.coords[:, 1:].cpu().numpy(), voxels.feats.cpu().numpy(), volume)


def _finer_supports(support: Support) -> list[Support]:
    """True supports at strides 4, 2 and 1, for the decoder's levels."""
    stride2 = parent_support(support)
    return [parent_support(stride2), stride2, support]
