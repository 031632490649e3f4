"""The diffusion loss by noise level."""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from radarsparse.sparse.tensor import move

# About the quartiles of the levels that training draws by default.
SIGMA_BOUNDS = (0.3, 0.7, 1.5)


def by_noise_level(loss: Tensor, sigma: Tensor, regression: Tensor) -> dict[str, Tensor]:
    """Sums and shares whose ratio is the mean loss of the samples in a bin of noise levels.

    `edm_sum/BIN` is the mean over all samples of the loss of those in the bin, `edm_share/BIN`
    the share of samples in it. Both can be averaged over batches; the bin's mean loss can't,
    since a batch may have no sample in it.

    Args:
        loss: [b].
        sigma: [b] on the CPU.
        regression: bool [b] on the CPU, samples without noise and without input; they have a bin
            of their own.
    """
    bins = {
        f"sigma_{low:g}_{high:g}": (low <= sigma) & (sigma < high) & ~regression
        for low, high in pairwise((0.0, *SIGMA_BOUNDS, torch.inf))
    }
    bins["regression"] = regression
    inside = move(torch.stack([*bins.values()]).to(loss.dtype), loss.device)
    sums, shares = (loss.detach() * inside).mean(1), inside.mean(1)
    named = {f"edm_sum/{name}": mean for name, mean in zip(bins, sums, strict=True)}
    return named | {f"edm_share/{name}": mean for name, mean in zip(bins, shares, strict=True)}


def divide_by_shares(means: Mapping[str, float]) -> dict[str, float]:
    """Mean loss of each bin, `edm/BIN`, in place of what `by_noise_level` gave.

    Args:
        means: of every term over many batches; a bin in which no sample fell is left out.
    """
    losses = {}
    for name, value in means.items():
        kind, _, noise_bin = name.partition("/")
        if kind == "edm_sum" and means[f"edm_share/{noise_bin}"] > 0:
            losses[f"edm/{noise_bin}"] = value / means[f"edm_share/{noise_bin}"]
        elif not kind.startswith("edm_"):
            losses[name] = value
    return losses
