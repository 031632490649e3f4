"""What all stages have in common that train a denoiser."""

import operator
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from radarsparse.config import DenoiserConfig
from radarsparse.diffusion.precondition import loss_weight
from radarsparse.diffusion.schedule import lognormal_sigma
from radarsparse.enhancer import Enhancer
from radarsparse.models.latent_diffusion import LatentDiffusion, on_rows
from radarsparse.models.losses.by_level import by_noise_level
from radarsparse.models.losses.reduce import means_by_sample, weigh, widen
from radarsparse.models.vae import Vae
from radarsparse.scan import ScanPair
from radarsparse.sparse import SparseTensor
from radarsparse.sparse.tensor import move
from radarsparse.training.random import SampleRandom, TrainingBatch
from radarsparse.voxels.batch import Batch


class Task(NamedTuple):
    """What a denoiser is asked in a training step.

    Attributes:
        noisy: [n, c] states.
        sigma: [b] their noise levels, on the CPU.
        target: [n, c] what to answer.
        weight: [b] of each sample, on the CPU.
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
        self.config, self.settings = config, config.diffusion
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
        regression = random.uniform() < self.settings.regression_share
        blind, hidden = on_rows([dropped, regression], batch.lattice.support)
        context = read_condition(self.network, batch, blind)
        asked = self.set_task(clean, context, blind, training)
        task = self._regress_instead(asked, clean, regression, hidden)
        latent, log_odds = self.network.denoise_parts(task.noisy, task.sigma, context)
        with torch.autocast(clean.device.type, enabled=False):
            errors = self._errors(latent, log_odds, clean[:, -1] > 0, task, batch)
            settings = self.settings
            weights = settings.presence_weight, settings.flag_weight, settings.latent_weight
            means = zip(("presence", "flag", "latent"), weights, errors.mean(1), strict=True)
            terms = weigh([(name, weight, lambda m=mean: m) for name, weight, mean in means])
            loss = torch.stack([*map(operator.mul, weights, errors.detach())]).sum(0)
            return {**terms, **by_noise_level(loss, task.sigma, regression)}

    @abstractmethod
    def set_task(
        self, clean: Tensor, context: SparseTensor, blind: Tensor, training: TrainingBatch
    ) -> Task:
        """What the denoiser is asked; the regression comes on top.

        Args:
            clean: [n, c] true states.
            context: what the network sees.
            blind: bool [n, 1], rows of samples whose radar it doesn't see.
            training: the frames and their random numbers.
        """

    def end_window(self) -> None:
        """Nothing to take up: the statistics are those of the frozen VAE."""

    def predict(self, pair: ScanPair) -> NDArray[np.float32]:
        """A cloud drawn for the radar, x, y, z, intensity [n, 4]; always the same one."""
        enhancer = Enhancer(self.network, self.config).beside(pair)
        return enhancer(pair.radar, name=f"frame {pair.name}").table

    def _regress_instead(self, task: Task, clean: Tensor, regression: Tensor, rows: Tensor) -> Task:
        """Ask for the clean state, [n, c], and show nothing at all in the chosen samples.

        These are given by sample, bool [b] on the CPU, and by row, bool [n, 1].
        """
        return Task(
            task.noisy.masked_fill(rows, 0.0),
            torch.where(regression, self.settings.sigma_max, task.sigma),
            torch.where(rows, clean, task.target),
            torch.where(regression, 1.0, task.weight),
        )

    def _errors(
        self, latent: Tensor, log_odds: Tensor, present: Tensor, task: Task, batch: Batch
    ) -> Tensor:
        """Cross-entropy of presence and of flags, weighted squared error of latents, [3, b]."""
        sample = batch.lattice.coords[:, 0]
        believed = widen(0.5 * (task.target[:, -log_odds.shape[1] :] + 1.0))
        surprise = F.binary_cross_entropy_with_logits(
            widen(log_odds), believed.to(widen(log_odds).dtype), reduction="none"
        )
        per_sample = task.weight, loss_weight(task.sigma, self.settings.sigma_data)
        weights = move(torch.stack(per_sample), latent.device)
        error = weights[1, sample] * (latent - task.target[:, : latent.shape[1]]).square().mean(1)
        seen = torch.where(batch.observed, 1.0, self.settings.unobserved_weight)
        occupied = torch.where(present, 1.0, self.settings.absent_weight)
        means = means_by_sample(
            torch.stack([surprise[:, -1], surprise[:, :-1].mean(1), error]),
            sample,
            batch.lattice.batch_size,
            torch.stack([seen, seen, occupied]),
        )
        return weights[0] * means


def read_condition(network: LatentDiffusion, batch: Batch, blind: Tensor) -> SparseTensor:
    """The condition of a batch, without radar in `blind` rows, bool [n, 1].

    Source: Ho and Salimans 2022, Classifier-Free Diffusion Guidance, Algorithm 1.
    """
    denoiser = network.denoiser
    seen = denoiser.see(batch.radar, batch.cells)
    return seen.replace(torch.where(blind, denoiser.see_nothing(batch.cells).feats, seen.feats))


def add_noise(clean: Tensor, sigma: Tensor, batch: Batch, random: SampleRandom) -> Tensor:
    """States with noise of one level per sample, [b] on the CPU."""
    lattice = batch.lattice.support
    noise, (level,) = random.normal_rows(lattice, clean.shape[1]), on_rows([sigma], lattice)
    return clean + level * noise


class EdmStage(DenoiserStage):
    """Learns to denoise states at every noise level."""

    def set_task(
        self, clean: Tensor, context: SparseTensor, blind: Tensor, training: TrainingBatch
    ) -> Task:
        """Ask for the clean state at a random noise level.

        Source: Karras et al. 2022, Eq. 8.
        """
        settings, random = self.settings, training.random
        sigma = lognormal_sigma(random.normal(), settings.p_mean, settings.p_std)
        noisy = add_noise(clean, sigma, training.frames, random)
        return Task(noisy, sigma, clean, torch.ones_like(sigma))
