"""Batches of scan pairs as sparse tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radarsparse.config import LATTICE_STRIDE
from radarsparse.geometry import Volume, observed_mask
from radarsparse.scan import ScanPair
from radarsparse.sparse.tensor import SparseTensor, move
from radarsparse.voxels.beams import Beams
from radarsparse.voxels.scene import lattice, stack_voxels, tell_beams, voxelize_some
from radarsparse.voxels.voxelize import Voxels, radar_footprint, voxelize_lidar, voxelize_radar


class FrameVoxels(NamedTuple):
    """What a batch holds of one frame; rows of lattice cells are those of `Volume.lattice`.

    Attributes:
        radar: of `voxelize_radar`, never empty.
        lidar: of `voxelize_lidar`, never empty.
        observed: bool [cells], which of them a LiDAR ray crossed or hit.
        footprint: float32 [cells, FOOTPRINT_FEATURES] of `radar_footprint`.
        T_radar_lidar: float64 [4, 4].
        rings_deg: float64 [rings] of the frame's own LiDAR; none where it is that of all frames.
    """

    radar: Voxels
    lidar: Voxels
    observed: NDArray[np.bool_]
    footprint: NDArray[np.float32]
    T_radar_lidar: NDArray[np.float64]
    rings_deg: NDArray[np.float64]


@dataclass(frozen=True)
class Batch:
    """What a training step sees.

    Attributes:
        radar: features of `voxelize_radar`, stride 1.
        lidar: features of `voxelize_lidar`, stride 1.
        beams: of each pair's LiDAR.
    """

    pairs: Sequence[ScanPair]
    volume: Volume
    radar: SparseTensor
    lidar: SparseTensor
    beams: Beams

    @property
    def lattice(self) -> SparseTensor:
        """Position features on all lattice cells of every sample, stride 8."""
        return lattice(self.volume, len(self.pairs), self.radar.feats.device)

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device, with what was found out about it."""
        if self.radar.feats.device == device:
            return self
        return self._map(lambda values: move(values, device))

    def pin_memory(self) -> "Batch":
        """The same batch in memory from which a GPU copies by itself; a loader asks for it."""
        return self._map(Tensor.pin_memory)

    def _map(self, call: Callable[[Tensor], Tensor]) -> "Batch":
        tensors = self.radar.map(call), self.lidar.map(call), self.beams.map(call)
        mapped = Batch(self.pairs, self.volume, *tensors)
        for name in ("observed", "footprint"):  # finding them again would take long
            if name in vars(self):
                vars(mapped)[name] = call(vars(self)[name])
        return mapped

    @cached_property
    def cells(self) -> SparseTensor:
        """What the denoiser is told of every lattice cell, as in `Scene`."""
        cells = torch.cat([tell_beams(self.lattice, self.beams), self.footprint], dim=1)
        return self.lattice.replace(cells.to(self.radar.feats.dtype))

    @cached_property
    def footprint(self) -> Tensor:
        """Of the radar on every lattice cell, float32 [n, FOOTPRINT_FEATURES]."""
        footprints = [radar_footprint(pair.radar, self.volume) for pair in self.pairs]
        return move(torch.from_numpy(np.concatenate(footprints)), self.radar.feats.device)

    @cached_property
    def observed(self) -> Tensor:
        """Which lattice rows a LiDAR ray crossed or hit, bool."""
        rows = np.concatenate([_observed_cells(pair, self.volume) for pair in self.pairs])
        return torch.from_numpy(rows).to(self.radar.feats.device)


def make_batch(pairs: Sequence[ScanPair], volume: Volume, rings_deg: Sequence[float] = ()) -> Batch:
    """Voxelise pairs and put them on the lattice.

    Args:
        pairs: at least one.
        volume: where.
        rings_deg: elevation of the LiDAR's rings, where a pair has none of its own; none where the
            network isn't told.

    Raises:
        InputError: a pair has no radar or no LiDAR point in the volume.
    """
    radar, lidar = zip(*(_voxelize(pair, volume) for pair in pairs), strict=True)
    told = _told([pair.rings_deg or () for pair in pairs], rings_deg)
    beams = Beams.of(told, [pair.T_radar_lidar for pair in pairs], volume)
    return Batch(pairs, volume, stack_voxels(radar), stack_voxels(lidar), beams)


def voxelize_frame(pair: ScanPair, volume: Volume) -> FrameVoxels:
    """All that `join_frames` needs of a pair.

    Raises:
        InputError: the pair has no radar or no LiDAR point in the volume.
    """
    further = _observed_cells(pair, volume), radar_footprint(pair.radar, volume)
    rings_deg = np.array(pair.rings_deg or (), dtype=np.float64)
    return FrameVoxels(*_voxelize(pair, volume), *further, pair.T_radar_lidar, rings_deg)


def join_frames(
    frames: Sequence[FrameVoxels],
    pairs: Sequence[ScanPair],
    volume: Volume,
    rings_deg: Sequence[float] = (),
) -> Batch:
    """The batch that `make_batch` makes, of voxels that are there already.

    Args:
        frames: of each pair.
        pairs: what they were made of; not looked at here, they may be read when asked for.
        volume: the frames'.
        rings_deg: as for `make_batch`.
    """
    radar, lidar, observed, footprint, T_radar_lidar, own_deg = zip(*frames, strict=True)
    beams = Beams.of(_told([own.tolist() for own in own_deg], rings_deg), T_radar_lidar, volume)
    batch = Batch(pairs, volume, stack_voxels(radar), stack_voxels(lidar), beams)
    vars(batch)["observed"] = torch.from_numpy(np.concatenate(observed))
    vars(batch)["footprint"] = torch.from_numpy(np.concatenate(footprint))
    return batch


def _told(own_deg: Sequence[Sequence[float]], rings_deg: Sequence[float]) -> list[Sequence[float]]:
    """The rings that the network is told of each frame: its own, or those of all; or none."""
    return [(own or rings_deg) if rings_deg else () for own in own_deg]


def _observed_cells(pair: ScanPair, volume: Volume) -> NDArray[np.bool_]:
    mask = observed_mask(volume, LATTICE_STRIDE, pair.lidar_origin_m, pair.lidar_in_radar_frame)
    return mask[tuple(volume.lattice(LATTICE_STRIDE).T)]


def _voxelize(pair: ScanPair, volume: Volume) -> tuple[Voxels, Voxels]:
    """Those of the radar and those of the LiDAR."""
    lidar, name = pair.lidar_in_radar_frame, f"frame {pair.name}"
    radar_voxels = voxelize_some(voxelize_radar, pair.radar, volume, f"{name}: radar")
    return radar_voxels, voxelize_some(voxelize_lidar, lidar, volume, f"{name}: LiDAR")
