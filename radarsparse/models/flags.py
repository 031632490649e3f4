"""Which flags of a state are up: the likeliest ones, or drawn ones."""

import math

import torch
from torch import Tensor

from radarsparse.models.state import State
from radarsparse.sparse import Support

# Within about this distance columns of cells are alike; so many waves make a field.
_ALIKE_CELLS = 4.0
_WAVES = 512


def choose_flags(state: State, lattice: Support, presence_threshold: float) -> Tensor:
    """The likeliest flags, as many in each sample as their probabilities add up to.

    Every present cell keeps its likeliest flag, whatever the others'.

    Args:
        state: mean estimate, or a draw.
        lattice: the cells.
        presence_threshold: above which a cell is present.

    Returns:
        bool [n, FLAGS].
    """
    chosen = torch.zeros_like(state.flags, dtype=torch.bool)
    present = state.presence > presence_threshold
    chosen.scatter_(1, state.flags.argmax(1, keepdim=True), present[:, None])
    probability = 0.5 * (state.flags + 1.0)
    counts = lattice.sample_counts
    for rows, believed in zip(chosen.split(counts), probability.split(counts), strict=True):
        _add_likeliest(rows, believed)
    return chosen


def _add_likeliest(chosen: Tensor, probability: Tensor) -> None:
    """Raise flags of one sample in place."""
    expected, there = torch.stack([probability.sum().double(), chosen.sum().double()]).tolist()
    rank = probability.masked_fill(chosen, -torch.inf).flatten()
    wanted = max(0, min(round(expected) - int(there), len(rank)))
    chosen.view(-1).index_fill_(0, rank.topk(wanted).indices, True)


def draw_flags(
    state: State, lattice: Support, probability_min: float, random: torch.Generator
) -> Tensor:
    """Flags of one sample of which each may be up, as often as is said of it.

    Each cell holds as many as its probabilities add up to, rounded up or down at random: two flags
    next to each other share what is likely of them, so that draws have neither heaps nor gaps.
    Cells near each other are rounded alike, so that a draw has much of a thing or little of it.

    Args:
        state: mean estimate, or a draw, whose flags are certain and stay.
        lattice: the cells.
        probability_min: less likely flags are left out, the others made likelier in return.
        random: a generator on the CPU.

    Returns:
        bool [n, FLAGS].

    Source: Holtzman et al. 2020, The Curious Case of Neural Text Degeneration, section 3.1, for
    leaving the unlikely out; Madow 1949, On the Theory of Systematic Sampling II, for the rest of
    a cell.
    """
    said = (0.5 * (state.flags.double() + 1.0)).clamp(0.0, 1.0)
    kept = said.masked_fill(said < probability_min, 0.0)
    smallest = torch.finfo(kept.dtype).tiny
    likely = (kept * (said.sum() / kept.sum().clamp(min=smallest))).clamp(max=1.0)
    start = _alike_nearby(lattice, random).to(likely.device)
    sums = torch.cat([start, start + likely.cumsum(1)], dim=1)
    return sums.floor().diff(dim=1) > 0.0


def _alike_nearby(lattice: Support, random: torch.Generator) -> Tensor:
    """Uniform numbers 0 to 1, [n, 1] on the CPU, alike in columns of cells near each other.

    Source: Rahimi and Recht 2007, Random Features for Large-Scale Kernel Machines, for the Gaussian
    field whose ranks they are.
    """
    options = {"dtype": torch.float64, "generator": random}
    turns = torch.randn(2, _WAVES, **options) / _ALIKE_CELLS
    weights = torch.randn(2 * _WAVES, 1, **options) / math.sqrt(_WAVES)
    columns, column_of = lattice.coords[:, 1:3].cpu().unique(dim=0, return_inverse=True)
    phase = columns.double() @ turns
    field = torch.cat([phase.cos(), phase.sin()], dim=1) @ weights
    return torch.special.ndtr(field)[column_of]


def settle(state: Tensor, chosen: Tensor) -> Tensor:
    """A state whose flags, and with them the presence of cells, are certain.

    Args:
        state: [n, c].
        chosen: bool [n, FLAGS].
    """
    decided = torch.cat([chosen, chosen.any(1, keepdim=True)], dim=1)
    return torch.cat([State.split(state).latent, 2.0 * decided.to(state) - 1.0], dim=1)
