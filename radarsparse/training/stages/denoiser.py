"""What all stages have in common that train a denoiser."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from radarsparse.config import DenoiserConfig
from radarsparse.data.batch import Batch
from radarsparse.data.scan import ScanPair
from radarsparse.diffusion.precondition import loss_weight
from radarsparse.geometry import Volume
from radarsparse.models.consensus import draw_consensus, read_scene
from radarsparse.models.latent_diffusion import LatentDiffusion
from radarsparse.models.losses import (
    Term,
    by_noise_level,
    means_by_sample,
    weigh,
)
from radarsparse.models.losses.reduce import widen
from radarsparse.models.vae import Vae
from radarsparse.sparse import SparseTensor
from radarsparse.training.random import SampleRandom
from radarsparse.training.stages.batch import Cloud, TrainingBatch, to_points


class Task(NamedTuple):
    """What a denoiser is asked in a training step.

    Attributes:
        noisy: [n, c] states.
        sigma: [b] their noise levels.
        target: [n, c] what to answer.
        weight: [b] of each sample.
    """

    noisy: Tensor
    sigma: Tensor
    target: Tensor
    weight: Tensor


class DenoiserStage(nn.Module, ABC):
    """Learns to say what lies on the lattice, given the radar and a noisy state.

    Args:
        config: of the run.
        vae: whose latents are part of the state; it stays as it is.
    """

    def __init__(self, config: DenoiserConfig, vae: Vae) -> None:
        super().__init__()
        self.settings = config.diffusion
        self.sampling = config.sampling
        self.network = LatentDiffusion(vae.settings, config.model, config.diffusion)
        self.network.vae.load_state_dict(vae.state_dict())

    def forward(self, training: TrainingBatch) -> dict[str, Tensor]:
        """Errors of what is said of the clean state.

        Returns:
            Each loss by name; `total` is the one to minimise.
        """
        batch, random = training.frames, training.random
        clean = self.network.clean_state(batch)
        dropped = random.uniform() < self.settings.condition_drop
        context = read_condition(self.network, batch, dropped)
        regression = random.uniform() < self.settings.regression_share
        asked = self.set_task(clean, context, dropped, training)
        task = self._regress_instead(asked, clean, regression, batch)
        latent, log_odds = self.network.denoise_parts(task.noisy, task.sigma, context)
        with torch.autocast(clean.device.type, enabled=False):
            errors = self._errors(latent, log_odds, clean[:, -1] > 0, task, batch)
            weights = self._weights()
            terms = weigh([Term(name, weights[name], errors[name].mean) for name in errors])
            loss = torch.stack([weights[name] * error for name, error in errors.items()]).sum(0)
            return {**terms, **by_noise_level(loss, task.sigma, regression)}

    @abstractmethod
    def set_task(
        self, clean: Tensor, context: SparseTensor, dropped: Tensor, training: TrainingBatch
    ) -> Task:
        """What the denoiser is asked; the regression comes on top.

        Args:
            clean: [n, c] true states.
            context: what the network sees.
            dropped: bool [b], samples whose radar it doesn't see.
            training: the frames and their random numbers.
        """

    def end_window(self) -> None:
        """Nothing to take up: the statistics are those of the frozen VAE."""

    @torch.no_grad()
    def predict(self, pair: ScanPair, volume: Volume) -> Cloud:
        """A cloud drawn for the radar, [n, 4] as `place_points` gives it; always the same one."""
        device = self.network.vae.latent_mean.device
        scene = read_scene(pair.radar, volume, device, f"frame {pair.name}: radar")
        state = draw_consensus(self.network, pair.radar, scene, 0, self.sampling).state
        voxels = self.network.decode(state, scene.cells, scene.radar, self.sampling)
        return to_points(voxels, volume)

    def _regress_instead(self, task: Task, clean: Tensor, regression: Tensor, batch: Batch) -> Task:
        """Ask for the clean state and show nothing at all in the chosen samples, bool [b]."""
        rows = regression[batch.lattice.coords[:, 0], None]
        return Task(
            task.noisy.masked_fill(rows, 0.0),
            torch.where(regression, self.settings.sigma_max, task.sigma),
            torch.where(rows, clean, task.target),
            torch.where(regression, 1.0, task.weight),
        )

    def _weights(self) -> dict[str, float]:
        settings = self.settings
        return {
            "presence": settings.presence_weight,
            "flag": settings.flag_weight,
            "latent": settings.latent_weight,
        }

    def _errors(
        self, latent: Tensor, log_odds: Tensor, present: Tensor, task: Task, batch: Batch
    ) -> dict[str, Tensor]:
        """Of each sample, [b]: cross-entropy of presence and of flags, weighted squared error."""
        sample, count = batch.lattice.coords[:, 0], batch.lattice.batch_size
        believed = widen(0.5 * (task.target[:, -log_odds.shape[1] :] + 1.0))
        surprise = F.binary_cross_entropy_with_logits(
            widen(log_odds), believed.to(widen(log_odds).dtype), reduction="none"
        )
        weight = loss_weight(task.sigma, self.settings.sigma_data)[sample]
        error = weight * (latent - task.target[:, : latent.shape[1]]).square().mean(1)
        seen = torch.where(batch.observed, 1.0, self.settings.unobserved_weight)
        occupied = torch.where(present, 1.0, self.settings.absent_weight)
        means = {
            "presence": means_by_sample(surprise[:, -1], sample, count, seen),
            "flag": means_by_sample(surprise[:, :-1].mean(1), sample, count, seen),
            "latent": means_by_sample(error, sample, count, occupied),
        }
        return {name: task.weight * mean for name, mean in means.items()}


def read_condition(network: LatentDiffusion, batch: Batch, dropped: Tensor) -> SparseTensor:
    """The condition of a batch, without radar in the samples that are `dropped`, bool [b].

    Source: Ho and Salimans 2022, Classifier-Free Diffusion Guidance, Algorithm 1.
    """
    denoiser, blind = network.denoiser, dropped[batch.lattice.coords[:, 0], None]
    seen = denoiser.read_radar(batch.radar, batch.cells)
    return seen.replace(torch.where(blind, denoiser.without_radar(batch.cells).feats, seen.feats))


def add_noise(clean: Tensor, sigma: Tensor, batch: Batch, random: SampleRandom) -> Tensor:
    """States with noise of one level per sample, [b]."""
    lattice = batch.lattice.support
    noise = random.normal_rows(lattice, clean.shape[1])
    return clean + sigma[lattice.coords[:, 0], None] * noise
