"""Stages that make a finished diffusion model need few steps."""

from functools import partial

import torch
from torch import Tensor

from radarsparse.config import DistillConfig, EctConfig, FewStepConfig
from radarsparse.diffusion.consistency import earlier_sigma, pair_weight, scale_pairs, step_down
from radarsparse.diffusion.schedule import lognormal_sigma
from radarsparse.models.latent_diffusion import LatentDiffusion, on_rows
from radarsparse.sparse import SparseTensor
from radarsparse.training.random import TrainingBatch
from radarsparse.training.stages.denoiser_stage import (
    DenoiserStage,
    Task,
    add_noise,
    read_condition,
)


class FewStepStage(DenoiserStage):
    """Starts from a teacher, of a run of stage `edm`, and learns to answer alike along a path."""

    def __init__(self, config: FewStepConfig, teacher: LatentDiffusion) -> None:
        super().__init__(config, teacher.vae)
        self.network.load_state_dict(teacher.state_dict())

    @torch.no_grad()
    def answer_below(
        self, state: Tensor, sigma: Tensor, context: SparseTensor, training: TrainingBatch
    ) -> Tensor:
        """What the network itself says at the lower end of a pair; at level 0, the state.

        Args:
            state: [n, c] at the lower level.
            sigma: [b] the lower level, at least 0.
            context: what the network sees.
            training: the frames.
        """
        denoiser = self.network.denoiser
        denoiser.eval()  # a target isn't blurred by dropout
        said = self.network.denoise(state, sigma.clamp(min=self.settings.sigma_min), context)
        denoiser.train(self.training)
        (level,) = on_rows([sigma], training.frames.lattice.support)
        return torch.where(level > 0, said, state)


class EctStage(FewStepStage):
    """Easy consistency tuning: both ends of a pair share their noise, and the gap shrinks.

    Source: Geng et al. 2024, Consistency Models Made Easy, Algorithm 1.
    """

    def __init__(self, config: EctConfig, teacher: LatentDiffusion) -> None:
        super().__init__(config, teacher)
        self.consistency, self.length = config.consistency, config.train.samples

    def set_task(
        self, clean: Tensor, context: SparseTensor, blind: Tensor, training: TrainingBatch
    ) -> Task:
        """Ask at the upper end what the network says at the lower end."""
        settings, random = self.consistency, training.random
        drawn = lognormal_sigma(random.normal(), settings.p_mean, settings.p_std)
        sigma = drawn.clamp(self.settings.sigma_min, self.settings.sigma_max)
        passed = torch.tensor(random.samples) / self.length
        earlier = earlier_sigma(sigma, (passed * (settings.halvings + 1)).floor())
        noisy = add_noise(clean, sigma, training.frames, random)
        (share,) = on_rows([earlier / sigma], training.frames.lattice.support)
        below = clean + share * (noisy - clean)
        target = self.answer_below(below, earlier, context, training)
        return Task(noisy, sigma, target, pair_weight(sigma, earlier))


class DistillStage(FewStepStage):
    """Consistency distillation: the teacher leads from one end of a pair to the other.

    Source: Song et al. 2023, Consistency Models, Algorithm 2, without an average of the target.
    """

    def __init__(self, config: DistillConfig, teacher: LatentDiffusion) -> None:
        super().__init__(config, teacher)
        self.consistency = config.consistency
        self.teacher = teacher.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "DistillStage":
        """Switch the student; the teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def set_task(
        self, clean: Tensor, context: SparseTensor, blind: Tensor, training: TrainingBatch
    ) -> Task:
        """Ask at the upper end what the network says at the lower end."""
        random, lattice = training.random, training.frames.lattice.support
        sigma, lower = scale_pairs(random.uniform(), self.consistency.scales, self.settings)
        noisy = add_noise(clean, sigma, training.frames, random)
        with torch.no_grad():
            seen = read_condition(self.teacher, training.frames, blind)
            denoise = partial(self.teacher.denoise, context=seen)
            below = step_down(denoise, noisy, sigma, lower, partial(on_rows, support=lattice))
        target = self.answer_below(below, lower, context, training)
        return Task(noisy, sigma, target, torch.ones_like(sigma))
