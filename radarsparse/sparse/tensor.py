"""Sparse voxel tensors and the set of active voxels that they live on."""

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Cached = TypeVar("Cached")
_CPU = torch.device("cpu")

_BITS = 16
_SHIFT = 1 << (_BITS - 1)
# Bits of x, y and z in a key; those of the sample lie above.
_INDEX_BITS = (1 << (3 * _BITS)) - 1
# Room for a kernel's reach at both ends, so that a neighbour's key never wraps into the next row.
INDEX_LIMIT = _SHIFT - 64
BATCH_LIMIT = (1 << 15) - 1


def pack_keys(coords: Int[Tensor, "n 4"]) -> Int[Tensor, " n"]:
    """One int64 per voxel whose order is the order of (batch, x, y, z).

    Keys are additive: the key of a neighbour is the voxel's key plus `pack_step` of the offset.
    """
    places = constant(tuple(1 << shift for shift in _SHIFTS), coords.device)
    return (coords * places).sum(1) + _ORIGIN


def unpack_keys(keys: Int[Tensor, " n"]) -> Int[Tensor, "n 4"]:
    """The inverse of `pack_keys`."""
    shifts = constant(_SHIFTS, keys.device)
    first = constant((0, _SHIFT, _SHIFT, _SHIFT), keys.device)
    return ((keys[:, None] >> shifts) & ((1 << _BITS) - 1)) - first


def pack_step(dx: int, dy: int, dz: int) -> int:
    """What an offset of voxels adds to a key."""
    return (dx << (2 * _BITS)) + (dy << _BITS) + dz


_SHIFTS = (3 * _BITS, 2 * _BITS, _BITS, 0)
# The key of sample 0's voxel (0, 0, 0).
_ORIGIN = pack_step(_SHIFT, _SHIFT, _SHIFT)


def halve_keys(keys: Int[Tensor, " n"]) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Keys of the parents at twice the stride, and which of its 2x2x2 children each voxel is."""
    halves = (keys >> 1) & pack_step(_SHIFT - 1, _SHIFT - 1, _SHIFT - 1)
    parents = (keys & ~_INDEX_BITS) + halves + _ORIGIN // 2
    odd = keys & pack_step(1, 1, 1)
    # 2^16 leaves 2, and 2^32 leaves 4: the remainder is 4 dx + 2 dy + dz.
    return parents, odd % ((1 << _BITS) - 2)


def double_keys(keys: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Keys of the first of the 2x2x2 children of each voxel."""
    return keys + (keys & _INDEX_BITS) - _ORIGIN


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def constant(values: tuple[object, ...], device: torch.device) -> Tensor:
    """Whole numbers as an int64 tensor that must not be written to; kept.

    A copy from the host waits for a GPU.
    """
    return torch.tensor(values, dtype=torch.int64, device=device)


def move(values: Tensor, device: torch.device) -> Tensor:
    """The same values on a device; towards a GPU, the host doesn't wait for it."""
    return values.to(device, non_blocking=device != _CPU)


class Support:
    """The set of active voxels: unique, sorted by (batch, x, y, z), with a cache of plans.

    Args:
        keys: int64 [n] of `pack_keys`, ascending.
        batch_size: number of samples, empty ones included.
        stride: side of a voxel in voxels of stride 1.
    """

    def __init__(self, keys: Int[Tensor, " n"], batch_size: int, stride: int) -> None:
        self.keys, self.batch_size, self.stride = keys, batch_size, stride
        self._cache: dict[tuple[object, ...], object] = {}

    @staticmethod
    def of(coords: Int[Tensor, "n 4"], batch_size: int, stride: int) -> "Support":
        """The support of voxels that are unique and sorted already."""
        return Support(pack_keys(coords), batch_size, stride)

    def __len__(self) -> int:
        return len(self.keys)

    @cached_property
    def coords(self) -> Int[Tensor, "n 4"]:
        """(batch, x, y, z) voxel indices at `stride`."""
        return unpack_keys(self.keys)

    def cached(self, name: tuple[object, ...], build: Callable[[], Cached]) -> Cached:
        """Return what was built under this name before, or build it now."""
        if name not in self._cache:
            self._cache[name] = build()
        return self._cache[name]  # pyright: ignore[reportReturnType] (the name fixes the type)

    def to(self, device: torch.device) -> "Support":
        """The same voxels on a device; plans are kept only where it is the same one."""
        if self.keys.device == device:
            return self
        return Support(move(self.keys, device), self.batch_size, self.stride)

    @cached_property
    def sample_counts(self) -> list[int]:
        """Number of voxels of each sample; the first to ask waits for a GPU."""
        return torch.bincount(self.coords[:, 0], minlength=self.batch_size).tolist()

    def find(
        self, keys: Int[Tensor, " *shape"]
    ) -> tuple[Int[Tensor, " *shape"], Bool[Tensor, " *shape"]]:
        """Row of each key, and whether it is there (the row means nothing where it is not)."""
        if len(self) == 0:
            return torch.zeros_like(keys), torch.zeros_like(keys, dtype=torch.bool)
        row = torch.searchsorted(self.keys, keys).clamp_(max=len(self) - 1)
        return row, self.keys[row] == keys


