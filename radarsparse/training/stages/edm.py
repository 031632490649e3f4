"""The diffusion model's stage."""

import torch
from torch import Tensor, nn

from radarsparse.config import EdmConfig
from radarsparse.data.batch import Batch, make_batch
from radarsparse.data.scan import ScanPair
from radarsparse.diffusion.precondition import loss_weight
from radarsparse.diffusion.schedule import lognormal_sigma
from radarsparse.geometry import Volume
from radarsparse.models.latent_diffusion import LatentDiffusion
from radarsparse.models.losses import (
    Match,
    Term,
    by_noise_level,
    means_by_sample,
    occupancy_terms,
    point_terms,
    weigh,
)
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
                    Term(
                        "decoded",
                        settings.decoded_weight,
                        lambda: self._decoded_loss(denoised, clean, regression, batch),
                    ),
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

    def _decoded_loss(
        self, denoised: Tensor, clean: Tensor, regression: Tensor, batch: Batch
    ) -> Tensor:
        """What the VAE's own losses say of the regression's estimate once it is decoded.

        Cells are decoded where LiDAR returns are, and where it was seen that none are but the
        estimate says so.
        """
        believed = (denoised[:, -1] > 0) & batch.observed
        active = ((clean[:, -1] > 0) | believed) & regression[batch.lattice.coords[:, 0]]
        decoded, splits = self.network.teach(denoised, active, batch)
        match, settings = Match.of(decoded, batch.lidar), self.network.vae.settings
        return weigh([*occupancy_terms(splits, settings), *point_terms(match, settings)])["total"]

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
