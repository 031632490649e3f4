"""Plans: which input row meets which kernel offset at which output row."""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from radarsparse.sparse.tensor import Support, pack_keys, pack_step, unique_coords

Offset = tuple[int, int, int]

# Few enough rows that a block's gathered features stay in the processor's cache.
BLOCK_ROWS = 4096


@dataclass(frozen=True)
class Block:
    """The pairs that lead to a run of output rows.

    Attributes:
        rows: the run of output rows.
        input_rows: int64 [p], grouped by kernel offset.
        output_rows: int64 [p].
        bounds: K + 1 positions; offset k owns the pairs bounds[k] .. bounds[k + 1].
        order: int64 [p], the pairs sorted by output row.
        row_bounds: int64 [rows + 1]; output row r owns order[row_bounds[r] .. row_bounds[r + 1]].
    """

    rows: slice
    input_rows: Int[Tensor, " p"]
    output_rows: Int[Tensor, " p"]
    bounds: tuple[int, ...]
    order: Int[Tensor, " p"]
    row_bounds: Int[Tensor, " r"]


@dataclass(frozen=True)
class Plan:
    """The topology of one convolution, apart from weights and execution.

    Pairs are grouped by kernel offset, offsets in lexicographic (dx, dy, dz) order; within one
    offset no input row and no output row occurs twice.

    Attributes:
        input_rows: int64 [p].
        output_rows: int64 [p].
        bounds: K + 1 positions; offset k owns the pairs bounds[k] .. bounds[k + 1].
        n_inputs: rows of the input.
        n_outputs: rows of the output.
        identity: the offset that joins every row with itself, if there is one; its pairs are
            left out of the lists.
    """

    input_rows: Int[Tensor, " p"]
    output_rows: Int[Tensor, " p"]
    bounds: tuple[int, ...]
    n_inputs: int
    n_outputs: int
    identity: int | None = None

    def reversed(self) -> "Plan":
        """The same pairs with inputs and outputs swapped; no data is copied."""
        return self._reversed

    @cached_property
    def _reversed(self) -> "Plan":
        return Plan(
            self.output_rows,
            self.input_rows,
            self.bounds,
            self.n_outputs,
            self.n_inputs,
            self.identity,
        )

    @cached_property
    def blocks(self) -> list[Block]:
        """The pairs by runs of output rows, ready to be executed."""
        counts = [end - start for start, end in pairwise(self.bounds)]
        offset = torch.repeat_interleave(torch.tensor(counts)).to(self.output_rows.device)
        number = self.output_rows // BLOCK_ROWS
        blocks = []
        for index, first in enumerate(range(0, self.n_outputs, BLOCK_ROWS)):
            rows = slice(first, min(first + BLOCK_ROWS, self.n_outputs))
            mine = slice(None) if self.n_outputs <= BLOCK_ROWS else number == index
            pairs = self.input_rows[mine], self.output_rows[mine]
            blocks.append(_make_block(rows, *pairs, offset[mine], len(counts)))
        return blocks


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
    return _redirect_inputs(forward.reversed(), *coarse.find(reached.keys), len(coarse))


def _make_block(
    rows: slice, input_rows: Tensor, output_rows: Tensor, offset: Tensor, offsets: int
) -> Block:
    per_offset = torch.bincount(offset, minlength=offsets).cumsum(0)
    per_row = torch.bincount(output_rows - rows.start, minlength=rows.stop - rows.start).cumsum(0)
    return Block(
        rows=rows,
        input_rows=input_rows,
        output_rows=output_rows,
        bounds=(0, *per_offset.tolist()),
        order=torch.argsort(output_rows, stable=True),
        row_bounds=torch.cat([per_row.new_zeros(1), per_row]),
    )


def _build_submanifold(support: Support, kernel_size: int) -> Plan:
    reach = kernel_size // 2
    centre = kernel_size**3 // 2
    rows = torch.arange(len(support), device=support.keys.device)
    first_half = []
    for x, y, z in kernel_offsets(kernel_size)[:centre]:
        step = pack_step(x - reach, y - reach, z - reach)
        neighbour, there = support.find(support.keys + step)
        first_half.append((neighbour[there], rows[there]))
    nothing = rows[:0]
    # The opposite offset joins the same pairs the other way round.
    second_half = [(outputs, inputs) for inputs, outputs in reversed(first_half)]
    pairs = [*first_half, (nothing, nothing), *second_half]
    return _join_pairs(pairs, len(support), len(support), identity=centre)


def _build_strided(support: Support, kernel_size: int, stride: int) -> tuple[Plan, Support]:
    coords = support.coords
    rows = torch.arange(len(support), device=coords.device)
    padding = (kernel_size - 1) // 2
    cells, sources = [], []
    for offset in kernel_offsets(kernel_size):
        reached = coords[:, 1:] + padding - coords.new_tensor(offset)
        there = (reached % stride == 0).all(1)
        cell = torch.div(reached[there], stride, rounding_mode="floor")
        cells.append(torch.cat([coords[there, :1], cell], dim=1))
        sources.append(rows[there])
    reached = torch.cat(cells)
    coarse = Support(unique_coords(reached), support.batch_size, support.stride * stride)
    found = coarse.find(pack_keys(reached))[0]
    outputs = found.split([len(source) for source in sources])
    pairs = list(zip(sources, outputs, strict=True))
    return _join_pairs(pairs, len(support), len(coarse), identity=None), coarse


def _join_pairs(
    pairs: list[tuple[Tensor, Tensor]], n_inputs: int, n_outputs: int, identity: int | None
) -> Plan:
    bounds = [0]
    for inputs, _ in pairs:
        bounds.append(bounds[-1] + len(inputs))
    input_rows = torch.cat([inputs for inputs, _ in pairs])
    output_rows = torch.cat([outputs for _, outputs in pairs])
    return Plan(input_rows, output_rows, tuple(bounds), n_inputs, n_outputs, identity)


def _redirect_inputs(
    plan: Plan, row: Int[Tensor, " m"], there: Bool[Tensor, " m"], n_inputs: int
) -> Plan:
    pairs = []
    for start, end in pairwise(plan.bounds):
        inputs, outputs = plan.input_rows[start:end], plan.output_rows[start:end]
        kept = there[inputs]
        pairs.append((row[inputs[kept]], outputs[kept]))
    return _join_pairs(pairs, n_inputs, plan.n_outputs, identity=None)
