"""The public verb: radar points in, a LiDAR-like cloud out."""

from copy import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from radarsparse.config import LATTICE_STRIDE, DenoiserConfig, SamplingSettings, VolumeSettings
from radarsparse.data.batch import make_batch, make_cells, make_radar
from radarsparse.data.scan import RADAR_COLUMNS, ScanPair
from radarsparse.data.voxelize import place_points
from radarsparse.errors import InputError
from radarsparse.geometry import Volume
from radarsparse.models.latent_diffusion import LatentDiffusion
from radarsparse.models.state import State, flags_at, mirror_rows, mirror_states
from radarsparse.models.tiled import ALIGNMENT, TiledDenoiser, decode_tiles, denoiser_reach
from radarsparse.sparse import SparseTensor, use_engine
from radarsparse.training.checkpoint import load_diffusion

# Left for right: of x, y, z, doppler_mps, power_db.
_MIRROR = np.array([1.0, -1.0, 1.0, 1.0, 1.0], dtype=np.float32)


@dataclass(frozen=True)
class EnhancedCloud:
    """A LiDAR-like cloud in the radar frame.

    Attributes:
        points: float32 [n, 3] x, y, z in metres.
        intensity: float32 [n], 0 to 255.
        probability: float32 [n], how likely the voxel of stride 2 about each point holds LiDAR
            returns, the mean over all draws.
        spread: float32 [n], the standard deviation of that probability between draws.
    """

    points: NDArray[np.float32]
    intensity: NDArray[np.float32]
    probability: NDArray[np.float32]
    spread: NDArray[np.float32]

    @property
    def table(self) -> NDArray[np.float32]:
        """Points and intensity side by side, [n, 4]."""
        return np.concatenate([self.points, self.intensity[:, None]], axis=1)


@dataclass(frozen=True)
class Tiles:
    """Tiles of a volume that are enhanced one after the other.

    Attributes:
        side_m: of a tile, in metres.
        overlap_m: what the denoiser sees around a tile; None for all that can matter, so that the
            cloud is that of the whole volume at once.
    """

    side_m: float
    overlap_m: float | None = None


