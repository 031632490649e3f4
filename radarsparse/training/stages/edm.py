"""The diffusion model's stage."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from radarsparse.config import EdmConfig
from radarsparse.data.batch import Batch, make_batch
from radarsparse.data.scan import ScanPair
from radarsparse.diffusion.precondition import loss_weight
from radarsparse.diffusion.schedule import lognormal_sigma
from radarsparse.geometry import Volume
from radarsparse.models.latent_diffusion import LatentDiffusion
from radarsparse.models.losses import (
    Term,
    by_noise_level,
    means_by_sample,
    weigh,
)
from radarsparse.models.losses.reduce import widen
from radarsparse.models.vae import Vae
from radarsparse.training.random import SampleRandom
from radarsparse.training.stages.batch import Cloud, TrainingBatch, to_points


class EdmStage(nn.Module):
    """Learns to denoise the VAE's latents on the lattice, given the radar."""

    def __init__(self, config: EdmConfig, vae: Vae) -> None:
        super().__init__()
        self.settings = config.diffusion
        self.sampling = config.sampling
        self.network = LatentDiffusion(vae.settings, config.model, config.diffusion)
        self.network.vae.load_state_dict(vae.state_dict())

    def forward(self, training: TrainingBatch) -> dict[str, Tensor]:
        """Errors of the clean state's estimate, at a random noise level or without any input.

        Returns:
            Each loss by name; `total` is the one to minimise.

        Source: Karras et al. 2022, Eq. 8.
        """
        batch, random = training.frames, training.random
        clean = self.network.clean_state(batch)
        noisy, sigma, regression = self._add_noise(clean, batch, random)
        context = self.network.denoiser.read_radar(batch.radar, batch.lattice)
        latent, log_odds = self.network.denoise_parts(noisy, sigma, context)
        with torch.autocast(clean.device.type, enabled=False):
            errors = self._errors(latent, log_odds, clean, sigma, batch)
            weights = self._weights()
            terms = weigh([Term(name, weights[name], errors[name].mean) for name in errors])
            loss = torch.stack([weights[name] * error for name, error in errors.items()]).sum(0)
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

    def _weights(self) -> dict[str, float]:
        settings = self.settings
        return {
            "presence": settings.presence_weight,
            "flag": settings.flag_weight,
            "latent": settings.latent_weight,
        }

    def _errors(
        self, latent: Tensor, log_odds: Tensor, clean: Tensor, sigma: Tensor, batch: Batch
    ) -> dict[str, Tensor]:
        """Of each sample, [b]: cross-entropy of presence and of flags, weighted squared error."""
        sample, count = batch.lattice.coords[:, 0], batch.lattice.batch_size
        truth, present = clean[:, -log_odds.shape[1] :], clean[:, -1] > 0
        surprise = F.binary_cross_entropy_with_logits(
            widen(log_odds), (truth > 0).to(widen(log_odds).dtype), reduction="none"
        )
        weight = loss_weight(sigma, self.settings.sigma_data)[sample]
        error = weight * (latent - clean[:, : latent.shape[1]]).square().mean(1)
        seen = torch.where(batch.observed, 1.0, self.settings.unobserved_weight)
        occupied = torch.where(present, 1.0, self.settings.absent_weight)
        return {
            "presence": means_by_sample(surprise[:, -1], sample, count, seen),
            "flag": means_by_sample(surprise[:, :-1].mean(1), sample, count, seen),
            "latent": means_by_sample(error, sample, count, occupied),
        }

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
