"""What each training stage learns: its network and its losses for some scan pairs."""

from typing import Protocol

import torch
from torch import Tensor, nn

from radarsparse.config import EdmConfig, VaeConfig
from radarsparse.data.batch import Batch
from radarsparse.diffusion.precondition import loss_weight
from radarsparse.diffusion.schedule import draw_sigma
from radarsparse.geometry import Volume
from radarsparse.models.latent_diffusion import LatentDiffusion
from radarsparse.models.losses import detail_losses, kl_loss, mean_per_sample, split_loss
from radarsparse.models.vae import Vae
from radarsparse.sparse import SparseTensor, Support, look_up
from radarsparse.sparse.ops import parent_support, union_support


class Stage(Protocol):
    """What the training loop needs to know."""

    @property
    def network(self) -> nn.Module:
        """What is trained and stored."""
        ...

    @property
    def volume(self) -> Volume:
        """Where batches are made."""
        ...

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Each loss by name; `total` is the one to minimise."""
        ...


class VaeStage:
    """Learns to encode LiDAR clouds and to decode them again."""

    def __init__(self, config: VaeConfig) -> None:
        self.settings = config.model
        self.volume = Volume.from_settings(config.volume)
        self.network = Vae(config.model)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of encoding and decoding, along the true children and wrongly believed ones."""
        mean, log_variance = self.network.encoder(batch.lidar)
        self.network.observe_latents(mean.feats)
        latent = self._disturb(mean, log_variance, batch)
        decoded, splits = self.network.decoder.teach(
            latent,
            _finer_supports(batch.lidar.support),
            self.network.radar(batch.radar),
            self.settings.max_voxels_per_frame * batch.lidar.batch_size,
        )
        terms = {
            f"split{split.parents.stride}": split_loss(split, self.settings.positive_weight)
            for split in splits
        }
        split_total = torch.stack(list(terms.values())).sum()
        terms["offset"], terms["intensity"] = detail_losses(decoded, batch.lidar)
        terms["kl"] = kl_loss(mean, log_variance)
        terms["total"] = (
            split_total
            + self.settings.offset_weight * terms["offset"]
            + self.settings.intensity_weight * terms["intensity"]
            + self.settings.kl_weight * terms["kl"]
        )
        return terms

    def _disturb(self, mean: SparseTensor, log_variance: Tensor, batch: Batch) -> SparseTensor:
        """Draw latents, add noise of a random level, and add cells that hold nothing."""
        drawn = mean.feats + (0.5 * log_variance).exp() * torch.randn_like(mean.feats)
        support = union_support(mean.support, self._false_parents(batch, len(mean.feats)))
        feats, there = look_up(mean.replace(drawn), support.coords)
        empty = self.network.latent_mean.expand_as(feats)
        level = self.settings.latent_noise * torch.rand(batch.lidar.batch_size)
        noise = level[support.coords[:, 0], None] * self.network.latent_std
        feats = torch.where(there[:, None], feats, empty) + noise * torch.randn_like(feats)
        return SparseTensor.on(support, feats)

    def _false_parents(self, batch: Batch, occupied: int) -> Support:
        lattice = batch.lattice.support
        share = self.settings.false_parent_share * occupied / len(lattice)
        chosen = torch.rand(len(lattice)) < share
        return Support(lattice.coords[chosen], lattice.batch_size, lattice.stride)


class EdmStage:
    """Learns to denoise the VAE's latents on the lattice, given the radar."""

    def __init__(self, config: EdmConfig, vae: Vae) -> None:
        self.settings = config.diffusion
        self.volume = Volume.from_settings(config.volume)
        self.network = LatentDiffusion(vae.settings, config.model, config.diffusion)
        self.network.vae.load_state_dict(vae.state_dict())

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Weighted squared errors of the clean state's estimate.

        Source: Karras et al. 2022, Eq. 8.
        """
        clean = self.network.clean_state(batch)
        noisy, sigma = self._add_noise(clean, batch)
        context = self.network.denoiser.read_radar(batch.radar, batch.lattice)
        denoised = self.network.denoise(noisy, sigma, context)
        sample, count = batch.lattice.coords[:, 0], batch.lattice.batch_size
        weight = loss_weight(sigma, self.settings.sigma_data)[sample]
        error = weight[:, None] * (denoised - clean) ** 2
        presence_weight = torch.where(batch.observed, 1.0, self.settings.unobserved_weight)
        latent_weight = torch.where(clean[:, -1] > 0, 1.0, self.settings.absent_weight)
        terms = {
            "presence": mean_per_sample(error[:, -1], sample, count, presence_weight),
            "latent": mean_per_sample(error[:, :-1].mean(1), sample, count, latent_weight),
        }
        terms["total"] = terms["presence"] + terms["latent"]
        return terms

    def _add_noise(self, clean: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Noisy states and their levels; a share of samples is the regression task: no input."""
        count = batch.lattice.batch_size
        sigma = draw_sigma(count, self.settings)
        regression = torch.rand(count) < self.settings.regression_share
        sigma = torch.where(regression, self.settings.sigma_max, sigma)
        sample = batch.lattice.coords[:, 0]
        noisy = clean + sigma[sample, None] * torch.randn_like(clean)
        return noisy.masked_fill(regression[sample, None], 0.0), sigma


def _finer_supports(support: Support) -> list[Support]:
    """True supports at strides 4, 2 and 1, for the decoder's levels."""
    stride2 = parent_support(support)
    return [parent_support(stride2), stride2, support]
