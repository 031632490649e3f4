"""Losses on sparse tensors; each is a mean per sample, then over the batch."""

import torch
from torch import Tensor
from torch.nn import functional as F

from radarsparse.models.vae import Split
from radarsparse.sparse import SparseTensor, look_up


def mean_per_sample(values: Tensor, sample: Tensor, batch_size: int, weights: Tensor) -> Tensor:
    """Weighted mean within each sample, then the mean over samples.

    Args:
        values: [n].
        sample: int64 [n], which sample a row belongs to.
        batch_size: number of samples; those without weight count as zero.
        weights: [n], at least 0.
    """
    total = values.new_zeros(batch_size).index_add(0, sample, values * weights)
    weight = values.new_zeros(batch_size).index_add(0, sample, weights)
    return (total / weight.clamp(min=1e-12)).mean()


def split_loss(split: Split, positive_weight: float) -> Tensor:
    """Binary cross-entropy of the 8 child logits of each voxel."""
    loss = F.binary_cross_entropy_with_logits(
        split.logits,
        split.truth.to(split.logits.dtype),
        pos_weight=split.logits.new_tensor(positive_weight),
        reduction="none",
    ).mean(1)
    sample = split.parents.coords[:, 0]
    return mean_per_sample(loss, sample, split.parents.batch_size, torch.ones_like(loss))


def detail_losses(decoded: SparseTensor, lidar: SparseTensor) -> tuple[Tensor, Tensor]:
    """Errors of the sub-voxel offset and of the intensity, at true voxels only.

    Args:
        decoded: offset (3), intensity, on a support that holds the true voxels.
        lidar: features of `voxelize_lidar`.
    """
    target, true = look_up(lidar, decoded.coords)
    error = (decoded.feats - target[:, :4]).abs()
    sample, weights = decoded.coords[:, 0], true.to(error.dtype)
    offset = mean_per_sample(error[:, :3].mean(1), sample, decoded.batch_size, weights)
    return offset, mean_per_sample(error[:, 3], sample, decoded.batch_size, weights)


def kl_loss(mean: SparseTensor, log_variance: Tensor) -> Tensor:
    """Divergence of the latent from a standard normal, per occupied cell."""
    divergence = 0.5 * (mean.feats**2 + log_variance.exp() - 1.0 - log_variance).sum(1)
    sample = mean.coords[:, 0]
    return mean_per_sample(divergence, sample, mean.batch_size, torch.ones_like(divergence))
