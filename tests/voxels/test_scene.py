import math
from dataclasses import replace

import numpy as np
import torch

from radarsparse.config import LidarSettings
from radarsparse.geometry import Volume, pose
from radarsparse.sparse.tensor import pack_keys
from radarsparse.voxels.batch import make_batch
from radarsparse.voxels.scene import Surroundings, lattice, make_scene, make_views
from tests.conftest import TINY_VOLUME, tiny_pair

VOLUME = Volume(
    tuple(TINY_VOLUME["minimum_m"]), tuple(TINY_VOLUME["maximum_m"]), 0.2, math.radians(60)
)
RINGS_DEG = (-5.0, -1.0, 2.0)
AROUND = Surroundings(
    VOLUME,
    LidarSettings(
        rings_deg=RINGS_DEG, position_m=(-0.1, 0.2, 0.3), yaw_pitch_roll_deg=(3.0, -2.0, 1.0)
    ),
)
# A mirror turns yaw and roll round and keeps pitch.
MIRRORED = Surroundings(
    VOLUME,
    LidarSettings(
        rings_deg=RINGS_DEG, position_m=(-0.1, -0.2, 0.3), yaw_pitch_roll_deg=(-3.0, -2.0, -1.0)
    ),
)


def test_a_scene_is_what_a_batch_of_one_frame_holds():
    T_radar_lidar = pose(np.radians(AROUND.lidar.yaw_pitch_roll_deg), AROUND.lidar.position_m)
    pair = replace(tiny_pair(0), T_radar_lidar=T_radar_lidar)
    scene, batch = make_scene(pair.radar, AROUND), make_batch([pair], VOLUME, RINGS_DEG)
    for ours, theirs in ((scene.radar, batch.radar), (scene.cells, batch.cells)):
        assert torch.equal(ours.coords, theirs.coords)
        assert torch.equal(ours.feats, theirs.feats)


def test_the_second_view_is_the_scene_of_points_with_left_and_right_exchanged():
    radar = tiny_pair(0).radar
    (alone,) = make_views(radar, AROUND, 1, "scan")
    scene, mirrored = make_views(radar, AROUND, 2, "scan")
    expected = make_scene(radar * np.float32([1, -1, 1, 1, 1]), MIRRORED)
    assert torch.equal(alone.radar.feats, scene.radar.feats)
    assert torch.equal(mirrored.radar.feats, expected.radar.feats)
    assert torch.equal(mirrored.cells.feats, expected.cells.feats)
    assert not torch.equal(mirrored.cells.feats, scene.cells.feats)
    for name in ("rings_rad", "T_lidar_voxels"):
        assert torch.equal(getattr(mirrored.beams, name), getattr(expected.beams, name))


def test_mirrored_beams_cross_the_mirrored_cells():
    scene, mirrored = make_views(tiny_pair(0).radar, AROUND, 2, "scan")
    support = scene.cells.support
    cells = mirrored.beams.crossed(support, 1)[:, 0]
    index = support.coords.clone()
    index[:, 2] = VOLUME.shape[1] // 8 - 1 - index[:, 2]
    row, there = support.find(pack_keys(index))
    assert there.all()
    assert cells.any()
    assert torch.equal(scene.beams.crossed(support, 1)[row, 0], cells)
    assert not torch.equal(scene.beams.crossed(support, 1)[:, 0], cells)


def test_lattice_is_shared_between_calls():
    assert lattice(VOLUME, 2).support is lattice(VOLUME, 2).support
