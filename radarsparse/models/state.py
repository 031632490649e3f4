"""The state that is diffused on the lattice: latents, occupancy flags and presence of each cell."""

from typing import NamedTuple

import torch
from torch import Tensor

from radarsparse.config import LATTICE_STRIDE
from radarsparse.sparse import SparseTensor, Support, look_up
from radarsparse.sparse.tensor import pack_keys

FLAG_STRIDE = 2
_SIDE = LATTICE_STRIDE // FLAG_STRIDE
FLAGS = _SIDE**3
# Flags and presence: +1 where LiDAR returns are, -1 elsewhere.
BINARY_CHANNELS = FLAGS + 1


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
    feats, there = look_up(latent, lattice.coords)
    presence = torch.where(there, 1.0, -1.0).to(feats.dtype)[:, None]
    return torch.cat([feats, _raise_flags(fine, lattice).to(feats.dtype), presence], dim=1)


def flagged_support(flags: Tensor, lattice: Support) -> Support:
    """The voxels of `FLAG_STRIDE` whose flag is up.

    Args:
        flags: bool [n, FLAGS].
        lattice: the n cells.
    """
    row, number = flags.nonzero(as_tuple=True)
    inner = [number // _SIDE**2, number // _SIDE % _SIDE, number % _SIDE]
    coords = lattice.coords[row].clone()
    coords[:, 1:] = coords[:, 1:] * _SIDE + torch.stack(inner, dim=1)
    keys, order = pack_keys(coords).sort()
    return Support(coords[order], lattice.batch_size, FLAG_STRIDE, keys)


def choose_flags(state: State, sample: Tensor, presence_threshold: float) -> Tensor:
    """The likeliest flags, as many in each sample as their probabilities add up to.

    Every present cell keeps its likeliest flag, whatever the others'.

    Args:
        state: mean estimate, or a draw.
        sample: int64 [n], which sample a row belongs to.
        presence_threshold: above which a cell is present.

    Returns:
        bool [n, FLAGS].
    """
    chosen = torch.zeros_like(state.flags, dtype=torch.bool)
    present = (state.presence > presence_threshold).nonzero()[:, 0]
    chosen[present, state.flags[present].argmax(1)] = True
    probability = 0.5 * (state.flags + 1.0)
    for number in sample.unique().tolist():
        rows = (sample == number).nonzero()[:, 0]
        wanted = round(probability[rows].sum().item()) - int(chosen[rows].sum())
        _add_likeliest(chosen, probability, rows, wanted)
    return chosen


def _add_likeliest(chosen: Tensor, probability: Tensor, rows: Tensor, wanted: int) -> None:
    rank = probability[rows].masked_fill(chosen[rows], -torch.inf).flatten()
    number = rank.topk(max(0, min(wanted, len(rank)))).indices
    chosen[rows[number // FLAGS], number % FLAGS] = True


def _raise_flags(fine: Support, lattice: Support) -> Tensor:
    cell = fine.coords.clone()
    cell[:, 1:] = torch.div(cell[:, 1:], _SIDE, rounding_mode="floor")
    x, y, z = (fine.coords[:, 1:] - _SIDE * cell[:, 1:]).T
    row, there = lattice.find(pack_keys(cell))
    flags = fine.coords.new_full((len(lattice), FLAGS), -1)
    flags[row[there], ((x * _SIDE + y) * _SIDE + z)[there]] = 1
    return flags
