"""VAE and denoiser together: radar voxels to LiDAR-like voxels."""

import torch
from torch import Tensor, nn

from radarsparse.config import DenoiserSettings, DiffusionSettings, SamplingSettings, VaeSettings
from radarsparse.data.batch import Batch
from radarsparse.diffusion.precondition import c_noise, precondition
from radarsparse.diffusion.samplers import heun
from radarsparse.diffusion.schedule import sampling_sigmas
from radarsparse.models.denoiser import Denoiser
from radarsparse.models.vae import Split, Vae
from radarsparse.sparse import SparseTensor, look_up, prune
from radarsparse.sparse.ops import finer_supports

PRESENT = 1.0
ABSENT = -1.0


class LatentDiffusion(nn.Module):
    """A frozen VAE and the denoiser of its latents.

    The state on the lattice is [n, latent_channels + 1]: standardised latents times sigma_data
    (zero where no LiDAR return is), then presence.
    """

    def __init__(
        self,
        vae_settings: VaeSettings,
        denoiser_settings: DenoiserSettings,
        diffusion: DiffusionSettings,
    ) -> None:
        super().__init__()
        self.diffusion = diffusion
        self.state_channels = vae_settings.latent_channels + 1
        self.vae = Vae(vae_settings).requires_grad_(False).eval()
        self.denoiser = Denoiser(denoiser_settings, vae_settings.latent_channels)

    def train(self, mode: bool = True) -> "LatentDiffusion":
        """Switch the denoiser; the VAE stays frozen in evaluation mode."""
        super().train(mode)
        self.vae.eval()
        return self

    @torch.no_grad()
    def clean_state(self, batch: Batch) -> Tensor:
        """State of the true LiDAR cloud on the lattice."""
        latent = self.vae.encode(batch.lidar)
        scaled = latent.replace(latent.feats * self.diffusion.sigma_data)
        feats, there = look_up(scaled, batch.lattice.coords)
        presence = torch.where(there, PRESENT, ABSENT)[:, None]
        return torch.cat([feats, presence], dim=1)

    def denoise(self, noisy: Tensor, sigma: Tensor, context: SparseTensor) -> Tensor:
        """Estimate the clean state.

        Args:
            noisy: [n, c] on all lattice rows.
            sigma: [b] noise level of each sample.
            context: of `Denoiser.read_radar`.
        """
        label = c_noise(sigma)[:, None]

        def network(scaled: Tensor) -> Tensor:
            return self.denoiser(scaled, label, context)

        sigma_rows = sigma[context.coords[:, 0], None]
        return precondition(network, noisy, sigma_rows, self.diffusion.sigma_data)

    def regress(self, context: SparseTensor) -> Tensor:
        """One pass without noise at the highest noise level: the mean of what may be there."""
        zeros = context.feats.new_zeros(len(context.feats), self.state_channels)
        sigma = zeros.new_full((context.batch_size,), self.diffusion.sigma_max)
        return self.denoise(zeros, sigma, context)

    def sample(
        self, context: SparseTensor, noise: Tensor, steps: int, start_sigma: float | None
    ) -> Tensor:
        """Draw a state with Heun's method.

        Args:
            context: of `Denoiser.read_radar`.
            noise: [n, c] standard normal draws on all lattice rows.
            steps: number of noise levels.
            start_sigma: noise level to start from with the regression estimate as the mean;
                None starts from noise alone at the highest level.

        Source: Meng et al. 2022, SDEdit, for the start at a lower level.
        """

        def denoise(state: Tensor, sigma: Tensor) -> Tensor:
            return self.denoise(state, sigma.expand(context.batch_size), context)

        sigmas = sampling_sigmas(steps, start_sigma or self.diffusion.sigma_max, self.diffusion)
        start = noise * sigmas[0].to(noise.dtype)
        if start_sigma is not None:
            start = start + self.regress(context)
        return heun(denoise, start, sigmas)

    def draw(self, context: SparseTensor, seed: int, sampling: SamplingSettings) -> Tensor:
        """Mean of the states that `sampling` asks for; the same seed gives the same state.

        Args:
            context: of `Denoiser.read_radar`.
            seed: of the noise.
            sampling: number of noise levels and of draws, and where to start.
        """
        generator = torch.Generator().manual_seed(seed)
        shape = (len(context.feats), self.state_channels)
        total = context.feats.new_zeros(shape)
        for _ in range(sampling.samples):
            # On the CPU, so that every device draws the same.
            noise = torch.randn(shape, generator=generator).to(total.device)
            total += self.sample(context, noise, sampling.steps, sampling.start_sigma)
        return total / sampling.samples

    def teach(
        self, state: Tensor, active: Tensor, batch: Batch
    ) -> tuple[SparseTensor, list[Split]]:
        """Decode a state along the true children, and those that the decoder wrongly believes in.

        Args:
            state: [n, c] on all lattice rows.
            active: bool [n], which cells are decoded.
            batch: the true clouds.

        Returns:
            As `Decoder.teach`.
        """
        there = prune(batch.lattice.replace(state), active)
        latent = there.replace(self.vae.restore(there.feats[:, :-1] / self.diffusion.sigma_data))
        cap = self.vae.settings.max_voxels_per_frame * batch.lattice.batch_size
        truth = finer_supports(batch.lidar.support)
        return self.vae.decoder.teach(latent, truth, self.vae.radar(batch.radar), cap)

    def decode(
        self,
        state: Tensor,
        lattice: SparseTensor,
        radar: SparseTensor,
        sampling: SamplingSettings,
    ) -> SparseTensor:
        """Voxels of stride 1 from a state.

        Args:
            state: [n, c] on all lattice rows.
            lattice: position features, stride 8.
            radar: features of `voxelize_radar`, stride 1.
            sampling: which cells are active and which of their children exist.

        Returns:
            Offset from the voxel's centre in half voxels (3), intensity (0 to 1).
        """
        active = prune(lattice.replace(state), state[:, -1] > sampling.presence_threshold)
        latent = active.replace(active.feats[:, :-1] / self.diffusion.sigma_data)
        return self.vae.decode(latent, radar, sampling.child_log_odds)
