"""Classifier two-sample test: a small network learns to tell drawn patches from real ones."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from radarsparse.sparse import SparseTensor, StridedConv3d, SubmanifoldConv3d

VOXEL_SIZE_M = 0.2
STEPS, PATCHES_PER_STEP = 200, 32
LEARNING_RATE = 2e-3

Floats = NDArray[np.floating]


class Patch(NamedTuple):
    """Points of an upright column about its middle, [n, 3], and the radar's there, [m, 3]."""

    points: Floats
    radar: Floats


class Critic(nn.Module):
    """One number per patch, positive for a real one, of nothing but which voxels are occupied."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(SubmanifoldConv3d(2, 16), StridedConv3d(16, 32)),
            *(SubmanifoldConv3d(32, 32), StridedConv3d(32, 64)),
        )
        self.answer = nn.Linear(64, 1)

    def forward(self, x: SparseTensor) -> Tensor:
        """The number of each patch, [b]."""
        for layer in self.layers:
            y = layer(x)
            x = y.replace(torch.relu(y.feats))
        sums = x.feats.new_zeros(x.batch_size, x.feats.shape[1]).index_add(
            0, x.coords[:, 0], x.feats
        )
        counts = torch.bincount(x.coords[:, 0], minlength=x.batch_size)[:, None]
        return self.answer(sums / counts)[:, 0]


def tell_apart(
    known: tuple[Sequence[Patch], Sequence[Patch]],
    unseen: tuple[Sequence[Patch], Sequence[Patch]],
    seed: int,
) -> NDArray[np.bool_]:
    """Whether a network that learnt from known patches is right about each unseen one.

    Args:
        known: drawn and real patches; as many of either side are shown.
        unseen: likewise.
        seed: of the network and of the order.

    Returns:
        Of all drawn patches, then of all real ones; the share is 0.5 where the sides are alike.

    Source:
        Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", ICLR 2017.
    """
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        critic = Critic()
    optimizer = torch.optim.AdamW(critic.parameters(), LEARNING_RATE)
    truth = torch.arange(PATCHES_PER_STEP) % 2
    for _ in range(STEPS):
        shown = [known[side][_any(known[side], random)] for side in truth]
        loss = nn.functional.binary_cross_entropy_with_logits(critic(_stack(shown)), truth.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        right = [critic(_stack(patches)) > 0 for patches in unseen]
    return torch.cat([~right[0], right[1]]).numpy()


def _any(patches: Sequence[Patch], random: torch.Generator) -> int:
    return int(torch.randint(len(patches), (), generator=random))


def _stack(patches: Sequence[Patch]) -> SparseTensor:
    """Occupied voxels of patches: whether by points of the cloud, and whether by the radar's."""
    clouds = [cloud for patch in patches for cloud in patch]
    numbers = np.repeat(np.arange(len(clouds)), [len(cloud) for cloud in clouds])
    index = np.floor(np.concatenate(clouds) / VOXEL_SIZE_M).astype(np.int64)
    sample, side = np.divmod(numbers, 2)
    coords, voxel = np.unique(np.c_[sample, index], axis=0, return_inverse=True)
    feats = torch.zeros(len(coords), 2)
    feats[torch.from_numpy(voxel.ravel()), torch.from_numpy(side)] = 1.0
    return SparseTensor(feats, torch.from_numpy(coords), len(patches))
