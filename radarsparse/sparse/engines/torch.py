"""The engine in plain PyTorch operations: any device, deterministic on CPU."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from radarsparse.sparse.plan import Block, Plan


class TorchEngine:
    """Per block of output rows: gather all inputs, one product per offset, sum by output row."""

    def conv(self, feats: Tensor, weight: Tensor, plan: Plan) -> Tensor:
        """Convolve along a plan.

        Args:
            feats: [n_inputs, c_in]; half precision is computed in float32.
            weight: [K, c_in, c_out].
            plan: the pairs.

        Returns:
            [n_outputs, c_out] in the dtype of `feats`.
        """
        wide = torch.promote_types(feats.dtype, torch.float32)
        out = _Conv.apply(feats.to(wide), weight.to(wide), plan)
        assert isinstance(out, Tensor)
        return out.to(feats.dtype)


class _Conv(torch.autograd.Function):
    """Saves only features, weight and plan."""

    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, plan: Plan) -> Tensor:
        ctx.save_for_backward(feats, weight)
        ctx.plan = plan
        return _accumulate(feats, weight, plan)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator's type)
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None]:
        feats, weight = ctx.saved_tensors
        grad = grad_outputs[0].contiguous()
        wants_feats, wants_weight, _ = ctx.needs_input_grad
        back = ctx.plan.reversed()
        grad_feats = _accumulate(grad, weight.transpose(1, 2), back) if wants_feats else None
        grad_weight = _weight_gradient(feats, grad, weight, ctx.plan) if wants_weight else None
        return grad_feats, grad_weight, None


def _accumulate(feats: Tensor, weight: Tensor, plan: Plan) -> Tensor:
    out = feats.new_empty(plan.n_outputs, weight.shape[2])
    for block in plan.blocks:
        gathered = feats.index_select(0, block.input_rows)
        products = feats.new_empty(len(gathered), weight.shape[2])
        for k, (start, end) in enumerate(pairwise(block.bounds)):
            if end > start:
                torch.mm(gathered[start:end], weight[k], out=products[start:end])
        out[block.rows] = _sum_by_row(products, block)
        if plan.identity is not None:
            out[block.rows].addmm_(feats[block.rows], weight[plan.identity])
    return out


def _sum_by_row(products: Tensor, block: Block) -> Tensor:
    if len(products) == 0:
        return products.new_zeros(len(block.row_bounds) - 1, products.shape[1])
    return F.embedding_bag(
        block.order, products, block.row_bounds, mode="sum", include_last_offset=True
    )


def _weight_gradient(feats: Tensor, grad: Tensor, weight: Tensor, plan: Plan) -> Tensor:
    grad_weight = torch.zeros_like(weight)
    for block in plan.blocks:
        inputs = feats.index_select(0, block.input_rows)
        outputs = grad.index_select(0, block.output_rows)
        for k, (start, end) in enumerate(pairwise(block.bounds)):
            if end > start:
                grad_weight[k].addmm_(inputs[start:end].T, outputs[start:end])
        if plan.identity is not None:
            grad_weight[plan.identity].addmm_(feats[block.rows].T, grad[block.rows])
    return grad_weight