class SparseTensor:
    """Features on a support; it knows no engine.

    Args:
        feats: float [n, c].
        coords: int [n, 4], (batch, x, y, z) voxel indices at `stride`, unique, in any order:
            rows are sorted by (batch, x, y, z) on construction.
        batch_size: number of samples, empty ones included.
        stride: side of a voxel in voxels of stride 1.

    Raises:
        ValueError: rows don't match, coordinates are doubled or out of range.
    """

    def __init__(self, feats: Tensor, coords: Tensor, batch_size: int = 1, stride: int = 1) -> None:
        _check_shapes(feats, coords)
        coords = coords.to(device=feats.device, dtype=torch.int64)
        _check_range(coords, batch_size, INDEX_LIMIT // stride)
        keys = pack_keys(coords)
        order = torch.argsort(keys)
        _check_unique(keys[order], coords[order])
        self.feats = feats[order]
        self.support = Support(keys[order], batch_size, stride)

    @staticmethod
    def on(support: Support, feats: Tensor) -> "SparseTensor":
        """Features whose rows already follow a support.

        Raises:
            ValueError: the number of rows differs.
        """
        if feats.ndim != 2 or len(feats) != len(support):
            raise ValueError(f"feats {tuple(feats.shape)} must be [{len(support)}, c]")
        tensor = SparseTensor.__new__(SparseTensor)
        tensor.feats, tensor.support = feats, support
        return tensor

    def to(self, device: torch.device) -> "SparseTensor":
        """The same tensor on a device."""
        return SparseTensor.on(self.support.to(device), move(self.feats, device))

    def map(self, call: Callable[[Tensor], Tensor]) -> "SparseTensor":
        """The same tensor elsewhere: what `call` makes of its keys and of its features."""
        support = Support(call(self.support.keys), self.batch_size, self.stride)
        return SparseTensor.on(support, call(self.feats))

    def replace(self, feats: Tensor) -> "SparseTensor":
        """Other features on the same support; plans stay shared."""
        return SparseTensor.on(self.support, feats)

    @property
    def coords(self) -> Int[Tensor, "n 4"]:
        """(batch, x, y, z) voxel indices at `stride`, sorted."""
        return self.support.coords

    @property
    def batch_size(self) -> int:
        """Number of samples, empty ones included."""
        return self.support.batch_size

    @property
    def stride(self) -> int:
        """Side of a voxel in voxels of stride 1."""
        return self.support.stride

    def to_dense(self, shape: tuple[int, int, int]) -> Float[Tensor, "b c x y z"]:
        """Features on a full grid, zero where no voxel is active.

        Args:
            shape: cells along x, y and z at this tensor's stride.

        Raises:
            ValueError: an active voxel lies outside the grid.
        """
        bound = self.coords.new_tensor(shape)
        outside = ((self.coords[:, 1:] < 0) | (self.coords[:, 1:] >= bound)).any(1)
        if outside.any():
            first = self.coords[outside][0, 1:].tolist()
            raise ValueError(f"voxel {first} lies outside the grid of shape {tuple(shape)}")
        dense = self.feats.new_zeros(self.batch_size, *shape, self.feats.shape[1])
        dense = dense.index_put(tuple(self.coords.unbind(1)), self.feats)
        return dense.permute(0, 4, 1, 2, 3)

    def __repr__(self) -> str:
        rows, channels = self.feats.shape
        return (
            f"SparseTensor({rows} voxels, {channels} channels, batch_size={self.batch_size},"
            f" stride={self.stride})"
        )


def _check_shapes(feats: Tensor, coords: Tensor) -> None:
    for name, values in (("feats", feats), ("coords", coords)):
        if not isinstance(values, Tensor):
            raise ValueError(f"{name} must be a tensor, not {type(values).__name__}")
    if feats.ndim != 2 or not feats.is_floating_point():
        raise ValueError(f"feats must be float [n, c], not {feats.dtype} {tuple(feats.shape)}")
    if coords.ndim != 2 or coords.shape[1] != 4 or coords.is_floating_point():
        raise ValueError(f"coords must be int [n, 4], not {coords.dtype} {tuple(coords.shape)}")
    if len(coords) != len(feats):
        raise ValueError(f"feats has {len(feats)} rows, coords {len(coords)}; must be equal")


def _check_range(coords: Tensor, batch_size: int, index_most: int) -> None:
    if not isinstance(batch_size, int) or not 1 <= batch_size <= BATCH_LIMIT:
        raise ValueError(f"batch_size {batch_size!r:.40} must be whole, 1 .. {BATCH_LIMIT}")
    if len(coords) == 0:
        return
    low, high = coords[:, 0].aminmax()
    if low < 0 or high >= batch_size:
        raise ValueError(f"batch index {int(low)} .. {int(high)} must be 0 .. {batch_size - 1}")
    reach = int(coords[:, 1:].abs().max())
    if reach > index_most:
        raise ValueError(f"voxel index {reach} exceeds the bound {index_most}")


def _check_unique(keys: Tensor, coords: Tensor) -> None:
    doubled = keys[1:] == keys[:-1]
    if doubled.any():
        first = coords[1:][doubled][0].tolist()
        raise ValueError(f"voxel (batch, x, y, z) = {first} occurs more than once in coords")
