"""Which flags of a state are up: the likeliest ones, or drawn ones."""

import torch
from torch import Tensor

from radarsparse.models.state import State
from radarsparse.sparse import Support


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


def draw_flags(state: State, probability_min: float, random: torch.Generator) -> Tensor:
    """Flags of one sample of which each may be up, as often as is said of it.

    Each cell holds as many as its probabilities add up to, rounded up or down at random: two flags
    next to each other share what is likely of them, so that draws have neither heaps nor gaps.

    Args:
        state: mean estimate, or a draw, whose flags are certain and stay.
        probability_min: less likely flags are left out, the others made likelier in return.
        random: a generator on the CPU.

    Returns:
        bool [n, FLAGS].

    Source: Holtzman et al. 2020, The Curious Case of Neural Text Degeneration, section 3.1, for
    leaving the unlikely out; Madow 1949, On the Theory of Systematic Sampling II, for the rest.
    """
    said = (0.5 * (state.flags.double() + 1.0)).clamp(0.0, 1.0)
    kept = said.masked_fill(said < probability_min, 0.0)
    smallest = torch.finfo(kept.dtype).tiny
    likely = (kept * (said.sum() / kept.sum().clamp(min=smallest))).clamp(max=1.0)
    start = torch.rand(len(likely), 1, dtype=torch.float64, generator=random).to(likely.device)
    sums = torch.cat([start, start + likely.cumsum(1)], dim=1)
    return sums.floor().diff(dim=1) > 0.0


def settle(state: Tensor, chosen: Tensor) -> Tensor:
    """A state whose flags, and with them the presence of cells, are certain.

    Args:
        state: [n, c].
        chosen: bool [n, FLAGS].
    """
    decided = torch.cat([chosen, chosen.any(1, keepdim=True)], dim=1)
    return torch.cat([State.split(state).latent, 2.0 * decided.to(state) - 1.0], dim=1)
