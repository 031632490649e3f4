"""Autocast of the pretended device: that of the CPU, made to cast what that of CUDA casts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.amp import autocast_mode

# In float32 under CUDA's autocast, left alone under the CPU's.
_IN_FLOAT32 = (
    *("acos", "asin", "cosh", "cumprod", "cumsum", "dist", "erfinv", "exp", "expm1", "log"),
    *("log10", "log1p", "log2", "log_softmax.int", "logsumexp", "pow.Scalar", "pow.Tensor_Scalar"),
    *("pow.Tensor_Tensor", "reciprocal", "rsqrt", "sinh", "softmax.int", "softplus", "sum", "tan"),
    *("sum.dim_IntList", "layer_norm", "native_layer_norm", "group_norm", "rms_norm"),
    *("linalg_vector_norm", "norm.Scalar", "norm.ScalarOpt_dim"),
)
_AUTOCAST = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU)


@contextmanager
def cuda_autocast() -> Iterator[None]:
    """`torch.autocast("cuda")` casts, and says so."""
    library = torch.library.Library("aten", "IMPL", "AutocastCPU")
    for name in _IN_FLOAT32:
        library.impl(name, _in_float32(_operation(name)))
    enter, leave = autocast_mode.autocast.__enter__, autocast_mode.autocast.__exit__

    def enter_both(self: Any) -> Any:
        if self.device == "cuda":
            self.on_cpu = torch.autocast("cpu", self.fast_dtype, self._enabled)
            enter(self.on_cpu)
        return enter(self)

    def leave_both(self: Any, *error: Any) -> Any:
        left = leave(self, *error)
        if self.device == "cuda":
            leave(self.on_cpu, *error)
        return left

    try:
        with (
            patch.object(autocast_mode.autocast, "__enter__", enter_both),
            patch.object(autocast_mode.autocast, "__exit__", leave_both),
        ):
            yield
    finally:
        library._destroy()


def _operation(name: str) -> Any:
    packet, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, packet), overload or "default")


def _in_float32(operation: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(_AUTOCAST):
            return operation(*map(_widen, args), **kwargs)

    return run


def _widen(value: Any) -> Any:
    narrow = isinstance(value, Tensor) and value.dtype in (torch.bfloat16, torch.float16)
    return value.float() if narrow else value
