"""Plans: which input row meets which kernel offset at which output row."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from radarsparse.sparse.tensor import Support, constant, halve_keys, pack_keys, pack_step

Cached = TypeVar("Cached")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which input row meets which kernel offset at which output row, as lists.

    Pairs are grouped by kernel offset, offsets in lexicographic (dx, dy, dz) order; within one
    offset input rows and output rows both ascend.

    Attributes:
        input_rows: int64 [p].
        output_rows: int64 [p].
        counts: number of pairs of each of the K offsets.
        n_outputs: rows of the output.
    """

    input_rows: Int[Tensor, " p"]
    output_rows: Int[Tensor, " p"]
    counts: list[int]
    n_outputs: int

    @property
    def offset(self) -> Int[Tensor, " p"]:
        """Kernel offset of every pair."""
        return torch.repeat_interleave(torch.tensor(self.counts)).to(self.input_rows.device)


class Plan(ABC):
    """The topology of one convolution, apart from weights and execution.

    It is found when an engine asks for it, in the form that the engine needs: lists of pairs keep
    to what is there, a table has the same shape whatever is there, so that nobody waits for it.

    Args:
        kernel_volume: number K of kernel offsets, in lexicographic (dx, dy, dz) order.
        n_inputs: rows of the input.
        n_outputs: rows of the output.
        device: where the rows are.

    Attributes:
        centre: the offset that joins every row with itself, if there is one. Its pairs are left
            out of the lists. The plan is then symmetric: offset K - 1 - k holds the pairs of
            offset k the other way round.
    """

    centre: int | None = None

    def __init__(
        self, kernel_volume: int, n_inputs: int, n_outputs: int, device: torch.device
    ) -> None:
        self.kernel_volume, self.device = kernel_volume, device
        self.n_inputs, self.n_outputs = n_inputs, n_outputs
        self._cache: dict[object, object] = {}

    @property
    def pairs(self) -> Pairs:
        """Lists of pairs."""
        return self.cached("pairs", self._find_pairs)

    @property
    def table(self) -> Int[Tensor, "n_outputs k"]:
        """Row of the input that each offset meets at each output; `n_inputs` where it meets none.

        Pairs of the centre are not left out.
        """
        return self.cached("table", self._find_table)

    @abstractmethod
    def _find_pairs(self) -> Pairs: ...

    def _find_table(self) -> Tensor:
        pairs = self.pairs
        table = pairs.input_rows.new_full((self.n_outputs, self.kernel_volume), self.n_inputs)
        table[pairs.output_rows, pairs.offset] = pairs.input_rows
        return table

    @property
    def slots(self) -> Int[Tensor, " n_outputs"] | None:
        """Input row * K + offset, where every output meets exactly one input; otherwise None."""
        return None

    def cached(self, name: object, build: Callable[[], Cached]) -> Cached:
        """Return what an engine built under this name before, or build it now."""
        if name not in self._cache:
            self._cache[name] = build()
        return self._cache[name]  # pyright: ignore[reportReturnType] (the name fixes the type)

    def reversed(self) -> "Plan":
        """The same pairs with inputs and outputs swapped; no data is copied."""
        return _Reversed(self)


class _Neighbours(Plan):
    """Every voxel and those around it.

    Args:
        keys: of a support, which itself would make a cycle that is freed late.
        kernel_size: odd.
    """

    def __init__(self, keys: Tensor, kernel_size: int) -> None:
        super().__init__(kernel_size**3, len(keys), len(keys), keys.device)
        self._keys, self._kernel_size = keys, kernel_size
        self.centre = self.kernel_volume // 2

    def _find_pairs(self) -> Pairs:
        # Columns up to the one through the centre: the rest joins the same pairs.
        columns = self._kernel_size**2 // 2 + 1
        neighbour, there = _find_in_columns(self._keys, self._kernel_size, columns)
        neighbour, there = neighbour[: self.centre], there[: self.centre]
        found = there.flatten().nonzero().squeeze(1)
        half = there.sum(1).tolist()
        inputs, outputs = neighbour.flatten()[found], found % max(self.n_outputs, 1)
        mirrored_inputs, mirrored_outputs = outputs.split(half)[::-1], inputs.split(half)[::-1]
        return Pairs(
            input_rows=torch.cat([inputs, *mirrored_inputs]),
            output_rows=torch.cat([outputs, *mirrored_outputs]),
            counts=[*half, 0, *reversed(half)],
            n_outputs=self.n_outputs,
        )

    def _find_table(self) -> Tensor:
        reach = self._kernel_size // 2
        offsets = kernel_offsets(self._kernel_size)
        steps = tuple(pack_step(x - reach, y - reach, z - reach) for x, y, z in offsets)
        wanted = self._keys[:, None] + constant(steps, self.device)
        row = torch.searchsorted(self._keys, wanted).clamp_(max=max(self.n_inputs - 1, 0))
        return row.masked_fill_(self._keys[row] != wanted, self.n_inputs)


