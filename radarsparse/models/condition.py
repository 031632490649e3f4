"""Encoder of the radar condition; its weights are its own, never the LiDAR encoder's."""

from collections.abc import Sequence

from radarsparse.data.voxelize import RADAR_FEATURES
from radarsparse.models.blocks import Pyramid
from radarsparse.sparse import SparseTensor


class ConditionEncoder(Pyramid):
    """Radar voxels to features at strides 1, 2, 4 and 8.

    Args:
        channels: widths at those strides.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__(RADAR_FEATURES, channels)

    def forward(self, radar: SparseTensor) -> list[SparseTensor]:
        """Features of `voxelize_radar` to one tensor per stride, finest first."""
        return self.climb(radar)