class Enhancer:
    """Turns radar clouds into LiDAR-like ones.

    Args:
        network: trained VAE and denoiser; taken over.
        config: the run that trained them.
        tiles: in which to work where a whole volume doesn't fit into memory; None for the whole.

    Raises:
        InputError: tiles are too small.
    """

    def __init__(
        self, network: LatentDiffusion, config: DenoiserConfig, tiles: Tiles | None = None
    ) -> None:
        self._tile_cells = None
        if tiles is not None:
            self._tile_cells = _whole_cells(tiles.side_m, config.volume, 1)
            overlap = denoiser_reach(network.denoiser)
            if tiles.overlap_m is not None:
                overlap = _whole_cells(tiles.overlap_m, config.volume, 0)
            tiled = TiledDenoiser(network.denoiser, self._tile_cells, overlap)
            network.add_module("denoiser", tiled)
        self.network = network.eval()
        self.engine = config.engine
        self.sampling: SamplingSettings = config.sampling
        self.volume = Volume.from_settings(config.volume)

    @staticmethod
    def load(path: str | Path, tiles: Tiles | None = None) -> "Enhancer":
        """Read a run folder of stage `edm`, `ect` or `distill`.

        Args:
            path: of the folder.
            tiles: as in `Enhancer`.

        Raises:
            InputError: there is no checkpoint, or one of another stage, version or shape.
        """
        return Enhancer(*load_diffusion(Path(path)), tiles)

    def with_sampling(self, sampling: SamplingSettings) -> "Enhancer":
        """The same network, drawn from in another way."""
        other = copy(self)
        other.sampling = sampling
        return other

    @torch.no_grad()
    def __call__(
        self, points: ArrayLike, seed: int = 0, steps: int | None = None, name: str = "radar cloud"
    ) -> EnhancedCloud:
        """Draw a LiDAR-like cloud; the mean of several draws where the config says so.

        Args:
            points: [n, 5] x, y, z [m], doppler_mps, power_db, radar frame.
            seed: the same seed gives the same cloud.
            steps: noise levels of the sampler; the config's by default.
            name: what to call the cloud in errors.

        Raises:
            InputError: the cloud has other columns or no point in the volume.
        """
        table = _check_radar(points, name)
        radar, cells = self._voxelize(table, name)
        sampling = self.sampling.model_copy(update={"steps": steps or self.sampling.steps})
        with use_engine(self.engine):
            draws, regression = self._draw(radar, cells, seed, sampling)
            if sampling.views == 2:
                _check_sides(self.volume)
                mirrored = self._voxelize(table * _MIRROR, name)
                others, other = self._draw(*mirrored, seed + 1, sampling)
                rows = mirror_rows(cells.support, self.volume.shape[1] // LATTICE_STRIDE)
                latent = State.split(draws.mean(0)).latent
                draws = torch.cat([draws, mirror_states(others, rows, latent)])
                regression = torch.cat([regression, mirror_states(other, rows, latent)])
            state = draws.mean(0).lerp(regression.mean(0), sampling.regression_share)
            return self.decode(state, draws, cells, radar)

    def _draw(
        self, radar: SparseTensor, cells: SparseTensor, seed: int, sampling: SamplingSettings
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draws, [samples, n, c], and the regression, [1, n, c]."""
        condition = self.network.read_radar(radar, cells)
        draws = self.network.draw_all(condition, seed, sampling)
        if sampling.regression_share == 0.0:
            return draws, draws[:1]
        return draws, self.network.regress(condition)[None]

    @torch.no_grad()
    def regress(self, points: ArrayLike, name: str = "radar cloud") -> EnhancedCloud:
        """The baseline: one pass of the same denoiser without noise.

        Args:
            points: [n, 5] x, y, z [m], doppler_mps, power_db, radar frame.
            name: what to call the cloud in errors.
        """
        radar, cells = self._voxelize(_check_radar(points, name), name)
        with use_engine(self.engine):
            state = self.network.regress(self.network.read_radar(radar, cells))
            return self.decode(state, state[None], cells, radar)

    @torch.no_grad()
    def reconstruct(self, pair: ScanPair) -> EnhancedCloud:
        """The ceiling: the true LiDAR cloud through the VAE and back."""
        batch = make_batch([pair], self.volume)
        with use_engine(self.engine):
            latent = self.network.vae.encode(batch.lidar)
            voxels = self.network.vae.decode(latent, batch.radar)
            return self._to_cloud(voxels, self.network.clean_state(batch)[None], batch.lattice)

    def _voxelize(self, table: NDArray[np.float32], name: str) -> tuple[SparseTensor, SparseTensor]:
        return make_radar(table, self.volume, name), make_cells([table], self.volume)

    def decode(
        self,
        state: torch.Tensor,
        draws: torch.Tensor,
        cells: SparseTensor,
        radar: SparseTensor,
    ) -> EnhancedCloud:
        """The cloud of a state.

        Args:
            state: [n, c] on all lattice rows.
            draws: [k, n, c] whose spread is told of.
            cells: of `make_cells`.
            radar: of `make_radar`.
        """
        if self._tile_cells is None:
            voxels = self.network.decode(state, cells, radar, self.sampling)
        else:
            voxels = decode_tiles(
                self.network, state, cells, radar, self.sampling, self._tile_cells
            )
        return self._to_cloud(voxels, draws, cells)

    def _to_cloud(
        self, voxels: SparseTensor, draws: torch.Tensor, cells: SparseTensor
    ) -> EnhancedCloud:
        index, feats = voxels.coords[:, 1:].numpy(), voxels.feats.numpy()
        table = place_points(index, feats, self.volume)
        flags = flags_at(draws, voxels.coords, cells.support)
        probability = (0.5 * (flags + 1.0)).clamp(0.0, 1.0)
        mean = probability.mean(0)
        spread = (probability - mean).square().mean(0).sqrt()
        return EnhancedCloud(table[:, :3], table[:, 3], mean.numpy(), spread.numpy())


def _check_sides(volume: Volume) -> None:
    right_m, left_m = volume.minimum_m[1], volume.maximum_m[1]
    if abs(left_m + right_m) > 1e-6:
        raise InputError(
            f"sampling.views = 2: the volume must reach as far to the left as to the right, y is"
            f" {right_m:g} .. {left_m:g} m"
        )


def _check_radar(points: ArrayLike, name: str) -> NDArray[np.float32]:
    table = np.asarray(points, dtype=np.float32)
    if table.ndim != 2 or table.shape[1] != len(RADAR_COLUMNS):
        raise InputError(
            f"{name}: has shape {list(table.shape)}, needed is [n, {len(RADAR_COLUMNS)}]:"
            f" {', '.join(RADAR_COLUMNS)}"
        )
    if not np.isfinite(table).all():
        raise InputError(f"{name}: holds values that are not finite")
    return table


def _whole_cells(length_m: float, volume: VolumeSettings, least: int) -> int:
    """A length in lattice cells, rounded down to what tiles are aligned to."""
    step_m = ALIGNMENT * LATTICE_STRIDE * volume.voxel_size_m
    steps = int(length_m / step_m + 1e-6)
    if steps < least:
        raise InputError(
            f"tiles of {length_m:g} m: must be at least {step_m:g} m, {ALIGNMENT} lattice cells"
        )
    return steps * ALIGNMENT
