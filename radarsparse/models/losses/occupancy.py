"""Losses of the 8 child logits of each voxel: which children exist."""

import torch
from torch import Tensor
from torch.nn import functional as F

from radarsparse.models.losses.reduce import mean_per_sample, widen
from radarsparse.models.vae import LevelSplit

_FOCUS = 2.0


def split_loss(split: LevelSplit, positive_weight: float, balance: float) -> Tensor:
    """Binary cross-entropy in which true children weigh more.

    Args:
        split: one level.
        positive_weight: of true children where they are half of all.
        balance: power of the ratio of false to true children of the level and sample, by which
            `positive_weight` is multiplied; 0 leaves it alone, 1 gives both sides equal sums.
    """
    logits, truth = widen(split.logits), split.truth.to(widen(split.logits).dtype)
    positive = positive_weight * _false_to_true(split) ** balance
    weight = 1.0 + truth * (positive[split.parents.coords[:, 0], None] - 1.0)
    loss = F.binary_cross_entropy_with_logits(logits, truth, weight=weight, reduction="none")
    return _mean_over_parents(loss.mean(1), split)


def focal_loss(split: LevelSplit) -> Tensor:
    """Cross-entropy in which children that are already told apart hardly count.

    Source: Lin et al. 2017, Focal Loss for Dense Object Detection, Eq. 4 with gamma 2.
    """
    logits = widen(split.logits)
    loss = F.binary_cross_entropy_with_logits(
        logits, split.truth.to(logits.dtype), reduction="none"
    )
    missed = torch.where(split.truth, -logits, logits).sigmoid()
    return _mean_over_parents((missed**_FOCUS * loss).mean(1), split)


def dice_loss(split: LevelSplit) -> Tensor:
    """One minus the overlap of believed and true children of a sample, whatever their share.

    A sample without voxels counts as zero.

    Source: Milletari et al. 2016, V-Net, section 3.
    """
    belief = widen(split.logits).sigmoid()
    truth = split.truth.to(belief.dtype)
    both = _sum_by_sample((belief * truth).sum(1), split)
    either = _sum_by_sample((belief**2 + truth).sum(1), split)
    return ((either - 2.0 * both) / either.clamp(min=1e-12)).mean()


def _false_to_true(split: LevelSplit) -> Tensor:
    """Ratio of false to true children in each sample; at least one of each is assumed, [b]."""
    truth = split.truth.to(widen(split.logits).dtype)
    true = _sum_by_sample(truth.sum(1), split)
    false = _sum_by_sample((1.0 - truth).sum(1), split)
    return false.clamp(min=1.0) / true.clamp(min=1.0)


def _sum_by_sample(values: Tensor, split: LevelSplit) -> Tensor:
    zeros = values.new_zeros(split.parents.batch_size)
    return zeros.index_add(0, split.parents.coords[:, 0], values)


def _mean_over_parents(values: Tensor, split: LevelSplit) -> Tensor:
    return mean_per_sample(values, split.parents.coords[:, 0], split.parents.batch_size)
