import math

import numpy as np
import torch

from radarsparse.geometry import Volume
from radarsparse.voxels.batch import make_batch
from radarsparse.voxels.scene import lattice, make_scene, make_views
from tests.conftest import TINY_VOLUME, tiny_pair

VOLUME = Volume(
    tuple(TINY_VOLUME["minimum_m"]), tuple(TINY_VOLUME["maximum_m"]), 0.2, math.radians(60)
)
CPU = torch.device("cpu")


def test_a_scene_is_what_a_batch_of_one_frame_holds():
    pair = tiny_pair(0)
    scene, batch = make_scene(pair.radar, VOLUME), make_batch([pair], VOLUME)
    for ours, theirs in ((scene.radar, batch.radar), (scene.cells, batch.cells)):
        assert torch.equal(ours.coords, theirs.coords)
        assert torch.equal(ours.feats, theirs.feats)


def test_the_second_view_is_the_scene_of_points_with_left_and_right_exchanged():
    radar = tiny_pair(0).radar
    (alone,) = make_views(radar, VOLUME, CPU, 1, "scan")
    scene, mirrored = make_views(radar, VOLUME, CPU, 2, "scan")
    expected = make_scene(radar * np.float32([1, -1, 1, 1, 1]), VOLUME)
    assert torch.equal(alone.radar.feats, scene.radar.feats)
    assert torch.equal(mirrored.radar.feats, expected.radar.feats)
    assert torch.equal(mirrored.cells.feats, expected.cells.feats)
    assert not torch.equal(mirrored.cells.feats, scene.cells.feats)


def test_lattice_is_shared_between_calls():
    assert lattice(VOLUME, 2).support is lattice(VOLUME, 2).support
