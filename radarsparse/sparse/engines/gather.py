"""Rows of features side by side, as a table names them."""

import logging
from functools import cache, lru_cache

import torch
from torch import Tensor

from radarsparse.gpu.compiler import Kernels, load_kernels

# The constants of kernels/gather.cu.
_THREADS = 256
_PARTS_PER_BLOCK = 4 * _THREADS
_PART_BYTES = 16


def gather_rows(feats: Tensor, table: Tensor) -> Tensor:
    """Features of the rows that a table names.

    Args:
        feats: [n, c].
        table: int64 [m, K] rows of `feats`; n stands for zeros.

    Returns:
        [m, K * c].
    """
    row_bytes = feats.shape[1] * feats.element_size()
    if feats.is_cuda and row_bytes % _PART_BYTES == 0 and _can_launch(feats.device):
        return gather_by_kernel(load_kernels(feats.device), feats, table)
    return _gather_by_torch(feats, table)


def _gather_by_torch(feats: Tensor, table: Tensor) -> Tensor:
    padded = torch.cat([feats, _zero_row(feats.shape[1], feats.dtype, feats.device)])
    gathered = padded.index_select(0, table.flatten())
    return gathered.view(len(table), table.shape[1] * feats.shape[1])


def gather_by_kernel(kernels: Kernels, feats: Tensor, table: Tensor) -> Tensor:
    """As `gather_rows`, by the kernel of `kernels/gather.cu`; rows must fill parts of 16 bytes."""
    feats, table = feats.contiguous(), table.contiguous()
    parts = feats.shape[1] * feats.element_size() // _PART_BYTES
    gathered = feats.new_empty(len(table), table.shape[1] * feats.shape[1])
    blocks = -(-table.numel() * parts // _PARTS_PER_BLOCK)
    arguments = (feats, len(feats), parts, table, table.numel(), gathered)
    kernels.launch("gather_rows", (blocks, 1), _THREADS, *arguments)
    return gathered


@lru_cache
def _can_launch(device: torch.device) -> bool:
    """Whether the kernel serves on a device: its first use is a trial against torch."""
    feats = torch.arange(8, dtype=torch.float32, device=device).view(2, 4)
    table = torch.arange(6, device=device).view(2, 3) % 3
    try:
        found = gather_by_kernel(load_kernels(device), feats, table)
        fault = None if torch.equal(found, _gather_by_torch(feats, table)) else "it is wrong"
    except Exception as error:  # whatever a package, a compiler or a driver lacks
        fault = str(error)
    if fault:
        logging.getLogger("radarsparse").warning("convolutions gather slowly: %s", fault)
    return fault is None


@cache  # a graph doesn't keep what it reads
@torch.inference_mode(False)
def _zero_row(channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.zeros(1, channels, dtype=dtype, device=device)
