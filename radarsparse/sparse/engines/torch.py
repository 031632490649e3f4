"""The engine in plain PyTorch operations: any device, deterministic.

On CUDA it goes by tables, elsewhere by lists of pairs.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from radarsparse.sparse.engines.table import convolve_by_table
from radarsparse.sparse.plan import Pairs, Plan

Matrices = tuple[Tensor, ...]

# Of one operand; beyond it, caches and the allocator slow down.
BLOCK_BYTES = 1 << 23
# So few pairs are not worth cutting, whatever the share of memory.
BLOCK_PAIRS_MIN = 1 << 12
# Rows of a run are counted in 16 bits.
_RUN_ROWS_MAX = 1 << 15


@dataclass(frozen=True)
class RowRun:
    """The pairs that lead to a run of output rows.

    Attributes:
        rows: the run of output rows.
        input_rows: int64 [p], grouped by kernel offset.
        output_rows: int64 [p].
        counts: number of pairs of each of the K offsets.
        order: int64 [p], the pairs sorted by output row.
        row_bounds: int64 [rows + 1]; output row r owns order[row_bounds[r] .. row_bounds[r + 1]].
    """

    rows: slice
    input_rows: Int[Tensor, " p"]
    output_rows: Int[Tensor, " p"]
    counts: list[int]
    order: Int[Tensor, " p"]
    row_bounds: Int[Tensor, " r"]


class TorchEngine:
    """Per block of output rows: gather all inputs, one product per offset, sum by output row."""

    def conv(self, feats: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan) -> Tensor:
        """As `radarsparse.sparse.engines.convolve`; half is computed in float32, but on CUDA."""
        if feats.is_cuda:
            return convolve_by_table(feats, weight, bias, plan)
        wide = torch.promote_types(feats.dtype, torch.float32)
        out = _ConvByPairs.apply(feats.to(wide), weight.to(wide), plan)
        assert isinstance(out, Tensor)
        out = out.to(feats.dtype)
        return out if bias is None else out + bias


class _ConvByPairs(torch.autograd.Function):
    """Saves only features, weight and plan."""

    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, plan: Plan) -> Tensor:
        ctx.save_for_backward(feats, weight)
        ctx.plan = plan
        return _convolve(feats, weight.unbind(0), plan)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator's type)
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        feats, weight = ctx.saved_tensors
        grad_weight = torch.zeros_like(weight)
        matrices, grad_matrices = weight.transpose(1, 2).unbind(0), grad_weight.unbind(0)
        plan = ctx.plan
        if plan.centre is None:
            plan = plan.reversed()
        else:  # A symmetric plan is its own reverse with the kernel mirrored.
            matrices, grad_matrices = matrices[::-1], grad_matrices[::-1]
        grad = grad_outputs[0].contiguous()
        return _convolve_back(grad, feats, matrices, grad_matrices, plan), grad_weight, None


def _convolve(feats: Tensor, matrices: Matrices, plan: Plan) -> Tensor:
    out = feats.new_empty(plan.n_outputs, matrices[0].shape[1])
    for block in runs_of(plan, matrices[0]):
        gathered = feats.index_select(0, block.input_rows)
        out[block.rows] = _execute(gathered, feats, matrices, block, plan.centre)
        del gathered  # before the next one is made
    return out


def _convolve_back(
    grad: Tensor, feats: Tensor, matrices: Matrices, grad_matrices: Matrices, plan: Plan
) -> Tensor:
    """Gradient of the features along the reversed plan; adds that of the weight in place."""
    grad_feats = grad.new_empty(plan.n_outputs, matrices[0].shape[1])
    for block in runs_of(plan, matrices[0]):
        gathered = grad.index_select(0, block.input_rows)
        grad_feats[block.rows] = _execute(gathered, grad, matrices, block, plan.centre)
        _add_weight_gradient(grad_matrices, feats, gathered, block)
        del gathered
        if plan.centre is not None:
            grad_matrices[plan.centre].addmm_(feats[block.rows].T, grad[block.rows])
    return grad_feats


def _add_weight_gradient(
    grad_matrices: Matrices, feats: Tensor, gathered: Tensor, block: RowRun
) -> None:
    met = feats.index_select(0, block.output_rows)
    parts = zip(met.split(block.counts), gathered.split(block.counts), strict=True)
    for grad_matrix, (inputs, outputs) in zip(grad_matrices, parts, strict=True):
        grad_matrix.addmm_(inputs.T, outputs)


def runs_of(plan: Plan, matrix: Tensor) -> list[RowRun]:
    """Runs of rows whose gathered features stay near the processor and small beside all."""
    near = BLOCK_BYTES // (max(matrix.shape) * matrix.element_size())
    small = max(BLOCK_PAIRS_MIN, 3 * plan.n_outputs // 2)
    runs = max(1, math.ceil(len(plan.pairs.input_rows) / min(near, small)))
    length = min(max(1, math.ceil(plan.n_outputs / runs)), _RUN_ROWS_MAX)
    return plan.cached(("blocks", length), lambda: _make_runs(plan.pairs, length))


def _make_runs(pairs: Pairs, length: int) -> list[RowRun]:
    """Pairs by runs of output rows of a length, the last of which may be shorter."""
    inputs, outputs = pairs.input_rows, pairs.output_rows
    if pairs.n_outputs <= length:
        return [_make_run(slice(0, pairs.n_outputs), inputs, outputs, pairs.counts)]
    blocks = []
    for start, cuts in zip(range(0, pairs.n_outputs, length), _cut(pairs, length), strict=True):
        rows = slice(start, min(start + length, pairs.n_outputs))
        met, reached = (
            torch.cat([each[first:end] for first, end in cuts]) for each in (inputs, outputs)
        )
        blocks.append(_make_run(rows, met, reached, [end - first for first, end in cuts]))
    return blocks


def _cut(pairs: Pairs, length: int) -> list[list[tuple[int, int]]]:
    """Per run of output rows, where its pairs start and end in the list of every offset."""
    number, n_outputs = pairs.offset, pairs.n_outputs
    starts = torch.arange(0, n_outputs + length, length, device=number.device)
    starts = starts.clamp(max=n_outputs)
    offsets = torch.arange(len(pairs.counts), device=number.device)[:, None]
    ascending = number * n_outputs + pairs.output_rows
    cuts = torch.searchsorted(ascending, offsets * n_outputs + starts).T.tolist()
    return [list(zip(first, last, strict=True)) for first, last in pairwise(cuts)]


def _make_run(rows: slice, input_rows: Tensor, output_rows: Tensor, counts: list[int]) -> RowRun:
    # 16 bits sort faster.
    local = (output_rows - rows.start).to(torch.int16)
    per_row = torch.bincount(local, minlength=rows.stop - rows.start).cumsum(0)
    return RowRun(
        rows=rows,
        input_rows=input_rows,
        output_rows=output_rows,
        counts=counts,
        order=torch.argsort(local, stable=True),
        row_bounds=torch.cat([per_row.new_zeros(1), per_row]),
    )


def _execute(
    gathered: Tensor, feats: Tensor, matrices: Matrices, block: RowRun, centre: int | None
) -> Tensor:
    """Output rows of a block from the features that its pairs gathered."""
    products = gathered.new_empty(len(gathered), matrices[0].shape[1])
    sources, results = gathered.split(block.counts), products.split(block.counts)
    for matrix, source, result in zip(matrices, sources, results, strict=True):
        torch.mm(source, matrix, out=result)
    bounds = block.row_bounds
    if len(products) == 0:
        total = products.new_zeros(len(bounds) - 1, products.shape[1])
    else:
        total = F.embedding_bag(block.order, products, bounds, mode="sum", include_last_offset=True)
    if centre is not None:
        # In place, as all products here: autocast leaves those alone.
        total.addmm_(feats[block.rows], matrices[centre])
    return total
