"""The state that is diffused: latents, flags and presence of each lattice cell, and its noise."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from radarsparse.config import LATTICE_STRIDE
from radarsparse.sparse import SparseTensor, Support
from radarsparse.sparse.ops import take
from radarsparse.sparse.tensor import constant, double_keys, move, pack_keys, pack_step

FLAG_STRIDE = 2
_SIDE = LATTICE_STRIDE // FLAG_STRIDE
FLAGS = _SIDE**3
# Flags and presence: +1 where LiDAR returns are, -1 elsewhere.
BINARY_CHANNELS = FLAGS + 1

DrawNoise = Callable[[], Tensor]
"""Gives standard normal draws on all lattice rows, [n, c]."""


class State(NamedTuple):
    """Parts of a state of n lattice rows.

    Attributes:
        latent: [n, latent_channels] standardised latents times sigma_data, zero in empty cells.
        flags: [n, FLAGS] whether each voxel of `FLAG_STRIDE` in the cell holds LiDAR returns.
        presence: [n] whether the cell does.
    """

    latent: Tensor
    flags: Tensor
    presence: Tensor

    @staticmethod
    def split(state: Tensor) -> "State":
        """The parts of [n, latent_channels + BINARY_CHANNELS]."""
        latent, flags, presence = state.tensor_split([-BINARY_CHANNELS, -1], dim=1)
        return State(latent, flags, presence[:, 0])


def make_state(latent: SparseTensor, fine: Support, lattice: Support) -> Tensor:
    """State of a true cloud.

    Args:
        latent: latents times sigma_data on the occupied cells.
        fine: occupied voxels of `FLAG_STRIDE`.
        lattice: all cells.
    """
    feats, there = take(latent, lattice.keys)
    presence = torch.where(there, 1.0, -1.0).to(feats.dtype)[:, None]
    return torch.cat([feats, _raise_flags(fine, lattice).to(feats.dtype), presence], dim=1)


def flagged_voxels(state: Tensor, chosen: Tensor, lattice: SparseTensor) -> SparseTensor:
    """The voxels of `FLAG_STRIDE` whose flag is chosen, and how likely each is, [m, 1].

    Args:
        state: [n, c] of the n cells.
        chosen: bool [n, FLAGS].
        lattice: the cells.
    """
    row, number = chosen.nonzero(as_tuple=True)
    first = double_keys(double_keys(lattice.support.keys))
    inner = product(range(_SIDE), repeat=3)
    steps = constant(tuple(pack_step(*place) for place in inner), first.device)
    keys, order = (first[row] + steps[number]).sort()
    support = Support(keys, lattice.batch_size, FLAG_STRIDE)
    probability = 0.5 * (State.split(state).flags[row, number] + 1.0)
    return SparseTensor.on(support, probability[order, None])


def flags_at(states: Tensor, coords: Tensor, lattice: Support) -> Tensor:
    """The flags of the voxels of `FLAG_STRIDE` about given voxels of stride 1.

    Args:
        states: [k, n, c] of all n cells.
        coords: int64 [m, 4] (batch, x, y, z), all in the lattice.
        lattice: the cells.

    Returns:
        [k, m].
    """
    fine = torch.cat(
        [coords[:, :1], torch.div(coords[:, 1:], FLAG_STRIDE, rounding_mode="floor")], dim=1
    )
    row, number, _ = _locate(fine, lattice)
    return State.split(states.flatten(0, 1)).flags.view(*states.shape[:2], FLAGS)[:, row, number]


def mirror_rows(lattice: Support, cells_across: int) -> Tensor:
    """Row of each cell's mirror image, left for right, [n].

    Args:
        lattice: cells that are the same on both sides.
        cells_across: number of cells along y.
    """
    coords = lattice.coords.clone()
    coords[:, 2] = cells_across - 1 - coords[:, 2]
    return lattice.find(pack_keys(coords))[0]


def mirror_states(states: Tensor, rows: Tensor, latent: Tensor) -> Tensor:
    """States of the mirrored scene; latents, which have no mirror image, are given.

    Args:
        states: [k, n, c].
        rows: of `mirror_rows`.
        latent: [n, latent_channels].
    """
    parts = State.split(states[:, rows].flatten(0, 1))
    flags = parts.flags.view(-1, _SIDE, _SIDE, _SIDE).flip(2).reshape(-1, FLAGS)
    latents = latent.repeat(len(states), 1)
    mirrored = torch.cat([latents, flags, parts.presence[:, None]], dim=1)
    return mirrored.view_as(states)


def _raise_flags(fine: Support, lattice: Support) -> Tensor:
    row, number, there = _locate(fine.coords, lattice)
    flags = fine.coords.new_full((len(lattice) + 1, FLAGS), -1)
    # What lies outside the lattice raises a flag that is thrown away: to leave it out is to wait.
    place = row.masked_fill(~there, len(lattice)) * FLAGS + number
    return flags.view(-1).index_fill_(0, place, 1).view_as(flags)[:-1]


def _locate(coords: Tensor, lattice: Support) -> tuple[Tensor, Tensor, Tensor]:
    """Of voxels of `FLAG_STRIDE`: the row of their cell, their flag, whether the cell is there."""
    cell = torch.cat([coords[:, :1], torch.div(coords[:, 1:], _SIDE, rounding_mode="floor")], dim=1)
    x, y, z = (coords[:, 1:] - _SIDE * cell[:, 1:]).T
    row, there = lattice.find(pack_keys(cell))
    return row, (x * _SIDE + y) * _SIDE + z, there


def make_noise(seed: int, like: Tensor) -> DrawNoise:
    """Standard normal draws in the shape of a tensor; the same seed gives the same ones.

    Args:
        seed: of the first one.
        like: [n, c] whose shape, dtype and device they have.
    """
    generator = torch.Generator().manual_seed(seed)
    # On the CPU, so that every device draws the same; pinned, so that a GPU copies by itself.
    draw = partial(torch.randn, like.shape, generator=generator, pin_memory=like.is_cuda)
    draw_next = _Ahead(draw) if like.is_cuda else draw
    return lambda: move(draw_next(), like.device).to(like.dtype)


class _Ahead:
    """Calls a function once more than it is asked to, in a thread of its own.

    Args:
        make: what is called; its results come in order.
    """

    def __init__(self, make: Callable[[], Tensor]) -> None:
        self._make, self._worker = make, ThreadPoolExecutor(1)
        self._next = self._worker.submit(make)

    def __call__(self) -> Tensor:
        """The next result."""
        made = self._next.result()
        self._next = self._worker.submit(self._make)
        return made
