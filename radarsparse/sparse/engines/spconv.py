"""Adapter to spconv 2: its kernels execute our plans, with index pairs made from the plan."""

import importlib
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from radarsparse.sparse.engines.torch import TorchEngine
from radarsparse.sparse.plan import Plan, strided_plan, submanifold_plan
from radarsparse.sparse.tensor import Support

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # spconv imports what newer packages deprecate
    _ops: Any = importlib.import_module("spconv.pytorch.ops")
    _NATIVE: Any = importlib.import_module("spconv.core").ConvAlgo.Native

_DTYPES = {"cpu": (torch.float32, torch.float64), "cuda": (torch.float16, torch.float32)}
# One bit per kernel offset in a signed 32-bit mask.
_OFFSETS_MAX = 31
_BYTES_MAX = 2**31 - 1
# Rounding of sums of some hundred products; GPUs may use 10 bits of them (TF32).
_TRIAL_TOLERANCE = {torch.float16: 2e-2, torch.float32: 5e-3, torch.float64: 1e-9}
_ALL_OFFSETS = [np.array([0xFFFFFFFF], dtype=np.uint32)]


class SpconvEngine:
    """Implicit GEMM on CUDA; on CPU tensors spconv's `Native`, a yardstick for numbers."""

    def refuses(self, feats: Tensor, weight: Tensor, plan: Plan) -> str | None:
        """Why spconv can't execute this convolution, None if it can."""
        kind = feats.device.type
        if kind not in _DTYPES:
            return f"device {kind!r} must be one of {', '.join(_DTYPES)}"
        if _compute_dtype(feats) not in _DTYPES[kind]:
            return f"dtype {feats.dtype} on {kind} must be one of {_DTYPES[kind]}"
        offsets, c_in, c_out = weight.shape
        if offsets > _OFFSETS_MAX:
            return f"kernel of {offsets} offsets: at most {_OFFSETS_MAX}"
        bytes_each = _compute_dtype(feats).itemsize
        bytes_most = max(plan.n_inputs * c_in, plan.n_outputs * c_out) * bytes_each
        if bytes_most > _BYTES_MAX:
            return f"features of {bytes_most} bytes: at most {_BYTES_MAX}"
        return find_fault(feats.device, _compute_dtype(feats))

    def conv(self, feats: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan) -> Tensor:
        """As `radarsparse.sparse.engines.convolve`; bfloat16 is computed in float32."""
        if _meets_nothing(feats, plan):
            # spconv's kernels can't start on nothing, and no pairs leave the centre at most.
            return TorchEngine().conv(feats, weight, bias, plan)
        dtype = _compute_dtype(feats)
        function = _ImplicitGemm if feats.is_cuda else _Native
        out = function.apply(feats.to(dtype), weight.to(dtype), plan)
        assert isinstance(out, Tensor)
        out = out.to(feats.dtype)
        return out if bias is None else out + bias


def _meets_nothing(feats: Tensor, plan: Plan) -> bool:
    if feats.is_cuda:  # where to count pairs would be to wait for them
        return plan.n_inputs == 0 or plan.n_outputs == 0
    return not any(plan.pairs.counts)


def _compute_dtype(feats: Tensor) -> torch.dtype:
    narrow = (torch.bfloat16,) if feats.is_cuda else (torch.bfloat16, torch.float16)
    return torch.float32 if feats.dtype in narrow else feats.dtype


