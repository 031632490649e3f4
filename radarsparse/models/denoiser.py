"""The denoiser: a sparse U-Net on the full lattice, conditioned on the radar."""

import torch
from torch import Tensor, nn

from radarsparse.config import DenoiserSettings
from radarsparse.models.blocks import FourierEmbedding, Pyramid, ResidualBlock, zero_parameters
from radarsparse.models.state import BINARY_CHANNELS
from radarsparse.sparse import InverseConv3d, SparseTensor, StridedConv3d, fill
from radarsparse.voxels.scene import CELL_FEATURES
from radarsparse.voxels.voxelize import FOOTPRINT_FEATURES, RADAR_FEATURES

_LABEL_CHANNELS = 64
_HEAD_CHANNELS = 128
_FLAG_LOG_ODDS_AT_START = -3.5
_PRESENCE_LOG_ODDS_AT_START = -1.5


class ModulatedBlocks(nn.Module):
    """Residual blocks at one stride, each modulated by the noise level."""

    def __init__(self, channels: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(channels, dropout) for _ in range(blocks))
        self.modulations = nn.ModuleList(
            nn.Linear(_LABEL_CHANNELS, 2 * channels) for _ in range(blocks)
        )
        for modulation in self.modulations:
            zero_parameters(modulation)

    def forward(self, x: SparseTensor, label: Tensor) -> SparseTensor:
        """Refine `x`; label [b, _LABEL_CHANNELS] is one row per sample."""
        for block, modulation in zip(self.blocks, self.modulations, strict=True):
            x = block(x, modulation(label))
        return x


class Denoiser(nn.Module):
    """Noisy state on the lattice to what is said of the clean one, before preconditioning.

    Args:
        settings: widths at strides 8, 16, 32 and of the condition encoder.
        latent_channels: channels of the latent; `BINARY_CHANNELS` come on top.
    """

    def __init__(self, settings: DenoiserSettings, latent_channels: int) -> None:
        super().__init__()
        width, width2, width4 = settings.channels
        blocks, dropout = settings.blocks, settings.dropout
        state_channels = latent_channels + BINARY_CHANNELS
        # Its weights are its own, never the LiDAR encoder's.
        self.condition = Pyramid(RADAR_FEATURES, settings.condition_channels, ResidualBlock)
        self.context = nn.Linear(settings.condition_channels[-1] + 1 + CELL_FEATURES, width)
        self.stem = nn.Linear(state_channels, width)
        self.label = nn.Sequential(
            FourierEmbedding(_LABEL_CHANNELS),
            nn.Linear(_LABEL_CHANNELS, _LABEL_CHANNELS),
            nn.SiLU(),
            nn.Linear(_LABEL_CHANNELS, _LABEL_CHANNELS),
            nn.SiLU(),
        )
        self.enter = ModulatedBlocks(width, 1, dropout)
        self.down2 = StridedConv3d(width, width2)
        self.enter2 = ModulatedBlocks(width2, blocks, dropout)
        self.down4 = StridedConv3d(width2, width4)
        self.middle = ModulatedBlocks(width4, blocks, dropout)
        self.up2 = InverseConv3d(width4, width2)
        self.leave2 = ModulatedBlocks(width2, blocks, dropout)
        self.up = InverseConv3d(width2, width)
        self.leave = ModulatedBlocks(width, blocks, dropout)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, _HEAD_CHANNELS)
        self.head = nn.Linear(_HEAD_CHANNELS, state_channels)
        zero_parameters(self.head)
        # An untrained head that believed in half of all voxels would take long to unlearn it.
        nn.init.constant_(self.head.bias[-BINARY_CHANNELS:-1], _FLAG_LOG_ODDS_AT_START)
        nn.init.constant_(self.head.bias[-1:], _PRESENCE_LOG_ODDS_AT_START)

    def see(self, radar: SparseTensor, cells: SparseTensor) -> SparseTensor:
        """Condition of every lattice cell; the same for all denoising steps of a frame.

        Args:
            radar: as of a `Scene`, or of several one after another.
            cells: the same.
        """
        coarse = self.condition(radar)[-1]
        here = coarse.replace(torch.cat([coarse.feats, torch.ones_like(coarse.feats[:, :1])], 1))
        filled = fill(here, cells.support)
        return cells.replace(self.context(torch.cat([filled.feats, cells.feats], dim=1)))

    def see_nothing(self, cells: SparseTensor) -> SparseTensor:
        """The condition of `see` where the radar tells nothing; position and beams are left."""
        feats = nn.functional.pad(cells.feats[:, :-FOOTPRINT_FEATURES], (0, FOOTPRINT_FEATURES))
        nothing = feats.new_zeros(len(feats), self.context.in_features - CELL_FEATURES)
        return cells.replace(self.context(torch.cat([nothing, feats], dim=1)))

    def forward(self, state: Tensor, label: Tensor, context: SparseTensor) -> Tensor:
        """Run the U-Net.

        Args:
            state: [n, latent_channels + BINARY_CHANNELS], scaled noisy features of all lattice
                rows.
            label: [b, 1], noise label of each sample.
            context: of `see`.
        """
        embedded = self.label(label)
        x = self.enter(context.replace(self.stem(state) + context.feats), embedded)
        x2 = self.enter2(self.down2(x), embedded)
        x4 = self.middle(self.down4(x2), embedded)
        up2 = self.up2(x4, x2)
        x2 = self.leave2(up2.replace(up2.feats + x2.feats), embedded)
        up = self.up(x2, x)
        x = self.leave(up.replace(up.feats + x.feats), embedded)
        wide = self.widen(nn.functional.silu(self.norm(x.feats)))
        return self.head(nn.functional.silu(wide))
