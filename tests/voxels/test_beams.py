import math
from itertools import product

import numpy as np
import pytest
import torch

from radarsparse.geometry import Volume, cartesian, pose, transform_points
from radarsparse.sparse.tensor import Support
from radarsparse.voxels.beams import Beams
from radarsparse.voxels.scene import lattice
from tests.conftest import TINY_VOLUME

VOLUME = Volume(
    tuple(TINY_VOLUME["minimum_m"]), tuple(TINY_VOLUME["maximum_m"]), 0.2, math.radians(60)
)
RINGS_DEG = (4.0, -9.0, 0.5)
MOUNTS = [
    pose(np.radians((5.0, -3.0, 2.0)), (-0.3, 0.1, 0.4)),
    pose(np.radians((-40.0, 6.0, -4.0)), (-1.0, -0.2, -0.3)),
]


def _cross_slowly(T_radar_lidar, stride, parts):
    """Indices of the parts that rays along the rings meet, by steps of two centimetres."""
    azimuth = np.radians(np.arange(-120.0, 120.0, 0.15))
    shape = np.array(VOLUME.shape) * parts // stride
    met = np.zeros(shape, dtype=bool)
    for ring, range_m in product(RINGS_DEG, np.arange(0.05, 17.0, 0.02)):
        points = cartesian(range_m, azimuth, np.radians(ring))
        points = transform_points(T_radar_lidar, points) - VOLUME.minimum_m
        index = np.floor(points * parts / (stride * VOLUME.voxel_size_m)).astype(int)
        met[tuple(index[((index >= 0) & (index < shape)).all(1)].T)] = True
    return {tuple(row) for row in np.argwhere(met).tolist()}


def _crossed_parts(beams, support, parts):
    """Indices of the parts that are said to be crossed, by sample."""
    crossed = beams.crossed(support, parts).bool()
    row, part = crossed.nonzero(as_tuple=True)
    steps = torch.tensor([*product(range(parts), repeat=3)])[part]
    index = support.coords[row, 1:] * parts + steps
    samples = support.coords[row, 0]
    return [{tuple(i) for i in index[samples == b].tolist()} for b in range(support.batch_size)]


@pytest.mark.parametrize(("stride", "parts"), [(8, 4), (4, 2), (2, 1)])
def test_voxels_are_crossed_that_rays_along_the_rings_meet(stride, parts):
    cells = lattice(VOLUME, 2).support.coords
    steps = torch.tensor([*product(range(8 // stride), repeat=3)])
    index = (cells[:, None, 1:] * (8 // stride) + steps).flatten(0, 1)
    coords = torch.cat([cells[:, :1].repeat_interleave(len(steps), 0), index], 1)
    coords = torch.unique(coords, dim=0)
    support = Support.of(coords, 2, stride)
    found = _crossed_parts(Beams.of([RINGS_DEG] * 2, MOUNTS, VOLUME), support, parts)
    for sample, mount in enumerate(MOUNTS):
        asked = {
            tuple(i)
            for i in (
                coords[coords[:, 0] == sample, None, 1:] * parts
                + torch.tensor([*product(range(parts), repeat=3)])
            )
            .flatten(0, 1)
            .tolist()
        }
        met = _cross_slowly(mount, stride, parts) & asked
        assert met
        # A ring may leave a voxel again between its corners, and rays have a finite step.
        assert len(met - found[sample]) <= 0.002 * len(met)
        # Rings are 0.05 deg wide on both sides, 2 cm at 12 m, of voxels of 40 cm.
        assert len(found[sample] - met) <= 0.05 * len(met)


def test_without_rings_nothing_is_crossed():
    support = lattice(VOLUME, 2).support
    crossed = Beams.of([(), ()], MOUNTS, VOLUME).crossed(support, 4)
    assert crossed.shape == (len(support), 64)
    assert not crossed.any()


def test_the_order_of_rings_does_not_matter():
    support = lattice(VOLUME, 2).support
    first, second = (
        Beams.of([rings] * 2, MOUNTS, VOLUME).crossed(support, 4)
        for rings in (RINGS_DEG, sorted(RINGS_DEG))
    )
    assert torch.equal(first, second)


def test_half_precision_changes_nothing():
    support, beams = lattice(VOLUME, 2).support, Beams.of([RINGS_DEG] * 2, MOUNTS, VOLUME)
    with torch.autocast("cpu", torch.bfloat16):
        found = beams.crossed(support, 4)
    assert torch.equal(found, beams.crossed(support, 4))


def test_each_sample_has_rings_of_its_own():
    cells = lattice(VOLUME, 3).support
    mounts = [MOUNTS[0], MOUNTS[1], MOUNTS[0]]
    rings = [(4.0, -9.0, 0.5), (), (7.0,)]
    found = Beams.of(rings, mounts, VOLUME).crossed(cells, 4).chunk(3)
    alone = lattice(VOLUME, 1).support
    for number, (own, mount) in enumerate(zip(rings, mounts, strict=True)):
        expected = Beams.of([own], [mount], VOLUME).crossed(alone, 4)
        # Raised by four radians a sample, an elevation is known to 1e-6.
        assert (found[number] != expected).float().mean() < 1e-4
        assert expected.any() == bool(own)
