"""Convolution by tables in bfloat16, for inference on processors that multiply it.

One gather and one product per part of the rows, as many as stay near the processor. It computes
zeros, too, where a kernel offset meets nothing, and is faster for being even.
"""

from functools import lru_cache
from pathlib import Path

from torch import Tensor

from radarsparse.sparse.engines.table import multiply_gathered, multiply_slots
from radarsparse.sparse.plan import Plan

# Of gathered features at once; found on a processor with 1 MiB of cache for each core.
GATHERED_BYTES_MOST = 1 << 21
# By Linux's names: of x86, with its tiles or without them, and of Arm.
_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
_PROCESSOR = Path("/proc/cpuinfo")


class PackedEngine:
    """Rounds features and weights to bfloat16; sums are the processor's, in float32."""

    def conv(self, feats: Tensor, weight: Tensor, bias: Tensor | None, plan: Plan) -> Tensor:
        """As `radarsparse.sparse.engines.convolve`, without gradients.

        Where inputs are x and weights w, it errs by at most 2^-8 (sum |w x| + |result|), half of
        it from x and w and half from the result.
        """
        rounded, matrices = feats.bfloat16(), weight.bfloat16()
        if plan.slots is not None:
            out = multiply_slots(rounded, matrices, plan.slots)
        else:
            out = multiply_gathered(rounded, matrices, None, plan.table, GATHERED_BYTES_MOST)
        out = out.to(feats.dtype)
        return out if bias is None else out + bias


@lru_cache(maxsize=1)
def multiplies_bfloat16() -> bool:
    """Whether this processor has products of bfloat16; False where it doesn't say so."""
    if not _PROCESSOR.is_file():
        return False
    lines = _PROCESSOR.read_text(errors="replace").splitlines()
    named = [line.split(":", 1)[1] for line in lines if line.startswith(("flags", "Features"))]
    return bool(named) and not _FLAGS.isdisjoint(named[0].split())
