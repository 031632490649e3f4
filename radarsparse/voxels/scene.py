"""Radar clouds as a network takes them: their voxels, and what is told of every lattice cell."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radarsparse.config import LATTICE_STRIDE, LidarSettings
from radarsparse.errors import InputError
from radarsparse.geometry import Volume, pose, take_pose_apart
from radarsparse.sparse.tensor import SparseTensor, Support, move
from radarsparse.voxels.beams import Beams
from radarsparse.voxels.voxelize import (
    FOOTPRINT_FEATURES,
    Floats,
    Voxels,
    polar_features,
    radar_footprint,
    voxelize_radar,
)

POSITION_FEATURES = 6
_BEAM_PARTS = 4
BEAM_FEATURES = _BEAM_PARTS**3
CELL_FEATURES = POSITION_FEATURES + BEAM_FEATURES + FOOTPRINT_FEATURES
_CPU = torch.device("cpu")
# Left for right: of x, y, z, doppler_mps, power_db.
_MIRROR = np.array([1.0, -1.0, 1.0, 1.0, 1.0], dtype=np.float32)


class Scene(NamedTuple):
    """A radar cloud as a network takes it.

    Attributes:
        radar: features of `voxelize_radar`, stride 1.
        cells: position of every lattice cell, which of its parts the LiDAR's beams cross, and the
            radar's footprint on it, [n, CELL_FEATURES].
        beams: of the LiDAR that is imitated.
    """

    radar: SparseTensor
    cells: SparseTensor
    beams: Beams
    volume: Volume


class Surroundings(NamedTuple):
    """What scenes have in common: where they are seen, by which LiDAR, on which device."""

    volume: Volume
    lidar: LidarSettings = LidarSettings()
    device: torch.device = _CPU

    @property
    def T_radar_lidar(self) -> NDArray[np.float64]:
        """Pose of the LiDAR that is imitated, [4, 4]."""
        return pose(np.radians(self.lidar.yaw_pitch_roll_deg), self.lidar.position_m)

    @property
    def mirrored(self) -> "Surroundings":
        """The same with left and right exchanged, of a volume that is as far to both sides."""
        return self._replace(lidar=self.lidar.mirrored)


def mount(lidar: LidarSettings, T_radar_lidar: NDArray[np.float64]) -> LidarSettings:
    """The same LiDAR where another one stands, [4, 4]."""
    angles_rad, position_m = take_pose_apart(T_radar_lidar)
    place = {
        "position_m": tuple(position_m.tolist()),
        "yaw_pitch_roll_deg": tuple(np.degrees(angles_rad).tolist()),
    }
    return lidar.model_copy(update=place)


def make_scene(points: Floats, around: Surroundings, name: str = "radar") -> Scene:
    """Voxelise a radar cloud.

    Args:
        points: [n, 5] x, y, z [m], doppler_mps, power_db, radar frame.
        around: where, and which LiDAR is imitated.
        name: what to call the cloud in errors.

    Raises:
        InputError: no point lies in the volume.
    """
    volume, _, device = around
    voxels = voxelize_some(voxelize_radar, points, volume, name)
    footprint = move(torch.from_numpy(radar_footprint(points, volume)), device)
    told, beams = _tell(around)
    cells = told.replace(torch.cat([told.feats, footprint], dim=1))
    return Scene(stack_voxels([voxels]).to(device), cells, beams, volume)


def make_views(points: Floats, around: Surroundings, count: int, name: str) -> list[Scene]:
    """The scene of a radar cloud and, as the second of two, its mirror image, left for right.

    Args:
        points: as for `make_scene`.
        around: as there; for two views a volume that reaches as far to the left as to the right.
        count: 1 or 2.
        name: what to call the cloud in errors.

    Raises:
        InputError: no point lies in the volume.
    """
    views = [(points, around), (points * _MIRROR, around.mirrored)][:count]
    return [make_scene(cloud, where, name) for cloud, where in views]


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _tell(around: Surroundings) -> tuple[SparseTensor, Beams]:
    """What is told of every cell whatever the radar sees, and the beams."""
    volume, lidar, device = around
    beams = Beams.of([lidar.rings_deg], [around.T_radar_lidar], volume).map(
        lambda t: move(t, device)
    )
    cells = lattice(volume, 1, device)
    return cells.replace(tell_beams(cells, beams)), beams


def tell_beams(cells: SparseTensor, beams: Beams) -> Tensor:
    """Position of lattice cells and which of their parts beams cross, side by side."""
    crossed = beams.crossed(cells.support, _BEAM_PARTS)
    return torch.cat([cells.feats, crossed], dim=1)


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
    feats = np.c_[(centers_m - middle_m) / half_side_m, polar_features(centers_m, volume)]
    voxels = Voxels(cells, feats.astype(np.float32))
    return stack_voxels([voxels] * batch_size, stride=LATTICE_STRIDE).to(device)


def voxelize_some(
    voxelize: Callable[[Floats, Volume], Voxels], points: Floats, volume: Volume, name: str
) -> Voxels:
    """The voxels of a cloud.

    Raises:
        InputError: there are none; the cloud is called by its name.
    """
    voxels = voxelize(points, volume)
    if len(voxels.index) == 0:
        ahead_m = float(np.median(points[:, 0]))
        behind = f"; half of them are {-ahead_m:.1f} m or more behind" if ahead_m < 0 else ""
        raise InputError(
            f"{name}: none of {len(points)} points lies in the box {volume.minimum_m} .."
            f" {volume.maximum_m} m within {np.degrees(volume.azimuth_max_rad):g} deg of azimuth"
            f"{behind}"
        )
    return voxels


def stack_voxels(samples: Sequence[Voxels], stride: int = 1) -> SparseTensor:
    """Voxels of several samples as one tensor."""
    numbers = np.repeat(np.arange(len(samples)), [len(sample.index) for sample in samples])
    index = np.concatenate([sample.index for sample in samples])
    coords = torch.from_numpy(np.concatenate([numbers[:, None], index], axis=1))
    feats = torch.from_numpy(np.concatenate([sample.feats for sample in samples]))
    return SparseTensor.on(Support.of(coords, len(samples), stride), feats)
