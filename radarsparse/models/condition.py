"""Encoder of the radar condition; its weights are its own, never the LiDAR encoder's."""

from collections.abc import Sequence

from torch import nn

from radarsparse.data.voxelize import RADAR_FEATURES
from radarsparse.models.blocks import ResidualBlock
from radarsparse.sparse import SparseTensor, StridedConv3d, SubmanifoldConv3d


class ConditionEncoder(nn.Module):
    """Radar voxels to features at strides 1, 2, 4 and 8.

    Args:
        channels: widths at those strides.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.stem = SubmanifoldConv3d(RADAR_FEATURES, channels[0])
        self.blocks = nn.ModuleList(ResidualBlock(width) for width in channels)
        self.downs = nn.ModuleList(
            StridedConv3d(fine, coarse)
            for fine, coarse in zip(channels, channels[1:], strict=False)
        )

    def forward(self, radar: SparseTensor) -> list[SparseTensor]:
        """Features of `voxelize_radar` to one tensor per stride, finest first."""
        pyramid = [self.blocks[0](self.stem(radar))]
        for down, block in zip(self.downs, self.blocks[1:], strict=True):
            pyramid.append(block(down(pyramid[-1])))
        return pyramid
