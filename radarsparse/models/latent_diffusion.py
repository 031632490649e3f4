"""VAE and denoiser together: radar voxels to LiDAR-like voxels."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from radarsparse.config import (
    LATTICE_STRIDE,
    DenoiserSettings,
    DiffusionSettings,
    FewStepSamplingSettings,
    SamplingSettings,
    VaeSettings,
)
from radarsparse.diffusion.precondition import (
    binary_log_odds,
    c_in,
    c_noise,
    c_out,
    c_skip,
    denoise_binary,
    denoise_gaussian,
)
from radarsparse.diffusion.samplers import heun, multistep
from radarsparse.diffusion.schedule import few_step_sigmas, sampling_sigmas
from radarsparse.models.denoiser import Denoiser
from radarsparse.models.flags import choose_flags, draw_flags, settle
from radarsparse.models.state import (
    BINARY_CHANNELS,
    DrawNoise,
    State,
    flagged_voxels,
    make_noise,
    make_state,
    mirror_rows,
    mirror_states,
)
from radarsparse.models.vae import Vae
from radarsparse.sparse import SparseTensor, Support, prune
from radarsparse.sparse.ops import parent_support
from radarsparse.sparse.tensor import move
from radarsparse.voxels.batch import Batch
from radarsparse.voxels.scene import Scene


class Condition(NamedTuple):
    """What is known of every lattice cell.

    Attributes:
        seen: with the radar, [n, width].
        blind: without it, for guidance.
    """

    seen: SparseTensor
    blind: SparseTensor


class View(NamedTuple):
    """One side of the mirror.

    Attributes:
        scene: what is there.
        condition: what is known of its cells.
        mean: [n, c] regression, what a pass without noise says.
    """

    scene: Scene
    condition: Condition
    mean: Tensor


class Consensus(NamedTuple):
    """One state from several draws: of a scene, of its mirror image, and from the regression.

    Attributes:
        state: [n, c] which is decoded.
        draws: [k, n, c] whose mean it is, next to the regression; none where it is the regression.
    """

    state: Tensor
    draws: Tensor | None


class Drawn(NamedTuple):
    """A draw.

    Attributes:
        state: [n, c], whose flags are certain.
        agreed: [n, c] what it was drawn from, whose flags say how likely each was.
    """

    state: Tensor
    agreed: Tensor


class LatentDiffusion(nn.Module):
    """A frozen VAE and the denoiser of its latents.

    The state on the lattice is that of `radarsparse.models.state`.

    Attributes:
        run_denoiser: does what the denoiser does, in another way; None for the denoiser itself.
    """

    run_denoiser: Callable[[Tensor, Tensor, SparseTensor], Tensor] | None = None

    def __init__(
        self,
        vae_settings: VaeSettings,
        denoiser_settings: DenoiserSettings,
        diffusion: DiffusionSettings,
    ) -> None:
        super().__init__()
        self.diffusion = diffusion
        self.state_channels = vae_settings.latent_channels + BINARY_CHANNELS
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
        fine = parent_support(batch.lidar.support)
        return make_state(scaled, fine, batch.lattice.support)

    def look(self, scenes: Sequence[Scene]) -> list[View]:
        """What all draws of a scene and of its mirror image begin with, one pass each."""
        conditions = [self.condition_on(scene.radar, scene.cells) for scene in scenes]
        return [
            View(scene, condition, self.regress(condition))
            for scene, condition in zip(scenes, conditions, strict=True)
        ]

    def draw(self, views: Sequence[View], seed: int, sampling: SamplingSettings) -> Consensus:
        """The state that `sampling` asks for; the same seed gives the same one.

        Args:
            views: of a scene and, where `sampling` asks for two views, of its mirror image.
            seed: of the noise.
            sampling: how many draws, the regression's share, and whether details are drawn anew.
        """
        draw_noise = make_noise(seed, views[0].mean)
        agreed = self._agree(views, draw_noise, sampling)
        state = self.draw_details(agreed.state, views[0].condition, draw_noise, sampling)
        return agreed._replace(state=state)

    def draw_each(
        self, views: Sequence[View], count: int, seed: int, sampling: SamplingSettings
    ) -> list[Drawn]:
        """States of which each may be there: what is unsure is decided at random.

        Args:
            views: as for `draw`.
            count: how many; more begin with the same ones.
            seed: of the noise.
            sampling: as for `draw`, and which flags are too unlikely.
        """
        draw_noise = make_noise(seed, views[0].mean)
        random = torch.Generator().manual_seed(seed)
        drawn = []
        for _ in range(count):
            agreed = self._agree(views, draw_noise, sampling).state
            cells, least = views[0].scene.cells.support, sampling.flag_probability_min
            chosen = draw_flags(State.split(agreed), cells, least, random)
            settled = settle(agreed, chosen)
            state = self.draw_details(settled, views[0].condition, draw_noise, sampling)
            drawn.append(Drawn(state, agreed))
        return drawn

    def _agree(
        self, views: Sequence[View], draw_noise: DrawNoise, sampling: SamplingSettings
    ) -> Consensus:
        """The mean of regressions and draws of all views, on the rows of the first one."""
        (scene, _, mean), *mirrored = views
        means, draws = mean[None], self._draw_view(views[0], draw_noise, sampling)
        for view in mirrored:
            theirs = self._draw_view(view, draw_noise, sampling)
            rows = mirror_rows(scene.cells.support, scene.volume.shape[1] // LATTICE_STRIDE)
            latent = State.split(draws.mean(0)).latent
            means, draws = (
                torch.cat([ours, mirror_states(others, rows, latent)])
                for ours, others in ((means, view.mean[None]), (draws, theirs))
            )
        state = draws.mean(0).lerp(means.mean(0), sampling.regression_share)
        return Consensus(state, draws if sampling.regression_share < 1.0 else None)

    def _draw_view(self, view: View, draw_noise: DrawNoise, sampling: SamplingSettings) -> Tensor:
        """Draws of one side of the mirror, [k, n, c]; its regression where none would count."""
        if sampling.regression_share == 1.0:
            return view.mean[None]
        draws = [
            self.sample(view.condition, view.mean, draw_noise, sampling)
            for _ in range(sampling.samples)
        ]
        return torch.stack(draws)

    def denoise(self, noisy: Tensor, sigma: Tensor, context: SparseTensor) -> Tensor:
        """Estimate the clean state.

        Args:
            noisy: [n, c] on all lattice rows.
            sigma: [b] noise level of each sample, or one number for all of them; best on the CPU.
            context: of `Denoiser.see`.
        """
        latent, log_odds = self.denoise_parts(noisy, sigma, context)
        return torch.cat([latent, denoise_binary(log_odds)], dim=1)

    def denoise_parts(
        self, noisy: Tensor, sigma: Tensor, context: SparseTensor
    ) -> tuple[Tensor, Tensor]:
        """Estimate clean latents, and the log odds of flags and presence; arguments as above."""
        sigma_data = self.diffusion.sigma_data
        scales = c_in(sigma, sigma_data), c_skip(sigma, sigma_data), c_out(sigma, sigma_data)
        levels = torch.stack([*scales, sigma**2, c_noise(sigma)], dim=-1)
        if sigma.ndim == 0:  # plain numbers need neither a copy nor rows
            scale_in, skip, out, variance, _ = levels.unbind()
            label = noisy.new_full((context.batch_size, 1), levels[-1].item())
        else:
            levels = move(levels, noisy.device)
            scale_in, skip, out, variance, _ = levels[context.coords[:, 0]].split(1, dim=1)
            label = levels[:, -1:]
        inner = (self.run_denoiser or self.denoiser)(scale_in * noisy, label, context)
        (latent, binary), (noisy_latent, noisy_binary) = (
            part.tensor_split([-BINARY_CHANNELS], dim=1) for part in (inner, noisy)
        )
        return (
            denoise_gaussian(latent, noisy_latent, skip, out),
            binary_log_odds(binary, noisy_binary, variance),
        )

    def condition_on(self, radar: SparseTensor, cells: SparseTensor) -> Condition:
        """What sampling is conditioned on; arguments as of `Denoiser.see`."""
        return Condition(self.denoiser.see(radar, cells), self.denoiser.see_nothing(cells))

    def regress(self, condition: Condition) -> Tensor:
        """One pass without noise at the highest noise level: the mean of what may be there."""
        seen = condition.seen
        zeros = seen.feats.new_zeros(len(seen.feats), self.state_channels)
        sigma = torch.tensor(self.diffusion.sigma_max, dtype=zeros.dtype)
        return self.denoise(zeros, sigma, seen)

    def sample(
        self,
        condition: Condition,
        mean: Tensor,
        draw_noise: DrawNoise,
        sampling: SamplingSettings,
    ) -> Tensor:
        """Draw a state: with Heun's method, or in few steps where `sampling` is made for them.

        Args:
            condition: of `condition_on`.
            mean: [n, c] estimate about which the sampler starts, of `regress`. Noise alone would
                say that half of all flags are up, and many cells together would be believed.
            draw_noise: of `make_noise`.
            sampling: number of noise levels, the first one and how much of its noise.

        Source: Meng et al. 2022, SDEdit, for the start at a lower level.
        """
        first = sampling.start_sigma or self.diffusion.sigma_max
        start = mean + first * sampling.temperature * draw_noise()
        denoise = partial(self.denoise_guided, condition=condition, guidance=sampling.guidance)
        if isinstance(sampling, FewStepSamplingSettings):
            sigmas = few_step_sigmas(sampling.steps, first, sampling.last_sigma)
            return multistep(denoise, start, sigmas, draw_noise)
        return heun(denoise, start, sampling_sigmas(sampling.steps, first, self.diffusion))

    def draw_details(
        self,
        state: Tensor,
        condition: Condition,
        draw_noise: DrawNoise,
        sampling: SamplingSettings,
    ) -> Tensor:
        """Latents drawn anew, given the flags that `choose` takes; flags and presence stay.

        A mean of latents is blurred; which flags are up says much about them.

        Args:
            state: [n, c] mean estimate.
            condition: of `condition_on`.
            draw_noise: of `make_noise`.
            sampling: `detail_sigma` is the noise level of one jump; None leaves the state as it is.
        """
        if sampling.detail_sigma is None:
            return state
        certain = settle(state, self.choose(state, condition.seen.support, sampling))
        sigma = torch.tensor(sampling.detail_sigma, dtype=state.dtype)
        noisy = certain + sigma * draw_noise()
        drawn = self.denoise_guided(noisy, sigma, condition, sampling.guidance)
        return torch.cat([drawn[:, :-BINARY_CHANNELS], state[:, -BINARY_CHANNELS:]], dim=1)

    def denoise_guided(
        self, noisy: Tensor, sigma: Tensor, condition: Condition, guidance: float
    ) -> Tensor:
        """As `denoise`, led away from what would be said without the radar.

        Source: Ho and Salimans 2022, Classifier-Free Diffusion Guidance, Eq. 6; `guidance` is
        1 + w there, and what is extrapolated are latents and log odds.
        """
        if guidance == 1.0:
            return self.denoise(noisy, sigma, condition.seen)
        seen, blind = (self.denoise_parts(noisy, sigma, context) for context in condition)
        latent, log_odds = (b + guidance * (s - b) for s, b in zip(seen, blind, strict=True))
        return torch.cat([latent, denoise_binary(log_odds)], dim=1)

    def choose(self, state: Tensor, cells: Support, sampling: SamplingSettings) -> Tensor:
        """Which flags of a state are up, bool [n, FLAGS].

        Args:
            state: [n, c] on all lattice rows.
            cells: all lattice cells.
            sampling: above which presence a cell is active.
        """
        return choose_flags(State.split(state), cells, sampling.presence_threshold)

    def decode(
        self,
        state: Tensor,
        chosen: Tensor,
        scene: Scene,
        sampling: SamplingSettings,
    ) -> SparseTensor:
        """Voxels of stride 1 from a state.

        Args:
            state: [n, c] of the n cells.
            chosen: bool [n, FLAGS] of `choose`.
            scene: its lattice cells are all or some.
            sampling: how likely a voxel must be to exist.

        Returns:
            Offset from the voxel's centre in half voxels (3), intensity (0 to 1).
        """
        latent = scene.cells.replace(State.split(state).latent / self.diffusion.sigma_data)
        fine = flagged_voxels(state, chosen, scene.cells)
        active, hints = prune(latent, chosen.any(1)), self.vae.hints(scene.radar, scene.beams)
        return self.vae.decode_below(active, fine, hints, sampling.voxel_probability)


def on_rows(values: Sequence[Tensor], support: Support) -> tuple[Tensor, ...]:
    """Numbers of each sample at each of its rows, [n, 1].

    Args:
        values: [b] each; of one dtype, on the CPU or where the support is.
        support: whose rows.
    """
    table = move(torch.stack(tuple(values), dim=1), support.keys.device)
    return table[support.coords[:, 0]].split(1, dim=1)