class _Halving(Plan):
    """Kernels side by side: each input meets one offset of one output.

    Args:
        output_row: int64 [n] of each input.
        offset: int64 [n] of each input.
        kernel_volume: number of offsets.
        n_outputs: rows of the output.
    """

    def __init__(
        self, output_row: Tensor, offset: Tensor, kernel_volume: int, n_outputs: int
    ) -> None:
        super().__init__(kernel_volume, len(output_row), n_outputs, output_row.device)
        self.output_row, self.offset = output_row, offset

    def _find_pairs(self) -> Pairs:
        inputs = torch.argsort(self.offset, stable=True)
        counts = torch.bincount(self.offset, minlength=self.kernel_volume).tolist()
        return Pairs(inputs, self.output_row[inputs], counts, self.n_outputs)

    def _find_table(self) -> Tensor:
        row = self.output_row
        table = row.new_full((self.n_outputs * self.kernel_volume,), self.n_inputs)
        table.scatter_(0, self.slots_of_reversed, torch.arange(len(row), device=row.device))
        return table.view(self.n_outputs, self.kernel_volume)

    @cached_property
    def slots_of_reversed(self) -> Tensor:
        """`slots` the other way round."""
        return self.output_row * self.kernel_volume + self.offset

    def reversed(self) -> Plan:
        """As `Plan.reversed`."""
        return _ReversedHalving(self)


class _Listed(Plan):
    """Any pairs."""

    def __init__(self, pairs: Pairs, n_inputs: int) -> None:
        super().__init__(len(pairs.counts), n_inputs, pairs.n_outputs, pairs.input_rows.device)
        self._pairs = pairs

    def _find_pairs(self) -> Pairs:
        return self._pairs


class _Reversed(Plan):
    """Another plan the other way round; what is found for it is kept with that one.

    Two plans that knew each other would make a cycle that is freed late.
    """

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.kernel_volume, plan.n_outputs, plan.n_inputs, plan.device)
        self._plan, self.centre = plan, plan.centre

    def _find_pairs(self) -> Pairs:
        pairs = self._plan.pairs
        return Pairs(pairs.output_rows, pairs.input_rows, pairs.counts, self.n_outputs)

    def _find_table(self) -> Tensor:
        return super()._find_table() if self.centre is None else self._plan.table.flip(1)

    def cached(self, name: object, build: Callable[[], Cached]) -> Cached:
        return self._plan.cached(("reversed", name), build)

    def reversed(self) -> Plan:
        return self._plan


class _ReversedHalving(_Reversed):
    """Each output meets one offset of one input."""

    _plan: _Halving

    def _find_table(self) -> Tensor:
        row, offset = self._plan.output_row, self._plan.offset
        table = row.new_full((self.n_outputs, self.kernel_volume), self.n_inputs)
        return table.scatter_(1, offset[:, None], row[:, None])

    @property
    def slots(self) -> Tensor:
        return self._plan.slots_of_reversed


def kernel_offsets(kernel_size: int) -> tuple[tuple[int, ...], ...]:
    """Kernel positions 0 .. kernel_size - 1 along each axis, in the order of the weights."""
    return tuple(product(range(kernel_size), repeat=3))


def submanifold_plan(support: Support, kernel_size: int) -> Plan:
    """Plan of a convolution whose output support is its input support.

    Args:
        support: the active voxels.
        kernel_size: odd; the kernel is centred.

    Raises:
        ValueError: the kernel size is even or not positive.
    """
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size {kernel_size} must be odd and at least 1")
    name = ("submanifold", kernel_size)
    return support.cached(name, lambda: _Neighbours(support.keys, kernel_size))


def strided_plan(support: Support, kernel_size: int, stride: int) -> tuple[Plan, Support]:
    """Plan of a strided convolution, and the coarser support that it reaches.

    Output cell o and kernel position k meet input voxel o * stride + k - (kernel_size - 1) // 2,
    as `torch.nn.Conv3d` with that padding; every output cell that meets an input is active.

    Raises:
        ValueError: kernel size or stride is not positive.
    """
    if kernel_size < 1 or stride < 1:
        raise ValueError(f"kernel_size {kernel_size} and stride {stride} must be at least 1")
    name = ("strided", kernel_size, stride)
    if kernel_size == stride == 2:
        return support.cached(name, lambda: _build_halving(support))
    return support.cached(name, lambda: _build_strided(support, kernel_size, stride))


