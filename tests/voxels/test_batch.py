import math

import pytest
import torch

from radarsparse.errors import InputError
from radarsparse.geometry import Volume
from radarsparse.scan import ScanPair
from radarsparse.sparse.ops import parent_support
from radarsparse.voxels.batch import join_frames, make_batch, voxelize_frame
from radarsparse.voxels.scene import Surroundings, make_scene
from tests.conftest import TINY_VOLUME, tiny_pair

VOLUME = Volume(
    tuple(TINY_VOLUME["minimum_m"]), tuple(TINY_VOLUME["maximum_m"]), 0.2, math.radians(60)
)


def test_a_batch_is_its_samples_one_after_another():
    pairs = [tiny_pair(0), tiny_pair(1)]
    both = make_batch(pairs, VOLUME)
    for sample, pair in enumerate(pairs):
        alone = make_batch([pair], VOLUME)
        for name in ("radar", "lidar", "lattice"):
            x, y = getattr(both, name), getattr(alone, name)
            rows = x.coords[:, 0] == sample
            assert torch.equal(x.coords[rows, 1:], y.coords[:, 1:])
            assert torch.equal(x.feats[rows], y.feats)


def test_voxels_of_single_frames_are_joined_to_the_same_batch():
    pairs = [tiny_pair(4), tiny_pair(1), tiny_pair(2)]
    anew = make_batch(pairs, VOLUME)
    joined = join_frames([voxelize_frame(pair, VOLUME) for pair in pairs], pairs, VOLUME)
    for name in ("radar", "lidar", "cells", "lattice"):
        x, y = getattr(anew, name), getattr(joined, name)
        assert torch.equal(x.coords, y.coords)
        assert torch.equal(x.feats, y.feats)
    assert torch.equal(anew.observed, joined.observed)


def test_cells_with_lidar_points_are_observed_and_lie_on_the_lattice():
    batch = make_batch([tiny_pair(0), tiny_pair(1)], VOLUME)
    observed = batch.observed
    occupied = parent_support(parent_support(parent_support(batch.lidar.support)))
    row, there = batch.lattice.support.find(occupied.keys)
    assert there.all()
    assert observed[row].all()
    assert 0 < int(observed.sum()) < len(observed)


def test_clouds_outside_the_box_are_named():
    pair = tiny_pair(3)
    far = ScanPair(pair.name, pair.radar + 100, pair.lidar, pair.T_radar_lidar)
    with pytest.raises(InputError, match="frame 000003: radar: none of 40 points lies in the box"):
        make_batch([tiny_pair(0), far], VOLUME)
    away = ScanPair(pair.name, pair.radar, pair.lidar + 100, pair.T_radar_lidar)
    box = r"\(0.0, -6.4, -1.6\) .. \(12.8, 6.4, 1.6\) m"
    with pytest.raises(InputError, match=rf"frame 000003: LiDAR: none of 550 .* box {box}"):
        make_batch([away], VOLUME)
    with pytest.raises(InputError, match="scan: none of 40 points"):
        make_scene(far.radar, Surroundings(VOLUME), name="scan")


def test_a_batch_that_moves_keeps_what_was_observed():
    batch = make_batch([tiny_pair(0)], VOLUME)
    observed = batch.observed
    assert batch.to(torch.device("cpu")).observed is observed
    moved = batch.to(torch.device("meta"))
    assert moved.observed.device == moved.lidar.coords.device == torch.device("meta")
    assert moved.observed.shape == observed.shape
