"""Loss of decoded voxels as a frozen network sees them."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from radarsparse.models.blocks import ChannelBlock, Pyramid
from radarsparse.models.losses.reduce import mean_per_sample, widen
from radarsparse.sparse import SparseTensor, look_up
from radarsparse.voxels.voxelize import LIDAR_FEATURES

_CHANNELS = (16, 32, 48, 64)


def random_pyramid() -> Pyramid:
    """A network without training, drawn by torch's generator, whose features serve as measure."""
    return Pyramid(LIDAR_FEATURES, _CHANNELS, ChannelBlock)


class PerceptualLoss(nn.Module):
    """Distance between the features of decoded and of true voxels at strides 1, 2, 4 and 8.

    Both have the true support and the true counts of points: what differs is offset and
    intensity.

    Args:
        pyramid: maps features of `voxelize_lidar` to one tensor per stride; frozen here.

    Source: Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features as a Perceptual
    Metric, Eq. 1 with unit weights.
    """

    def __init__(self, pyramid: Pyramid) -> None:
        super().__init__()
        self.pyramid = pyramid.requires_grad_(False)

    def forward(self, decoded: SparseTensor, lidar: SparseTensor) -> Tensor:
        """Mean over strides of the squared distance between unit features.

        Args:
            decoded: offset (3), intensity, on any support.
            lidar: features of `voxelize_lidar`.
        """
        with torch.no_grad():
            true_levels = self.pyramid(lidar)
        feats, there = look_up(decoded, lidar.coords)
        # A true voxel that the cap left out says nothing.
        seen = torch.where(there[:, None], widen(feats), lidar.feats[:, :4])
        levels = self.pyramid(lidar.replace(torch.cat([seen, lidar.feats[:, 4:]], dim=1)))
        pairs = zip(levels, true_levels, strict=True)
        return torch.stack([_distance(level, true) for level, true in pairs]).mean()


def _distance(level: SparseTensor, true: SparseTensor) -> Tensor:
    apart = F.normalize(level.feats, dim=1) - F.normalize(true.feats, dim=1)
    return mean_per_sample((apart**2).sum(1), level.coords[:, 0], level.batch_size)
