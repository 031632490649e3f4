"""Losses of what a voxel says of the points in it, and of the latent."""

from dataclasses import dataclass

from torch import Tensor

from radarsparse.models.losses.reduce import mean_per_sample, widen
from radarsparse.sparse import SparseTensor, Support, look_up


@dataclass(frozen=True)
class ComparedVoxels:
    """Decoded voxels beside the true ones.

    Attributes:
        support: the decoded voxels; true ones and others.
        feats: [n, 4] decoded offset from the voxel's centre in half voxels (3), intensity.
        target: [n, 5] features of `voxelize_lidar`, zero at voxels that are not true.
        true: bool [n].
    """

    support: Support
    feats: Tensor
    target: Tensor
    true: Tensor

    @staticmethod
    def of(decoded: SparseTensor, lidar: SparseTensor) -> "ComparedVoxels":
        """Look the true features up at the decoded voxels."""
        target, true = look_up(lidar, decoded.coords)
        return ComparedVoxels(decoded.support, widen(decoded.feats), target, true)

    def mean(self, values: Tensor) -> Tensor:
        """Mean of [n] values over the true voxels of each sample, then over samples."""
        sample, weights = self.support.coords[:, 0], self.true.to(values.dtype)
        return mean_per_sample(values, sample, self.support.batch_size, weights)


def offset_loss(match: ComparedVoxels) -> Tensor:
    """Error of the sub-voxel offset at true voxels, in half voxels."""
    return match.mean((match.feats[:, :3] - match.target[:, :3]).abs().mean(1))


def intensity_loss(match: ComparedVoxels) -> Tensor:
    """Error of the intensity (0 to 1) at true voxels."""
    return match.mean((match.feats[:, 3] - match.target[:, 3]).abs())


def kl_loss(mean: SparseTensor, log_variance: Tensor) -> Tensor:
    """Divergence of the latent from a standard normal, per occupied cell."""
    feats, log_variance = widen(mean.feats), widen(log_variance)
    divergence = 0.5 * (feats**2 + log_variance.exp() - 1.0 - log_variance).sum(1)
    return mean_per_sample(divergence, mean.coords[:, 0], mean.batch_size)
