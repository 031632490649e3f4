"""Plans: which input row meets which kernel offset at which output row."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TypeVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from radarsparse.sparse.tensor import Support, pack_keys, pack_step, unpack_keys

Offset = tuple[int, int, int]
Cached = TypeVar("Cached")
# Rows of a run are counted in 16 bits.
_RUN_ROWS_MAX = 1 << 15


@dataclass(frozen=True)
class Block:
    """The pairs that lead to a run of output rows.

    Attributes:
        rows: the run of output rows.
        input_rows: int64 [p], grouped by kernel offset.
        output_rows: int64 [p].
        counts: number of pairs of each of the K offsets.
        order: int64 [p], the pairs sorted by output row.
        row_bounds: int64 [rows + 1]; output row r owns order[row_bounds[r] .. row_bounds[r + 1]].
        centre: that of the plan.
    """

    rows: slice
    input_rows: Int[Tensor, " p"]
    output_rows: Int[Tensor, " p"]
    counts: list[int]
    order: Int[Tensor, " p"]
    row_bounds: Int[Tensor, " r"]
    centre: int | None


@dataclass(frozen=True, eq=False)
class Plan:
    """The topology of one convolution, apart from weights and execution.

    Pairs are grouped by kernel offset, offsets in lexicographic (dx, dy, dz) order; within one
    offset input rows and output rows both ascend.

    Attributes:
        input_rows: int64 [p].
        output_rows: int64 [p].
        counts: number of pairs of each of the K offsets.
        n_inputs: rows of the input.
        n_outputs: rows of the output.
        centre: the offset that joins every row with itself, if there is one; its pairs are left
            out of the lists. The plan is then symmetric: offset K - 1 - k holds the pairs of
            offset k the other way round.
    """

    input_rows: Int[Tensor, " p"]
    output_rows: Int[Tensor, " p"]
    counts: list[int]
    n_inputs: int
    n_outputs: int
    centre: int | None = None
    _cache: dict[object, object] = field(default_factory=dict, init=False, repr=False)

    def cached(self, name: object, build: Callable[[], Cached]) -> Cached:
        """Return what an engine built under this name before, or build it now."""
        if name not in self._cache:
            self._cache[name] = build()
        return self._cache[name]  # pyright: ignore[reportReturnType] (the name fixes the type)

    def reversed(self) -> "Plan":
        """The same pairs with inputs and outputs swapped; no data is copied."""
        return self._reversed

    @cached_property
    def _reversed(self) -> "Plan":
        return Plan(
            self.output_rows,
            self.input_rows,
            self.counts,
            self.n_outputs,
            self.n_inputs,
            self.centre,
        )

    def blocks(self, pairs_most: int) -> list[Block]:
        """The pairs by runs of output rows, ready to be executed.

        Args:
            pairs_most: how many pairs a run may have on average.
        """
        runs = max(1, math.ceil(len(self.input_rows) / pairs_most))
        length = min(max(1, math.ceil(self.n_outputs / runs)), _RUN_ROWS_MAX)
        return self.cached(("blocks", length), lambda: self._make_blocks(length))

    def _make_blocks(self, length: int) -> list[Block]:
        if self.n_outputs <= length:
            rows = slice(0, self.n_outputs)
            return [self._make_block(rows, self.input_rows, self.output_rows, self.counts)]
        starts = range(0, self.n_outputs, length)
        runs = [slice(start, min(start + length, self.n_outputs)) for start in starts]
        cuts = self._cut(length)
        return [self._take_block(rows, cut) for rows, cut in zip(runs, cuts, strict=True)]

    def _cut(self, length: int) -> list[list[tuple[int, int]]]:
        """Per run of output rows, where its pairs start and end in the list of every offset."""
        number = torch.repeat_interleave(torch.tensor(self.counts)).to(self.output_rows.device)
        starts = torch.arange(0, self.n_outputs + length, length, device=number.device)
        starts = starts.clamp(max=self.n_outputs)
        offsets = torch.arange(len(self.counts), device=number.device)[:, None]
        ascending = number * self.n_outputs + self.output_rows
        cuts = torch.searchsorted(ascending, offsets * self.n_outputs + starts).T.tolist()
        return [list(zip(first, last, strict=True)) for first, last in pairwise(cuts)]

    def _take_block(self, rows: slice, cuts: list[tuple[int, int]]) -> Block:
        inputs = torch.cat([self.input_rows[start:end] for start, end in cuts])
        outputs = torch.cat([self.output_rows[start:end] for start, end in cuts])
        return self._make_block(rows, inputs, outputs, [end - start for start, end in cuts])

    def _make_block(
        self, rows: slice, input_rows: Tensor, output_rows: Tensor, counts: list[int]
    ) -> Block:
        # 16 bits sort faster.
        local = (output_rows - rows.start).to(torch.int16)
        per_row = torch.bincount(local, minlength=rows.stop - rows.start).cumsum(0)
        return Block(
            rows=rows,
            input_rows=input_rows,
            output_rows=output_rows,
            counts=counts,
            order=torch.argsort(local, stable=True),
            row_bounds=torch.cat([per_row.new_zeros(1), per_row]),
            centre=self.centre,
        )


def kernel_offsets(kernel_size: int) -> list[Offset]:
    """Kernel positions 0 .. kernel_size - 1 along each axis, in the order of the weights."""
    side = range(kernel_size)
    return [(x, y, z) for x in side for y in side for z in side]


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
    return support.cached(name, lambda: _build_submanifold(support, kernel_size))


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
    build = _build_tiling if kernel_size == stride else _build_strided
    return support.cached(name, lambda: build(support, kernel_size, stride))


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
    return _redirect_inputs(forward.reversed(), *coarse.find(reached.keys), len(coarse))


def _build_submanifold(support: Support, kernel_size: int) -> Plan:
    neighbour, there = _find_first_half(support, kernel_size)
    found = there.flatten().nonzero().squeeze(1)
    half = there.sum(1).tolist()
    inputs, outputs = neighbour.flatten()[found], found % max(len(support), 1)
    # The opposite offset joins the same pairs the other way round.
    mirrored_inputs, mirrored_outputs = outputs.split(half)[::-1], inputs.split(half)[::-1]
    return Plan(
        input_rows=torch.cat([inputs, *mirrored_inputs]),
        output_rows=torch.cat([outputs, *mirrored_outputs]),
        counts=[*half, 0, *reversed(half)],
        n_inputs=len(support),
        n_outputs=len(support),
        centre=len(half),
    )


def _find_first_half(
    support: Support, kernel_size: int
) -> tuple[Int[Tensor, "half n"], Bool[Tensor, "half n"]]:
    """Row of each voxel's neighbour at the offsets before the centre, and whether it is there.

    Neighbours along z follow each other in the order of keys: one search serves a whole column.
    """
    reach = kernel_size // 2
    columns = [offset for offset in kernel_offsets(kernel_size) if offset[2] == 0]
    columns = columns[: len(columns) // 2 + 1]
    step = [pack_step(x - reach, y - reach, -reach) for x, y, _ in columns]
    key = support.keys + support.keys.new_tensor(step)[:, None]
    row = torch.searchsorted(support.keys, key)
    padded = torch.cat([support.keys, support.keys.new_full((1,), -1)])
    neighbour, there = [], []
    for z in range(kernel_size):
        neighbour.append(row)
        there.append(padded[row] == key + z)
        row = row + there[-1]
    half = kernel_size**3 // 2
    return (
        torch.stack(neighbour, dim=1).flatten(0, 1)[:half],
        torch.stack(there, dim=1).flatten(0, 1)[:half],
    )


def _build_tiling(support: Support, kernel_size: int, stride: int) -> tuple[Plan, Support]:
    """Kernels side by side: each voxel meets one offset of one output cell."""
    shifted = support.coords[:, 1:] + (kernel_size - 1) // 2
    cell = torch.div(shifted, stride, rounding_mode="floor")
    place = shifted.new_tensor([stride**2, stride, 1])
    offset = ((shifted - cell * stride) * place).sum(1)
    inputs = torch.argsort(offset, stable=True)
    counts = torch.bincount(offset, minlength=kernel_size**3).tolist()
    coarse, row = _reach(support, torch.cat([support.coords[:, :1], cell], dim=1), stride)
    return Plan(inputs, row[inputs], counts, len(support), len(coarse)), coarse


def _build_strided(support: Support, kernel_size: int, stride: int) -> tuple[Plan, Support]:
    """Kernels that overlap or leave gaps: a voxel meets several offsets, or none."""
    shifted = support.coords[:, 1:] + (kernel_size - 1) // 2
    offsets = support.coords.new_tensor(kernel_offsets(kernel_size))
    side = torch.arange(kernel_size, device=shifted.device)[:, None, None]
    # Of all offsets, a voxel meets those that leave no rest along any axis.
    x, y, z = ((shifted - side) % stride == 0).unbind(2)
    there = (x[:, None, None] & y[:, None] & z).flatten(0, 2)
    offset, inputs = there.nonzero(as_tuple=True)
    cell = torch.div(shifted[inputs] - offsets[offset], stride, rounding_mode="floor")
    reached = torch.cat([support.coords[inputs, :1], cell], dim=1)
    coarse, outputs = _reach(support, reached, stride)
    counts = there.sum(1).tolist()
    return Plan(inputs, outputs, counts, len(support), len(coarse)), coarse


def _reach(
    support: Support, cells: Int[Tensor, "m 4"], stride: int
) -> tuple[Support, Int[Tensor, " m"]]:
    """The coarser support of all cells that are met, and the row of each meeting."""
    keys, row = torch.unique(pack_keys(cells), return_inverse=True)
    return Support(unpack_keys(keys), support.batch_size, support.stride * stride, keys), row


def _redirect_inputs(
    plan: Plan, row: Int[Tensor, " m"], there: Bool[Tensor, " m"], n_inputs: int
) -> Plan:
    kept = there[plan.input_rows]
    inputs, outputs = row[plan.input_rows[kept]], plan.output_rows[kept]
    counts = [int(part.sum()) for part in kept.split(plan.counts)]
    return Plan(inputs, outputs, counts, n_inputs, plan.n_outputs)
