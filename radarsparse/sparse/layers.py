"""Convolution layers on sparse tensors; weights [K, c_in, c_out] serve every engine."""

import math

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from radarsparse.sparse.engines import convolve
from radarsparse.sparse.ops import children
from radarsparse.sparse.plan import inverse_plan, strided_plan, submanifold_plan
from radarsparse.sparse.tensor import SparseTensor


class _Conv3d(nn.Module):
    """Parameters of a convolution: kernel offsets in lexicographic (dx, dy, dz) order.

    Args:
        c_in: input channels.
        c_out: output channels.
        kernel_size: side of the kernel.
        bias: add a learned constant per channel.
    """

    def __init__(self, c_in: int, c_out: int, kernel_size: int = 2, bias: bool = True) -> None:
        super().__init__()
        if kernel_size < 1:
            raise ValueError(f"kernel_size {kernel_size} must be at least 1")
        self.kernel_size = kernel_size
        self.weight = nn.Parameter(torch.empty(kernel_size**3, c_in, c_out))
        self.bias = nn.Parameter(torch.empty(c_out)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias as `torch.nn.Conv3d` does."""
        bound = 1.0 / math.sqrt(self.weight.shape[0] * self.weight.shape[1])
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        _, c_in, c_out = self.weight.shape
        return f"{c_in}, {c_out}, kernel_size={self.kernel_size}, bias={self.bias is not None}"


class SubmanifoldConv3d(_Conv3d):
    """Convolution whose output support is its input support.

    Args:
        kernel_size: odd.

    Source: Graham et al. 2018, 3D Semantic Segmentation with Submanifold Sparse ConvNets.
    """

    def __init__(self, c_in: int, c_out: int, kernel_size: int = 3, bias: bool = True) -> None:
        super().__init__(c_in, c_out, kernel_size, bias)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve on the support of `x`."""
        plan = submanifold_plan(x.support, self.kernel_size)
        return x.replace(convolve(x.feats, self.weight, plan, self.bias))


class StridedConv3d(_Conv3d):
    """Convolution onto a coarser grid: every output cell that meets an input is active.

    Padding is (kernel_size - 1) // 2, as in `torch.nn.Conv3d(..., padding=...)`.

    Args:
        stride: ratio of the grids.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel_size: int = 2, stride: int = 2, bias: bool = True
    ) -> None:
        super().__init__(c_in, c_out, kernel_size, bias)
        self.stride = stride

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve onto the grid of `x.stride * self.stride`."""
        plan, coarse = strided_plan(x.support, self.kernel_size, self.stride)
        return SparseTensor.on(coarse, convolve(x.feats, self.weight, plan, self.bias))


class InverseConv3d(_Conv3d):
    """Transposed convolution back onto a finer support that is already known.

    Args:
        kernel_size: that of the strided convolution it answers.
    """

    def forward(self, x: SparseTensor, like: SparseTensor) -> SparseTensor:
        """Carry `x` to the support of `like`, whose stride divides that of `x`."""
        plan = inverse_plan(x.support, like.support, self.kernel_size)
        return like.replace(convolve(x.feats, self.weight, plan, self.bias))


class Subdivide(_Conv3d):
    """Replaces each voxel by its 2x2x2 children, or by those that a mask keeps."""

    def __init__(self, c_in: int, c_out: int, bias: bool = True) -> None:
        super().__init__(c_in, c_out, 2, bias)

    def forward(self, x: SparseTensor, keep: Bool[Tensor, "n 8"] | None = None) -> SparseTensor:
        """Features of the children.

        Args:
            x: the parents, at an even stride.
            keep: which children exist, in lexicographic (dx, dy, dz) order; all by default.
        """
        fine, plan = children(x.support, keep)
        return SparseTensor.on(fine, convolve(x.feats, self.weight, plan, self.bias))
