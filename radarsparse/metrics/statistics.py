"""What metrics need to know of many distances: a few numbers per frame.

The one door for both devices. The CPU's way is here, that of CUDA in `nearest/cuda/reductions.py`.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from radarsparse.metrics.nearest import cuda
from radarsparse.metrics.point import Statistics


def summarize_distances(
    distance2: Float[Tensor, " n"],
    offsets: Int[Tensor, " b+1"],
    thresholds_m: Sequence[float],
    quantiles: Sequence[float],
) -> Statistics:
    """Sums, maximum, counts under thresholds and quantiles of every frame's distances.

    Args:
        distance2: [n] squared distances, square metres, frame after frame; infinite where there
            is no neighbour.
        offsets: [b + 1] frame i owns distance2[offsets[i] .. offsets[i + 1]], same device.
        thresholds_m: nearer counts, equal doesn't.
        quantiles: shares, 0 to 1.
    """
    if distance2.is_cuda:
        return cuda.summarize_distances_cuda(distance2, offsets, thresholds_m, quantiles)
    distance = distance2.double().sqrt()
    frames = [distance[start:end] for start, end in pairwise(offsets.tolist())]
    limits = distance.new_tensor(thresholds_m)[:, None]
    return Statistics(
        count=offsets.diff(),
        sum_m=distance.new_tensor([frame.sum().item() for frame in frames]),
        sum_sq_m2=distance.new_tensor([frame.square().sum().item() for frame in frames]),
        max_m=distance.new_tensor([_max(frame) for frame in frames]),
        hits=torch.stack([(frame < limits).sum(dim=1) for frame in frames]),
        quantiles_m=torch.stack([_quantiles(frame, quantiles) for frame in frames]),
    )


def summarize_both(
    there2: Float[Tensor, " n"],
    back2: Float[Tensor, " m"],
    thresholds_m: Sequence[float],
    quantiles: Sequence[float],
) -> Statistics:
    """`summarize_distances` of both directions between two clouds, as two frames."""
    if there2.is_cuda:
        return cuda.summarize_both_cuda(there2, back2, thresholds_m, quantiles)
    offsets = torch.tensor([0, len(there2), len(there2) + len(back2)])
    return summarize_distances(torch.cat([there2, back2]), offsets, thresholds_m, quantiles)


def _max(frame: Tensor) -> float:
    return frame.max().item() if len(frame) else math.nan


def _quantiles(frame: Tensor, quantiles: Sequence[float]) -> Tensor:
    """Order statistics [q] with linear interpolation between two neighbours."""
    if len(frame) == 0:
        return frame.new_full((len(quantiles),), torch.nan)
    # NumPy sorts with vector instructions, several times faster than torch.
    ascending = torch.from_numpy(np.sort(frame.numpy()))
    position = ascending.new_tensor(quantiles) * (len(ascending) - 1)
    below = position.floor().long()
    low, high = ascending[below], ascending[(below + 1).clamp(max=len(ascending) - 1)]
    # Of what is infinite no share can be taken.
    between = (position > below) & (high > low)
    return torch.where(between, low + (position - below) * (high - low), low)
