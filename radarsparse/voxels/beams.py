"""Which voxels the beams of a LiDAR cross: where it can have returns at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from radarsparse.geometry import Floats, Volume
from radarsparse.sparse.tensor import Support, constant

# Rings of real sensors lie within 0.05 deg of where they are said to lie.
_TOLERANCE_RAD = float(np.radians(0.05))
# Raises the elevations of each sample above those of the one before, so that one search serves all.
_APART_RAD = 4.0


@dataclass(frozen=True)
class Beams:
    """The rings of a LiDAR in every sample of a batch; one without rings crosses no voxel.

    Attributes:
        rings_rad: float32 [k] elevations of all samples' rings, ascending; those of sample b are
            raised by `_APART_RAD` b.
        T_lidar_voxels: float32 [b, 4, 4], from indices of voxels of stride 1 to metres.
    """

    rings_rad: Tensor
    T_lidar_voxels: Tensor

    @staticmethod
    def of(
        rings_deg: Sequence[Sequence[float]], T_radar_lidar: Sequence[Floats], volume: Volume
    ) -> "Beams":
        """The beams of each sample's LiDAR.

        Args:
            rings_deg: of each sample, the elevation of each ring in the LiDAR's frame; none where
                it has no rings or they aren't known.
            T_radar_lidar: of each sample, [4, 4].
            volume: where voxels are.
        """
        raised = [
            number * _APART_RAD + np.radians(np.sort(np.asarray(rings, dtype=np.float64)))
            for number, rings in enumerate(rings_deg)
        ]
        T_radar_voxels = np.diag([*3 * (volume.voxel_size_m,), 1.0])
        T_radar_voxels[:3, 3] = volume.minimum_m
        T_lidar_voxels = np.linalg.inv(np.stack([*T_radar_lidar])) @ T_radar_voxels
        tensors = (
            torch.from_numpy(a.astype(np.float32)) for a in (np.concatenate(raised), T_lidar_voxels)
        )
        return Beams(*tensors)

    def map(self, call: Callable[[Tensor], Tensor]) -> "Beams":
        """The same with both tensors put through a call, such as onto another device."""
        return Beams(call(self.rings_rad), call(self.T_lidar_voxels))

    def crossed(self, support: Support, parts: int) -> Tensor:
        """Which parts of voxels any ring passes through.

        A ring passes through a part if its elevation lies between those of the part's corners.

        Args:
            support: the voxels.
            parts: of a voxel along each axis.

        Returns:
            float32 [n, parts^3], 1 where crossed, parts in the order of x, y, z.
        """
        if not len(self.rings_rad):
            return self.rings_rad.new_zeros(len(support), parts**3)
        low, high = self._elevations(support, parts)
        raised = _APART_RAD * support.coords[:, :1]
        below = torch.searchsorted(self.rings_rad, low + (raised - _TOLERANCE_RAD))
        up_to = torch.searchsorted(self.rings_rad, high + (raised + _TOLERANCE_RAD), right=True)
        return (up_to > below).to(torch.float32)

    def _elevations(self, support: Support, parts: int) -> tuple[Tensor, Tensor]:
        """Of the lowest and the highest corner of each part, [n, parts^3]."""
        sample, first = support.coords[:, 0], support.coords[:, 1:] * support.stride
        steps = constant(tuple(product(range(parts + 1), repeat=3)), first.device)
        turn, start = self.T_lidar_voxels[:, :3, :3], self.T_lidar_voxels[:, :3, 3]
        # No products of matrices: autocast would round them to half precision, which is too coarse.
        first_m = (turn.index_select(0, sample) * first[:, None, :]).sum(2)
        steps_m = (turn[:, :, None, :] * (steps * (support.stride / parts))).sum(3)
        corners_m = (first_m + start.index_select(0, sample))[:, :, None] + steps_m[sample]
        x, y, z = corners_m.unbind(1)
        elevation = torch.atan2(z, (x.square() + y.square()).sqrt())
        low = high = elevation.view(-1, *3 * (parts + 1,))
        for axis in (1, 2, 3):
            low = torch.minimum(low.narrow(axis, 0, parts), low.narrow(axis, 1, parts))
            high = torch.maximum(high.narrow(axis, 0, parts), high.narrow(axis, 1, parts))
        return low.flatten(1), high.flatten(1)
