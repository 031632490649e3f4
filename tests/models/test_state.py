from dataclasses import replace

import numpy as np
import torch

from radarsparse.models.state import (
    BINARY_CHANNELS,
    FLAGS,
    State,
    flagged_voxels,
    make_state,
    mirror_rows,
    mirror_states,
)
from radarsparse.sparse import SparseTensor
from radarsparse.sparse.ops import parent_support
from radarsparse.voxels.batch import make_batch
from radarsparse.voxels.scene import lattice
from tests.conftest import tiny_pair
from tests.models.test_vae import VOLUME


def _clean():
    batch = make_batch([tiny_pair(0), tiny_pair(1)], VOLUME)
    fine = parent_support(batch.lidar.support)
    occupied = parent_support(parent_support(fine))
    latent = SparseTensor.on(occupied, torch.randn(len(occupied), 3))
    return batch, fine, latent, make_state(latent, fine, batch.lattice.support)


def test_flags_tell_which_voxels_of_stride_2_are_occupied():
    batch, fine, latent, state = _clean()
    parts = State.split(state)
    assert [part.shape[1:] for part in parts] == [(3,), (FLAGS,), ()]
    voxels = flagged_voxels(state, parts.flags > 0, batch.lattice)
    assert torch.equal(voxels.coords, fine.coords)
    assert (voxels.feats == 1.0).all()
    assert torch.equal(parts.presence > 0, (parts.flags > 0).any(1))
    assert int((parts.presence > 0).sum()) == len(latent.coords)
    assert set(state[:, -BINARY_CHANNELS:].unique().tolist()) == {-1.0, 1.0}


def test_a_flag_stands_for_its_own_place_in_the_cell():
    """x changes slowest, as in the order of kernel offsets."""
    cells = lattice(VOLUME, 1)
    chosen = torch.zeros(len(cells.feats), FLAGS, dtype=torch.bool)
    chosen[5, 1 * 16 + 2 * 4 + 3] = True
    state = torch.zeros(len(cells.feats), 3 + BINARY_CHANNELS)
    state[5, 3 + 1 * 16 + 2 * 4 + 3] = -0.5
    voxel = flagged_voxels(state, chosen, cells)
    assert torch.equal(voxel.coords[0, 1:], 4 * cells.coords[5, 1:] + torch.tensor([1, 2, 3]))
    assert voxel.feats.tolist() == [[0.25]]


def test_a_mirrored_state_is_that_of_the_mirrored_scene():
    pair = tiny_pair(3)
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    states = []
    for T_radar_lidar in (np.eye(4), flip):
        batch = make_batch([replace(pair, T_radar_lidar=T_radar_lidar)], VOLUME)
        fine = parent_support(batch.lidar.support)
        occupied = parent_support(parent_support(fine))
        latent = SparseTensor.on(occupied, torch.zeros(len(occupied), 3))
        states.append(make_state(latent, fine, batch.lattice.support))
    cells = lattice(VOLUME, 1).support
    rows, latent = mirror_rows(cells, VOLUME.shape[1] // 8), torch.randn(len(cells), 3)
    mirrored = mirror_states(states[1][None], rows, latent)[0]
    assert torch.equal(mirrored[:, :3], latent)
    # Points on the bound between two voxels fall to another side in a mirror; there are none.
    assert torch.equal(mirrored[:, 3:], states[0][:, 3:])
    assert not torch.equal(states[1][:, 3:], states[0][:, 3:])
