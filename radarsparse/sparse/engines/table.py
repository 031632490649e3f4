"""Convolution by tables: one gather and one product per layer, and no wait for the device.

It computes more than there is, zeros where a kernel offset meets nothing, and suits a GPU, where
launches and waits cost more than products. Shapes follow from shapes alone: a CUDA graph can hold
it once the plan's table is there.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from radarsparse.sparse.engines.gather import gather_rows
from radarsparse.sparse.plan import Plan

# Of gathered features at once.
GATHERED_BYTES_MOST = 1 << 29


def convolve_by_table(feats: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan) -> Tensor:
    """As `radarsparse.sparse.engines.convolve`, of features, weight and bias of one dtype.

    It multiplies in that dtype; sums of half precision are those of the device's matrix product,
    float32 on CUDA.
    """
    if not torch.is_grad_enabled():  # what autograd asks of the host takes as long as all the rest
        return _convolve(feats, weight, bias, plan)
    out = _ConvByTable.apply(feats, weight, bias, plan)
    assert isinstance(out, Tensor)
    return out


class _ConvByTable(torch.autograd.Function):
    """Saves only features, weight and plan."""

    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan) -> Tensor:
        ctx.save_for_backward(feats, weight)
        ctx.plan, ctx.has_bias = plan, bias is not None
        return _convolve(feats, weight, bias, plan)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator's type)
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None, None]:
        feats, weight = ctx.saved_tensors
        plan: Plan = ctx.plan
        back, transposed = plan.reversed(), weight.transpose(1, 2)
        grad = grad_outputs[0].contiguous()
        grad_bias = grad.sum(0) if ctx.has_bias else None
        if back.slots is not None:
            parts = _gather(feats, plan.table)
            grad_weight = _sum([gathered.T @ grad[rows] for gathered, rows in parts])
            grad_feats = _convolve(grad, transposed, None, back)
            return grad_feats, grad_weight.view_as(weight), grad_bias, None
        grad_feats, met = _convolve_back(grad, transposed, back.table, feats)
        grad_weight = met.view(len(weight), *weight.shape[:0:-1]).transpose(1, 2)
        return grad_feats, grad_weight, grad_bias, None


def _convolve(feats: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan) -> Tensor:
    if plan.slots is not None:
        taken = multiply_slots(feats, weight, plan.slots)
        return taken if bias is None else taken + bias
    return multiply_gathered(feats, weight, bias, plan.table, GATHERED_BYTES_MOST)


def multiply_gathered(
    feats: Tensor, weight: Tensor, bias: Tensor | None, table: Tensor, bytes_most: int
) -> Tensor:
    """Sum of weighted features that each row of a table names, so many bytes of them at once."""
    matrix = weight.flatten(0, 1)
    parts = [_multiply(gathered, matrix, bias) for gathered, _ in _gather(feats, table, bytes_most)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def multiply_slots(feats: Tensor, weight: Tensor, slots: Tensor) -> Tensor:
    """One input per output: products come first, and then those that are wanted are taken."""
    products = feats @ weight.transpose(0, 1).flatten(1)
    return products.view(-1, weight.shape[2]).index_select(0, slots)


def _multiply(feats: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    return feats @ matrix if bias is None else torch.addmm(bias, feats, matrix)


def _convolve_back(
    grad: Tensor, transposed: Tensor, table: Tensor, feats: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradient of the features, and [K * c_out, c_in] of the weight, from one gather."""
    matrix, parts, met = transposed.flatten(0, 1), [], []
    for gathered, rows in _gather(grad, table):
        parts.append(gathered @ matrix)
        met.append(gathered.T @ feats[rows])
    return parts[0] if len(parts) == 1 else torch.cat(parts), _sum(met)


def _sum(parts: list[Tensor]) -> Tensor:
    """Half precision is summed in float32."""
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)


def gathered_bytes(feats: Tensor, plan: Plan) -> int:
    """What a layer gathers in all, in whatever parts."""
    return plan.n_outputs * plan.kernel_volume * feats.shape[1] * feats.element_size()


def _gather(
    feats: Tensor, table: Tensor, bytes_most: int = GATHERED_BYTES_MOST
) -> Iterator[tuple[Tensor, slice]]:
    """Features that each row of a table names, side by side, and which rows they are.

    Yields:
        [m, K * c], zero where nothing is met, and the run of m rows.
    """
    rows, offsets = table.shape
    bytes_each = offsets * feats.shape[1] * feats.element_size()
    length = max(bytes_most // max(bytes_each, 1), 1)
    for start in range(0, max(rows, 1), length):
        part = table[start : start + length]
        yield gather_rows(feats, part), slice(start, start + len(part))
