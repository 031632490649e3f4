"""Encoders of the radar condition; their weights are their own, never the LiDAR encoder's."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from radarsparse.data.voxelize import RADAR_FEATURES
from radarsparse.models.blocks import Pyramid
from radarsparse.sparse import SparseTensor, StridedConv3d


class ConditionEncoder(Pyramid):
    """Radar voxels to features at strides 1, 2, 4 and 8, each aware of its neighbourhood.

    Args:
        channels: widths at those strides.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__(RADAR_FEATURES, channels)

    def forward(self, radar: SparseTensor) -> list[SparseTensor]:
        """Features of `voxelize_radar` to one tensor per stride, finest first."""
        return self.climb(radar)


class RadarLookUp(nn.Module):
    """Radar voxels to features at strides 1, 2, 4 and 8, each of the points in its own cell.

    Args:
        channels: widths at those strides.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Linear(RADAR_FEATURES, channels[0])
        self.downs = nn.ModuleList(
            StridedConv3d(fine, coarse) for fine, coarse in pairwise(channels)
        )

    def forward(self, radar: SparseTensor) -> list[SparseTensor]:
        """Features of `voxelize_radar` to one tensor per stride, finest first."""
        levels = [radar.replace(nn.functional.silu(self.stem(radar.feats)))]
        for down in self.downs:
            coarse = down(levels[-1])
            levels.append(coarse.replace(nn.functional.silu(coarse.feats)))
        return levels
