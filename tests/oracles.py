"""Slow, obvious references and random inputs that several tests share."""

import torch
from torch import Tensor
from torch.nn import functional as F

from radarsparse.sparse import SparseTensor


def random_sparse(
    channels: int,
    grid: int = 6,
    voxels: int = 60,
    batch: tuple[int, ...] = (0, 2),
    batch_size: int = 3,
    stride: int = 1,
    seed: int = 0,
) -> SparseTensor:
    """A float64 tensor whose other samples are empty, rows in random order."""
    random = torch.Generator().manual_seed(seed)
    sample = torch.tensor(batch)[torch.randint(len(batch), (voxels, 1), generator=random)]
    index = torch.randint(grid, (voxels, 3), generator=random)
    coords = torch.unique(torch.cat([sample, index], dim=1), dim=0)
    coords = coords[torch.randperm(len(coords), generator=random)]
    feats = torch.randn(len(coords), channels, generator=random, dtype=torch.float64)
    return SparseTensor(feats, coords, batch_size, stride)


def empty_sparse(channels: int, batch_size: int = 2, stride: int = 1) -> SparseTensor:
    """A float64 tensor without a voxel."""
    coords = torch.zeros(0, 4, dtype=torch.int64)
    return SparseTensor(coords.new_zeros(0, channels).double(), coords, batch_size, stride)


def at(dense: Tensor, coords: Tensor) -> Tensor:
    """Values of [b, c, x, y, z] at (batch, x, y, z): [n, c]."""
    batch, x, y, z = coords.unbind(1)
    return dense[batch, :, x, y, z]


def dense_kernel(weight: Tensor) -> Tensor:
    """[K, c_in, c_out] to the layout of `conv3d`, [c_out, c_in, k, k, k]."""
    side = round(weight.shape[0] ** (1 / 3))
    return weight.view(side, side, side, *weight.shape[1:]).permute(4, 3, 0, 1, 2)


def dense_strided(x: SparseTensor, weight: Tensor, bias: Tensor | None, grid: int) -> Tensor:
    """`conv3d` of stride 2 on a grid padded at its far end, so that no output is cut off."""
    side = round(weight.shape[0] ** (1 / 3))
    dense = F.pad(x.to_dense((grid, grid, grid)), (0, 2) * 3)
    return F.conv3d(dense, dense_kernel(weight), bias, stride=2, padding=(side - 1) // 2)