@lru_cache
def find_fault(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why spconv can't be trusted on a device: its first use is a trial against our engine.

    Its wheels hold kernels for some GPUs only, and what they lack shows when they are called.
    """
    # A full box of unequal sides: every kernel offset is met, and no two axes can be swapped.
    box = torch.cartesian_prod(*map(torch.arange, (1, 4, 5, 6)))
    try:
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(device.type, enabled=False),
        ):
            support = Support.of(box.to(device), 1, 1)
            plans = (submanifold_plan(support, 3), strided_plan(support, 3, 2)[0])
            errors = [_trial_error(plan, device, dtype) for plan in plans]
    except Exception as error:  # whatever its kernels raise
        return f"a trial on {device} failed: {error}"
    if max(errors) > _TRIAL_TOLERANCE[dtype]:
        return f"a trial on {device} erred by {max(errors):g}: at most {_TRIAL_TOLERANCE[dtype]:g}"
    return None


def _trial_error(plan: Plan, device: torch.device, dtype: torch.dtype) -> float:
    """Largest relative error of output and gradients against our engine in float32 or better."""
    generator = torch.Generator().manual_seed(0)
    feats = torch.randn(plan.n_inputs, 16, generator=generator).to(device, dtype)
    weight = 0.1 * torch.randn(plan.kernel_volume, 16, 32, generator=generator).to(device, dtype)
    results = []
    for engine in (SpconvEngine(), TorchEngine()):
        leaves = feats.clone().requires_grad_(), weight.clone().requires_grad_()
        out = engine.conv(*leaves, None, plan)
        results.append([out.detach(), *torch.autograd.grad(out.square().sum(), leaves)])
    pairs = zip(*results, strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


class _Native(torch.autograd.Function):
    """Gather, product and scatter per kernel offset."""

    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, plan: Plan) -> Tensor:
        ctx.save_for_backward(feats, weight)
        ctx.plan = plan
        pairs, counts = _make_pairs(plan)
        subm = plan.centre is not None
        with torch.autocast("cpu", enabled=False):  # it calls torch's products
            return _ops.indice_conv(
                feats, _to_krsc(weight), pairs, counts, plan.n_outputs, False, subm, _NATIVE
            )

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator's type)
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        feats, weight = ctx.saved_tensors
        plan: Plan = ctx.plan
        pairs, counts = _make_pairs(plan)
        subm = plan.centre is not None
        grad = grad_outputs[0].contiguous()
        with torch.autocast("cpu", enabled=False):
            grad_feats, grad_weight = _ops.indice_conv_backward(
                feats, _to_krsc(weight), grad, pairs, counts, False, subm, _NATIVE
            )
        return grad_feats, _from_krsc(grad_weight), None


class _ImplicitGemm(torch.autograd.Function):
    """One kernel per direction that gathers while it multiplies."""

    @staticmethod
    def forward(ctx: Any, feats: Tensor, weight: Tensor, plan: Plan) -> Tensor:
        ctx.save_for_backward(feats, weight)
        ctx.plan = plan
        table = _Table.of(plan)
        out, ctx.mask_out, ctx.mask_width = _ops.implicit_gemm(
            feats.contiguous(),
            _to_krsc(weight),
            *(table.pairs, [table.mask], [table.order], plan.n_outputs, _ALL_OFFSETS),
            *(any(ctx.needs_input_grad), False),
        )
        return out

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator's type)
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        feats, weight = ctx.saved_tensors
        plan: Plan = ctx.plan
        table, back = _Table.of(plan), _Table.of(plan.reversed())
        grad_feats, grad_weight = _ops.implicit_gemm_backward(
            feats.contiguous(),
            _to_krsc(weight),
            grad_outputs[0].contiguous(),
            *(table.pairs, back.pairs, [table.mask], [back.mask], [table.order], [back.order]),
            *(ctx.mask_out, _ALL_OFFSETS, ctx.mask_width, False),
        )
        return grad_feats, _from_krsc(grad_weight), None


@dataclass(frozen=True)
class _Table:
    """Which input row meets each offset at each output row, and rows of like offsets together.

    Attributes:
        pairs: int32 [K, n_outputs], -1 where no input is.
        mask: int32 [n_outputs, 1], ascending: bit k is set where offset k has an input.
        order: int32 [n_outputs], the output row that each mask belongs to.
    """

    pairs: Tensor
    mask: Tensor
    order: Tensor

    @staticmethod
    def of(plan: Plan) -> "_Table":
        return plan.cached("spconv table", lambda: _Table._build(plan))

    @staticmethod
    def _build(plan: Plan) -> "_Table":
        table = plan.table.int()
        pairs = table.masked_fill(table == plan.n_inputs, -1).T.contiguous()
        bit = 1 << torch.arange(len(pairs), device=pairs.device)
        mask, order = ((pairs >= 0) * bit[:, None]).sum(0).sort()
        return _Table(pairs, mask.int()[:, None], order.int())


def _make_pairs(plan: Plan) -> tuple[Tensor, Tensor]:
    """Input and output rows int32 [2, K, most], and the number of pairs int32 [K]."""
    return plan.cached("spconv pairs", lambda: _build_pairs(plan))


def _build_pairs(plan: Plan) -> tuple[Tensor, Tensor]:
    listed, counts = plan.pairs, torch.tensor(plan.pairs.counts)
    place = torch.arange(len(listed.offset)) - (counts.cumsum(0) - counts)[listed.offset]
    pairs = torch.full((2, len(counts), max(listed.counts)), -1, dtype=torch.int32)
    pairs[0, listed.offset, place] = listed.input_rows.int()
    pairs[1, listed.offset, place] = listed.output_rows.int()
    return pairs, counts.int()


def _to_krsc(weight: Tensor) -> Tensor:
    """[K, c_in, c_out] to spconv's [c_out, side, side, side, c_in]."""
    side = round(len(weight) ** (1 / 3))
    c_in, c_out = weight.shape[1:]
    return weight.permute(2, 0, 1).reshape(c_out, side, side, side, c_in).contiguous()


def _from_krsc(weight: Tensor) -> Tensor:
    return weight.flatten(1, 3).permute(1, 2, 0)
