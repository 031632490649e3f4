"""Batches of scan pairs as sparse tensors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radarsparse.config import LATTICE_STRIDE
from radarsparse.errors import InputError
from radarsparse.geometry import Volume, observed_mask
from radarsparse.scan import ScanPair
from radarsparse.sparse.tensor import SparseTensor, Support, move
from radarsparse.voxels.footprint import FOOTPRINT_FEATURES, radar_footprint, stack_footprints
from radarsparse.voxels.voxelize import Voxels, polar_features, voxelize_lidar, voxelize_radar

POSITION_FEATURES = 6
CELL_FEATURES = POSITION_FEATURES + FOOTPRINT_FEATURES
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class FrameVoxels:
    """What a batch holds of one frame; rows of lattice cells are those of `Volume.lattice`.

    Attributes:
        radar: of `voxelize_radar`, never empty.
        lidar: of `voxelize_lidar`, never empty.
        observed: bool [cells], which of them a LiDAR ray crossed or hit.
        footprint: float32 [cells, FOOTPRINT_FEATURES] of `radar_footprint`.
    """

    radar: Voxels
    lidar: Voxels
    observed: NDArray[np.bool_]
    footprint: NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """What a training step sees.

    Attributes:
        pairs: what it was made of.
        volume: where.
        radar: features of `voxelize_radar`, stride 1.
        lidar: features of `voxelize_lidar`, stride 1.
    """

    pairs: Sequence[ScanPair]
    volume: Volume
    radar: SparseTensor
    lidar: SparseTensor

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
        mapped = replace(self, radar=self.radar.map(call), lidar=self.lidar.map(call))
        for name in ("observed", "footprint"):  # finding them again would take long
            if name in vars(self):
                vars(mapped)[name] = call(vars(self)[name])
        return mapped

    @cached_property
    def cells(self) -> SparseTensor:
        """What the denoiser is told of every lattice cell, see `make_cells`."""
        cells = _cells(self.footprint, self.lattice)
        return cells.replace(cells.feats.to(self.radar.feats.dtype))

    @cached_property
    def footprint(self) -> Tensor:
        """Of the radar on every lattice cell, float32 [n, FOOTPRINT_FEATURES]."""
        footprints = stack_footprints([pair.radar for pair in self.pairs], self.volume)
        return move(torch.from_numpy(footprints), self.radar.feats.device)

    @cached_property
    def observed(self) -> Tensor:
        """Which lattice rows a LiDAR ray crossed or hit, bool."""
        rows = np.concatenate([_observed_cells(pair, self.volume) for pair in self.pairs])
        return torch.from_numpy(rows).to(self.radar.feats.device)


def make_batch(pairs: Sequence[ScanPair], volume: Volume) -> Batch:
    """Voxelise pairs and put them on the lattice.

    Raises:
        InputError: a pair has no radar or no LiDAR point in the volume.
    """
    return Batch(
        pairs=pairs,
        volume=volume,
        radar=_stack([_radar_voxels(p.radar, volume, f"frame {p.name}: radar") for p in pairs]),
        lidar=_stack([_lidar_voxels(pair, volume) for pair in pairs]),
    )


def voxelize_frame(pair: ScanPair, volume: Volume) -> FrameVoxels:
    """All that `join_frames` needs of a pair.

    Raises:
        InputError: the pair has no radar or no LiDAR point in the volume.
    """
    return FrameVoxels(
        radar=_radar_voxels(pair.radar, volume, f"frame {pair.name}: radar"),
        lidar=_lidar_voxels(pair, volume),
        observed=_observed_cells(pair, volume),
        footprint=radar_footprint(pair.radar, volume),
    )


def join_frames(frames: Sequence[FrameVoxels], pairs: Sequence[ScanPair], volume: Volume) -> Batch:
    """The batch that `make_batch` makes, of voxels that are there already.

    Args:
        frames: of each pair.
        pairs: what they were made of; not looked at here, they may be read when asked for.
        volume: the frames'.
    """
    batch = Batch(
        pairs=pairs,
        volume=volume,
        radar=_stack([frame.radar for frame in frames]),
        lidar=_stack([frame.lidar for frame in frames]),
    )
    rows = np.concatenate([frame.observed for frame in frames])
    footprints = np.concatenate([frame.footprint for frame in frames])
    vars(batch)["observed"] = torch.from_numpy(rows)
    vars(batch)["footprint"] = torch.from_numpy(footprints)
    return batch


def make_radar(points: NDArray[np.float32], volume: Volume, name: str) -> SparseTensor:
    """Voxelise one radar cloud.

    Args:
        points: [n, 5] x, y, z, doppler_mps, power_db, radar frame.
        volume: where and how fine.
        name: what to call the cloud in errors.

    Raises:
        InputError: no point lies in the volume.
    """
    return _stack([_radar_voxels(points, volume, name)])


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def lattice(volume: Volume, batch_size: int, device: torch.device = _CPU) -> SparseTensor:
    """All lattice cells of every sample with their position; plans are shared between calls.

    Features, each scaled to about one: x, y, z, range, azimuth, elevation.
    """
    cells = volume.lattice(LATTICE_STRIDE)
    centers_m = volume.voxel_center(cells, LATTICE_STRIDE)
    half_side_m = 0.5 * np.subtract(volume.maximum_m, volume.minimum_m)
    middle_m = 0.5 * np.add(volume.maximum_m, volume.minimum_m)
    cartesian = (centers_m - middle_m) / half_side_m
    feats = np.concatenate([cartesian, polar_features(centers_m, volume)], axis=1)
    voxels = Voxels(cells, feats.astype(np.float32))
    return _stack([voxels] * batch_size, stride=LATTICE_STRIDE).to(device)


def make_cells(
    clouds: Sequence[NDArray[np.float32]], volume: Volume, device: torch.device = _CPU
) -> SparseTensor:
    """Position of every lattice cell and the radar's footprint on it, [n, CELL_FEATURES].

    Args:
        clouds: of each sample, [n, 5] as for `make_radar`.
        volume: where.
        device: of the features.
    """
    footprint = torch.from_numpy(stack_footprints(clouds, volume))
    return _cells(move(footprint, device), lattice(volume, len(clouds), device))


def _cells(footprint: Tensor, positions: SparseTensor) -> SparseTensor:
    return positions.replace(torch.cat([positions.feats, footprint], dim=1))


def _observed_cells(pair: ScanPair, volume: Volume) -> NDArray[np.bool_]:
    points, origin_m = pair.lidar_in_radar_frame, pair.lidar_origin_m
    mask = observed_mask(volume, LATTICE_STRIDE, origin_m, points)
    return mask[tuple(volume.lattice(LATTICE_STRIDE).T)]


def _radar_voxels(points: NDArray[np.float32], volume: Volume, name: str) -> Voxels:
    return _some(voxelize_radar(points, volume), points, volume, name)


def _lidar_voxels(pair: ScanPair, volume: Volume) -> Voxels:
    points = pair.lidar_in_radar_frame
    return _some(voxelize_lidar(points, volume), points, volume, f"frame {pair.name}: LiDAR")


def _some(voxels: Voxels, points: NDArray[np.float32], volume: Volume, name: str) -> Voxels:
    if len(voxels.index) == 0:
        raise InputError(
            f"{name}: none of {len(points)} points lies in the box {volume.minimum_m} .."
            f" {volume.maximum_m} m within {np.degrees(volume.azimuth_max_rad):g} deg of azimuth"
        )
    return voxels


def _stack(samples: Sequence[Voxels], stride: int = 1) -> SparseTensor:
    numbers = np.repeat(np.arange(len(samples)), [len(sample.index) for sample in samples])
    index = np.concatenate([sample.index for sample in samples])
    coords = torch.from_numpy(np.concatenate([numbers[:, None], index], axis=1))
    feats = torch.from_numpy(np.concatenate([sample.feats for sample in samples]))
    return SparseTensor.on(Support.of(coords, len(samples), stride), feats)
