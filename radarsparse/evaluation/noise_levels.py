"""What a denoiser knows at each noise level."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from radarsparse.diffusion.precondition import loss_weight
from radarsparse.enhancer import Enhancer
from radarsparse.models.state import BINARY_CHANNELS, State
from radarsparse.scan import ScanPair
from radarsparse.sparse import use_engine
from radarsparse.voxels.batch import Batch

LEVELS = (0.1, 0.2, 0.35, 0.6, 1.0, 1.7, 3.0, 5.0, 9.0, 20.0)


class NoiseLosses(NamedTuple):
    """Losses by noise level, of which there are k.

    Attributes:
        sigmas: [k].
        flags: [k] cross-entropy of all flags, in bits per flag that is up.
        alone: [k] the same where neighbours don't help: the regression and each noisy flag itself.
        latents: [k] weighted squared error of the latents of occupied cells.
    """

    sigmas: NDArray[np.float64]
    flags: NDArray[np.float64]
    alone: NDArray[np.float64]
    latents: NDArray[np.float64]


@torch.no_grad()
def losses_by_level(enhancer: Enhancer, pairs: Sequence[ScanPair], seed: int) -> NoiseLosses:
    """Mean losses over frames at `LEVELS`.

    Args:
        enhancer: a run of stage `edm`.
        pairs: frames.
        seed: of the noise.
    """
    random = torch.Generator().manual_seed(seed)
    with use_engine(enhancer.engine):
        frames = [_score(enhancer, enhancer.make_batch(pair), random) for pair in pairs]
    flags, alone, latents = np.mean(frames, axis=0).T
    return NoiseLosses(np.array(LEVELS), flags, alone, latents)


def _score(enhancer: Enhancer, batch: Batch, random: torch.Generator) -> NDArray[np.float64]:
    """Losses of one frame, [k, 3]."""
    network, sigma_data = enhancer.network, enhancer.network.diffusion.sigma_data
    clean = network.clean_state(batch)
    truth = State.split(clean)
    condition = network.condition_on(batch.radar, batch.cells)
    prior = torch.logit(0.5 * (State.split(network.regress(condition)).flags + 1.0), eps=1e-6)
    rows = []
    for level in LEVELS:
        sigma = torch.tensor([level])
        noisy = clean + level * torch.randn(clean.shape, generator=random)
        latent, log_odds = network.denoise_parts(noisy, sigma, condition.seen)
        alone = prior + 2.0 * State.split(noisy).flags / level**2
        error = (latent - truth.latent)[truth.presence > 0].square().mean()
        bits = [_bits(odds, truth.flags) for odds in (log_odds[:, : BINARY_CHANNELS - 1], alone)]
        rows.append([*bits, (loss_weight(sigma, sigma_data) * error).item()])
    return np.array(rows)


def _bits(log_odds: Tensor, flags: Tensor) -> float:
    up = (flags > 0).to(log_odds.dtype)
    nats = F.binary_cross_entropy_with_logits(log_odds, up, reduction="sum")
    return (nats / up.sum() / np.log(2.0)).item()
