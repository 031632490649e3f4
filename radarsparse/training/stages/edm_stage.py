"""The diffusion model's stage."""

import torch
from torch import Tensor

from radarsparse.diffusion.schedule import lognormal_sigma
from radarsparse.sparse import SparseTensor
from radarsparse.training.stages.denoiser_stage import DenoiserStage, Task, add_noise
from radarsparse.training.stages.training_batch import TrainingBatch


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
