"""Denoising and decoding tile by tile, for volumes whose activations don't fit into memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from radarsparse.config import LATTICE_STRIDE, SamplingSettings, VolumeSettings
from radarsparse.errors import InputError
from radarsparse.models.denoiser import Denoiser
from radarsparse.sparse import SparseTensor, prune
from radarsparse.voxels.scene import Scene

Decode = Callable[[Tensor, Tensor, Scene, SamplingSettings], SparseTensor]

# Bounds of tiles are multiples of it, so that no cell of stride 16 or 32 is cut.
ALIGNMENT = 4
# A voxel sees 2 neighbours at strides 1, 2 and 4, that is less than 2 cells of stride 8, and 2
# there.
_DECODER_REACH = 4
LENGTH_MAX_M = 1e6


@dataclass(frozen=True)
class Tile:
    """A rectangle of lattice cells, from `low` up to but not including `high`, any z."""

    low: tuple[int, int]
    high: tuple[int, int]

    def grow(self, cells: int) -> "Tile":
        """The same with so many more cells on every side."""
        (x0, y0), (x1, y1) = self.low, self.high
        return Tile((x0 - cells, y0 - cells), (x1 + cells, y1 + cells))

    def holds(self, coords: Int[Tensor, "n 4"]) -> Bool[Tensor, " n"]:
        """Which (batch, x, y, z) lattice cells lie in the tile."""
        ground = coords[:, 1:3]
        low, high = ground.new_tensor(self.low), ground.new_tensor(self.high)
        return ((ground >= low) & (ground < high)).all(1)


def make_tiles(coords: Int[Tensor, "n 4"], side: int) -> Iterator[Tile]:
    """Tiles side by side that hold all given lattice cells; none is empty.

    Args:
        coords: (batch, x, y, z) cells of stride 8.
        side: of a tile in cells, a multiple of `ALIGNMENT`.
    """
    number = torch.div(coords[:, 1:3], side, rounding_mode="floor")
    for x, y in torch.unique(number, dim=0).tolist():
        yield Tile((x * side, y * side), ((x + 1) * side, (y + 1) * side))


def denoiser_reach(denoiser: Denoiser) -> int:
    """How many cells around a tile the network sees, rounded up to the alignment of tiles.

    Each residual block sees 2 neighbours at its stride. Going down, a
    bound between two cells moves out to the next whole cell of the coarser stride.
    """
    blocks = len(denoiser.middle.blocks)
    coarse = (3 * blocks + 1) // 2 + 2 * blocks  # at stride 32: `leave`, `leave2`, `middle`
    fine = 2 * (2 * coarse + 2 * len(denoiser.enter2.blocks))  # at stride 8: `enter2`
    fine += 2 * len(denoiser.enter.blocks)
    return -(-fine // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class TiledDenoiser:
    """A denoiser that works on one tile and its surroundings at a time.

    With an overlap of `denoiser_reach` its output is that of the whole lattice at once: states are
    put together after every pass, so that the reach of several denoising steps does not add up.

    Attributes:
        denoiser: the network.
        side: of a tile in cells of stride 8, a multiple of `ALIGNMENT`.
        overlap: cells seen around a tile, a multiple of `ALIGNMENT`.
    """

    denoiser: Denoiser
    side: int
    overlap: int

    def __call__(self, state: Tensor, label: Tensor, context: SparseTensor) -> Tensor:
        """As `Denoiser.forward`."""
        whole = torch.empty_like(state)
        for tile in make_tiles(context.coords, self.side):
            # Plans are made anew for every pass: those of all tiles would fill the memory.
            seen = tile.grow(self.overlap).holds(context.coords)
            part = self.denoiser(state[seen], label, prune(context, seen))
            inner = tile.holds(context.coords)
            whole[inner] = part[inner[seen]]
        return whole


def decode_tiles(
    decode: Decode,
    side: int,
    state: Tensor,
    chosen: Tensor,
    scene: Scene,
    sampling: SamplingSettings,
) -> SparseTensor:
    """As `LatentDiffusion.decode`, tile by tile; the cap on candidates holds for each tile.

    Args:
        decode: `LatentDiffusion.decode`; further arguments as for it.
        side: of a tile in cells of stride 8.
        state: of all lattice cells.
        chosen: of all lattice cells.
        scene: of the whole volume.
        sampling: passed on.
    """
    feats, coords, cells = [], [], scene.cells
    for tile in make_tiles(cells.coords, side):
        seen = tile.grow(_DECODER_REACH).holds(cells.coords)
        part = scene._replace(cells=prune(cells, seen))
        voxels = decode(state[seen], chosen[seen], part, sampling)
        cell = torch.div(voxels.coords, cells.stride, rounding_mode="floor")
        inner = tile.holds(cell)
        feats.append(voxels.feats[inner])
        coords.append(voxels.coords[inner])
    return SparseTensor(torch.cat(feats), torch.cat(coords), cells.batch_size)


def whole_cells(name: str, length_m: Any, volume: VolumeSettings, least: int) -> int:
    """A length in lattice cells, rounded down to what tiles are aligned to.

    Args:
        name: what to call it in errors.
        length_m: in metres.
        volume: whose cells.
        least: steps that it must have.

    Raises:
        InputError: it is no number, or out of bounds.
    """
    step_m = ALIGNMENT * LATTICE_STRIDE * volume.voxel_size_m
    try:
        steps = int(length_m / step_m + 1e-6) if 0.0 <= length_m <= LENGTH_MAX_M else -1
    except (TypeError, ValueError):
        steps = -1
    if steps < least:
        bounds = f"{least * step_m:g} to {LENGTH_MAX_M:g} m (steps of {ALIGNMENT} lattice cells)"
        raise InputError(f"{name} = {length_m!r:.60} m: must be {bounds}")
    return steps * ALIGNMENT