def inverse_plan(coarse: Support, fine: Support, kernel_size: int) -> Plan:
    """Plan that carries features from a coarser support back to a finer one.

    Raises:
        ValueError: the strides or batch sizes don't fit.
    """
    ratio, rest = divmod(coarse.stride, fine.stride)
    if rest or ratio < 1 or coarse.batch_size != fine.batch_size:
        raise ValueError(
            f"can't go from stride {coarse.stride}, batch size {coarse.batch_size} to stride"
            f" {fine.stride}, batch size {fine.batch_size}"
        )
    forward, reached = strided_plan(fine, kernel_size, ratio)
    if reached is coarse or torch.equal(reached.keys, coarse.keys):
        return forward.reversed()
    return _redirect_inputs(forward.reversed().pairs, *coarse.find(reached.keys), len(coarse))


def children_plan(parent: Tensor, octant: Tensor, n_parents: int) -> Plan:
    """Plan from parents to their 2x2x2 children.

    Args:
        parent: int64 [n], row of each child's parent.
        octant: int64 [n], which of the parent's children it is.
        n_parents: rows of the input.
    """
    return _Halving(parent, octant, 8, n_parents).reversed()


def _find_in_columns(
    keys: Tensor, kernel_size: int, columns: int
) -> tuple[Int[Tensor, "k n"], Bool[Tensor, "k n"]]:
    """Row of each voxel's neighbour in the kernel's first columns, and whether it is there.

    Neighbours along z follow each other in the order of keys: one search serves a whole column.
    """
    reach = kernel_size // 2
    starts = [offset for offset in kernel_offsets(kernel_size) if offset[2] == 0][:columns]
    step = tuple(pack_step(x - reach, y - reach, -reach) for x, y, _ in starts)
    key = keys + constant(step, keys.device)[:, None]
    row = torch.searchsorted(keys, key)
    padded = torch.cat([keys, keys.new_full((1,), -1)])
    neighbour, there = [], []
    for z in range(kernel_size):
        neighbour.append(row)
        there.append(padded[row] == key + z)
        row = row + there[-1]
    return torch.stack(neighbour, dim=1).flatten(0, 1), torch.stack(there, dim=1).flatten(0, 1)


def _build_halving(support: Support) -> tuple[Plan, Support]:
    """Kernels side by side: each voxel meets one offset of one output cell."""
    parents, offset = halve_keys(support.keys)
    coarse, row = _reach(support, parents, 2)
    return _Halving(row, offset, 8, len(coarse)), coarse


def _build_strided(support: Support, kernel_size: int, stride: int) -> tuple[Plan, Support]:
    """Kernels that overlap or leave gaps: a voxel meets several offsets, or none."""
    shifted = support.coords[:, 1:] + (kernel_size - 1) // 2
    offsets = constant(kernel_offsets(kernel_size), shifted.device)
    side = torch.arange(kernel_size, device=shifted.device)[:, None, None]
    # Of all offsets, a voxel meets those that leave no rest along any axis.
    x, y, z = ((shifted - side) % stride == 0).unbind(2)
    there = (x[:, None, None] & y[:, None] & z).flatten(0, 2)
    offset, inputs = there.nonzero(as_tuple=True)
    cell = torch.div(shifted[inputs] - offsets[offset], stride, rounding_mode="floor")
    reached = torch.cat([support.coords[inputs, :1], cell], dim=1)
    coarse, outputs = _reach(support, pack_keys(reached), stride)
    pairs = Pairs(inputs, outputs, there.sum(1).tolist(), len(coarse))
    return _Listed(pairs, len(support)), coarse


def _reach(
    support: Support, keys: Int[Tensor, " m"], stride: int
) -> tuple[Support, Int[Tensor, " m"]]:
    """The coarser support of all cells that are met, and the row of each meeting."""
    unique, row = torch.unique(keys, return_inverse=True)
    return Support(unique, support.batch_size, support.stride * stride), row


def _redirect_inputs(
    pairs: Pairs, row: Int[Tensor, " m"], there: Bool[Tensor, " m"], n_inputs: int
) -> Plan:
    kept = there[pairs.input_rows]
    inputs, outputs = row[pairs.input_rows[kept]], pairs.output_rows[kept]
    counts = [int(part.sum()) for part in kept.split(pairs.counts)]
    return _Listed(Pairs(inputs, outputs, counts, pairs.n_outputs), n_inputs)
