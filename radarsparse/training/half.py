"""Weights in half precision, cast together."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from radarsparse.training.stages import Stage, TrainingBatch


class HalfStage(nn.Module):
    """A stage whose products under autocast find their weights cast, in two launches for all.

    Autocast casts every weight by itself, and so its gradient: several hundred launches. The
    stage's own weights stay as they are.
    """

    def __init__(self, stage: Stage, dtype: torch.dtype) -> None:
        super().__init__()
        self.stage, self._dtype = stage, dtype
        named: dict[str, nn.Parameter] = {}
        for place, module in stage.named_modules():
            # Norms and losses compute in single precision.
            if not (isinstance(module, nn.LayerNorm) or place.startswith("perceptual")):
                named |= module.named_parameters(place, recurse=False)
        self._trained = {name: weight for name, weight in named.items() if weight.requires_grad}
        self._frozen = {name: named[name] for name in named.keys() - self._trained.keys()}

    def forward(self, training: TrainingBatch) -> dict[str, Tensor]:
        """As the stage."""
        trained = _Cast.apply(self._dtype, *self._trained.values())
        cast = dict(zip(self._trained, trained, strict=True))
        frozen = _cast(tuple(self._frozen.values()), self._dtype)
        cast |= zip(self._frozen, frozen, strict=True)
        return functional_call(self.stage, cast, (training,), tie_weights=False)


class _Cast(torch.autograd.Function):
    """Weights to half precision, gradients to single precision."""

    @staticmethod
    def forward(ctx: Any, dtype: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        return tuple(_cast(weights, dtype))

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] (the decorator's type)
        ctx: Any, *grad_outputs: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        given = tuple(grad for grad in grad_outputs if grad is not None)
        wide = iter(_cast(given, torch.float32))
        return None, *(None if grad is None else next(wide) for grad in grad_outputs)


@torch.no_grad()
def _cast(tensors: tuple[Tensor, ...], dtype: torch.dtype) -> list[Tensor]:
    cast = [torch.empty(tensor.shape, dtype=dtype, device=tensor.device) for tensor in tensors]
    if cast:
        torch._foreach_copy_(cast, tensors)  # pyright: ignore[reportPrivateImportUsage]
    return cast
