"""Blocks that the networks are built of."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from radarsparse.sparse import SparseTensor, StridedConv3d, SubmanifoldConv3d


class ResidualBlock(nn.Module):
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
            modulation: [n, 2 * channels] scale and shift after the second norm, or none.
        """
        hidden = self.conv1(x.replace(nn.functional.silu(self.norm1(x.feats))))
        feats = self.norm2(hidden.feats)
        if modulation is not None:
            scale, shift = modulation.chunk(2, dim=1)
            feats = feats * (1.0 + scale) + shift
        hidden = self.conv2(x.replace(self.dropout(nn.functional.silu(feats))))
        return x.replace(x.feats + hidden.feats)


class ChannelBlock(nn.Module):
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
        hidden = nn.functional.silu(self.linear1(self.norm(x.feats)))
        return x.replace(x.feats + self.linear2(hidden))


class Pyramid(nn.Module):
    """Features at every stride: a block each, halved in between.

    Args:
        c_in: input channels.
        channels: widths at strides 1, 2, 4 and so on.
        block: makes a block of a width; `ResidualBlock` sees neighbours, `ChannelBlock` doesn't.
    """

    def __init__(
        self, c_in: int, channels: Sequence[int], block: Callable[[int], nn.Module]
    ) -> None:
        super().__init__()
        self.stem = nn.Linear(c_in, channels[0])
        self.blocks = nn.ModuleList(block(width) for width in channels)
        self.downs = nn.ModuleList(
            StridedConv3d(fine, coarse) for fine, coarse in pairwise(channels)
        )

    def forward(self, x: SparseTensor) -> list[SparseTensor]:
        """One tensor per stride, finest first."""
        levels = [self.blocks[0](x.replace(self.stem(x.feats)))]
        for down, block in zip(self.downs, self.blocks[1:], strict=True):
            levels.append(block(down(levels[-1])))
        return levels


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
