"""The engine in plain PyTorch operations: any device, deterministic.

On CUDA it goes by tables, elsewhere by lists of pairs.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from radarsparse.sparse.engines.table import convolve_by_table
from radarsparse.sparse.pairs import Block
from radarsparse.sparse.plan import Plan

Matrices = tuple[Tensor, ...]

# Of one operand; beyond it, caches and the allocator slow down.
BLOCK_BYTES = 1 << 23
# So few pairs are not worth cutting, whatever the share of memory.
BLOCK_PAIRS_MIN = 1 << 12


class TorchEngine:
    """Per block of output rows: gather all inputs, one product per offset, sum by output row."""

    def conv(self, feats: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan) -> Tensor:
        """Convolve along a plan.

        Args:
            feats: [n_inputs, c_in]; half precision is computed in float32, but on CUDA.
            weight: [K, c_in, c_out].
            bias: [c_out], or none.
            plan: the pairs.

        Returns:
            [n_outputs, c_out] in the dtype that `feats` and `bias` have together.
        """
        if feats.is_cuda:
            return convolve_by_table(feats, weight, bias, plan)
        wide = torch.promote_types(feats.dtype, torch.float32)
        out = _Conv.apply(feats.to(wide), weight.to(wide), plan)
        assert isinstance(out, Tensor)
        out = out.to(feats.dtype)
        return out if bias is None else out + bias


class _Conv(torch.autograd.Function):
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
    for block in _blocks(plan, matrices[0]):
        gathered = feats.index_select(0, block.input_rows)
        out[block.rows] = _run_block(gathered, feats, matrices, block, plan.centre)
        del gathered  # before the next one is made
    return out


def _convolve_back(
    grad: Tensor, feats: Tensor, matrices: Matrices, grad_matrices: Matrices, plan: Plan
) -> Tensor:
    """Gradient of the features along the reversed plan; adds that of the weight in place."""
    grad_feats = grad.new_empty(plan.n_outputs, matrices[0].shape[1])
    for block in _blocks(plan, matrices[0]):
        gathered = grad.index_select(0, block.input_rows)
        grad_feats[block.rows] = _run_block(gathered, grad, matrices, block, plan.centre)
        _add_weight_gradient(grad_matrices, feats, gathered, block)
        del gathered
        if plan.centre is not None:
            grad_matrices[plan.centre].addmm_(feats[block.rows].T, grad[block.rows])
    return grad_feats


def _add_weight_gradient(
    grad_matrices: Matrices, feats: Tensor, gathered: Tensor, block: Block
) -> None:
    met = feats.index_select(0, block.output_rows)
    parts = zip(met.split(block.counts), gathered.split(block.counts), strict=True)
    for grad_matrix, (inputs, outputs) in zip(grad_matrices, parts, strict=True):
        grad_matrix.addmm_(inputs.T, outputs)


def _blocks(plan: Plan, matrix: Tensor) -> list[Block]:
    """Runs of rows whose gathered features stay near the processor and small beside all."""
    near = BLOCK_BYTES // (max(matrix.shape) * matrix.element_size())
    small = max(BLOCK_PAIRS_MIN, 3 * plan.n_outputs // 2)
    return plan.pairs.blocks(min(near, small))


def _run_block(
    gathered: Tensor, feats: Tensor, matrices: Matrices, block: Block, centre: int | None
) -> Tensor:
    """Output rows of a block from the features that its pairs gathered."""
    products = gathered.new_empty(len(gathered), matrices[0].shape[1])
    sources, results = gathered.split(block.counts), products.split(block.counts)
    for matrix, source, result in zip(matrices, sources, results, strict=True):
        torch.mm(source, matrix, out=result)
    total = _sum_by_row(products, block)
    if centre is not None:
        # In place, as all products here: autocast leaves those alone.
        total.addmm_(feats[block.rows], matrices[centre])
    return total


def _sum_by_row(products: Tensor, block: Block) -> Tensor:
    if len(products) == 0:
        return products.new_zeros(len(block.row_bounds) - 1, products.shape[1])
    return F.embedding_bag(
        block.order, products, block.row_bounds, mode="sum", include_last_offset=True
    )
