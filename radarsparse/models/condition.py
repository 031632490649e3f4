"""Encoders of the radar condition; their weights are their own, never the LiDAR encoder's."""

from collections.abc import Sequence

from radarsparse.models.blocks import ChannelBlock, Pyramid, ResidualBlock
from radarsparse.voxels.voxelize import RADAR_FEATURES


class ConditionEncoder(Pyramid):
    """Radar voxels to features at strides 1, 2, 4 and 8, each aware of its neighbourhood.

    Args:
        channels: widths at those strides.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__(RADAR_FEATURES, channels, ResidualBlock)


class RadarLookUp(Pyramid):
    """Radar voxels to features at strides 1, 2, 4 and 8, each of the points in its own cell.

    Args:
        channels: widths at those strides.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__(RADAR_FEATURES, channels, ChannelBlock)
