"""Blocks that the networks are built of."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from radarsparse.sparse import SparseTensor, StridedConv3d, SubmanifoldConv3d

Output = TypeVar("Output")


class Checkpointable(nn.Module):
    """A module that can keep its parts' inputs instead of everything the backward pass needs.

    Attributes:
        keeps_activations: otherwise each part runs a second time, in the backward pass.
    """

    keeps_activations = True

    def run(self, part: Callable[..., Output], *inputs: object) -> Output:
        """Run a part of this module; the supports that it makes must be cached in its inputs'."""
        if self.keeps_activations:
            return part(*inputs)
        return cast(Output, checkpoint(part, *inputs, use_reentrant=False))


def checkpoint_activations(network: nn.Module) -> None:
    """Trade time for memory: keep the inputs of parts only, and run them again where needed.

    Gradients stay the same bits, dropout included.

    Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost.
    """
    for module in network.modules():
        if isinstance(module, Checkpointable):
            module.keeps_activations = False


class ResidualBlock(Checkpointable):
    """Two submanifold convolutions beside an identity, each after a norm over channels.

    Args:
        channels: width, kept.
        dropout: share of features dropped before the second convolution.
    """

    def __init__(self, channels: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.conv1 = SubmanifoldConv3d(channels, channels)
        self.norm2 = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = SubmanifoldConv3d(channels, channels)
        zero_parameters(self.conv2)

    def forward(self, x: SparseTensor, modulation: Tensor | None = None) -> SparseTensor:
        """Refine features on their support.

        Args:
            x: [n, channels].
            modulation: [b, 2 * channels] scale and shift of each sample after the second norm, or
                none.
        """
        return x.replace(x.feats + self.conv2(self.run(self._branch, x, modulation)).feats)

    def refine(self, x: SparseTensor) -> SparseTensor:
        """The same without modulation, inside a part of something larger."""
        return x.replace(x.feats + self.conv2(self._branch(x, None)).feats)

    def _branch(self, x: SparseTensor, modulation: Tensor | None) -> SparseTensor:
        """All but the last convolution, which needn't run again since it keeps only its input."""
        hidden = self.conv1(x.replace(nn.functional.silu(self.norm1(x.feats))))
        feats = self.norm2(hidden.feats)
        if modulation is not None:
            rows = modulation.index_select(0, x.coords[:, 0])
            scale, shift = rows.chunk(2, dim=1)
            feats = feats * (1.0 + scale) + shift
        return x.replace(self.dropout(nn.functional.silu(feats)))


class ChannelBlock(Checkpointable):
    """Two linear layers beside an identity: refines every voxel by itself.

    Args:
        channels: width, kept.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.linear1 = nn.Linear(channels, 2 * channels)
        self.linear2 = nn.Linear(2 * channels, channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Refine [n, channels]."""
        return self.run(self.refine, x)

    def refine(self, x: SparseTensor) -> SparseTensor:
        """The same inside a part of something larger."""
        hidden = nn.functional.silu(self.linear1(self.norm(x.feats)))
        return x.replace(x.feats + self.linear2(hidden))


Block = ResidualBlock | ChannelBlock
BLOCKS = {1: ChannelBlock, 3: ResidualBlock}
"""By the side of what a voxel sees, in voxels."""


class Pyramid(Checkpointable):
    """Features at every stride: a block each, halved in between.

    Args:
        c_in: input channels.
        channels: widths at strides 1, 2, 4 and so on.
        block: makes a block of a width; `ResidualBlock` sees neighbours, `ChannelBlock` doesn't.
    """

    def __init__(self, c_in: int, channels: Sequence[int], block: Callable[[int], Block]) -> None:
        super().__init__()
        self.stem = nn.Linear(c_in, channels[0])
        self.blocks = nn.ModuleList(block(width) for width in channels)
        self.downs = nn.ModuleList(
            StridedConv3d(fine, coarse) for fine, coarse in pairwise(channels)
        )

    def forward(self, x: SparseTensor) -> list[SparseTensor]:
        """One tensor per stride, finest first."""
        levels = [x]
        for number in range(len(self.blocks)):
            levels.append(self.run(self._refine_at, levels[-1], number))
        return levels[1:]

    def _refine_at(self, x: SparseTensor, number: int) -> SparseTensor:
        x = self.downs[number - 1](x) if number else x.replace(self.stem(x.feats))
        return cast(Block, self.blocks[number]).refine(x)


class FourierEmbedding(nn.Module):
    """Cosines and sines of one number at fixed frequencies.

    Args:
        channels: even; half cosines, half sines.
    """

    frequencies: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        frequencies = torch.logspace(-1.0, 1.5, channels // 2)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, value: Tensor) -> Tensor:
        """Map [n, 1] to [n, channels]."""
        phase = value * self.frequencies
        return torch.cat([phase.cos(), phase.sin()], dim=1)


def zero_parameters(module: nn.Module) -> None:
    """Set all parameters to zero, so that a residual branch starts as nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
