"""The public verb: radar points in, a LiDAR-like cloud out."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from radarsparse.config import (
    DenoiserConfig,
    SamplingSettings,
    check_whole,
)
from radarsparse.errors import InputError
from radarsparse.formats.lidars import read_lidar
from radarsparse.geometry import Volume
from radarsparse.models.captured import CapturedDenoiser
from radarsparse.models.latent_diffusion import Drawn, LatentDiffusion
from radarsparse.models.state import flags_at
from radarsparse.models.tiled import TiledDenoiser, decode_tiles, denoiser_reach, whole_cells
from radarsparse.models.weights import SHIPPED, load_diffusion, run_folder
from radarsparse.scan import ScanPair
from radarsparse.sparse import SparseTensor, packing, prefer_engine
from radarsparse.voxels.batch import Batch, make_batch
from radarsparse.voxels.radar_input import InputHealth, examine, read_points
from radarsparse.voxels.returns import find_returns
from radarsparse.voxels.scene import Scene, Surroundings, make_scene, make_views, mount
from radarsparse.voxels.voxelize import place_points

SEED_MOST = 2**63 - 1
COUNT_MOST = 4096


@dataclass(frozen=True)
class EnhancedCloud:
    """A LiDAR-like cloud in the radar frame.

    Attributes:
        points: float32 [n, 3] x, y, z in metres.
        intensity: float32 [n], 0 to 255.
        probability: float32 [n], how likely the voxel of stride 2 that each point is of holds LiDAR
            returns.
        spread: float32 [n], the standard deviation of whether it does: between draws where there
            are several, otherwise what the probability says.
        seconds: that it took to make the cloud.
        draws: clouds of which each may be what is there, as many as were asked for.
        health: how the radar cloud compares with what is usual; None for a cloud of a state.
    """

    points: NDArray[np.float32]
    intensity: NDArray[np.float32]
    probability: NDArray[np.float32]
    spread: NDArray[np.float32]
    seconds: float
    draws: tuple["EnhancedCloud", ...] = ()
    health: InputHealth | None = None

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
        denoiser, self._decode = network.denoiser, network.decode
        if not isinstance(tiles, Tiles | None):
            raise InputError(f"tiles {tiles!r:.40}: must be Tiles(side_m, overlap_m)")
        if tiles is not None:
            side = whole_cells("side of tiles", tiles.side_m, config.volume, 1)
            overlap = denoiser_reach(denoiser)
            if tiles.overlap_m is not None:
                overlap = whole_cells("overlap of tiles", tiles.overlap_m, config.volume, 0)
            network.run_denoiser = TiledDenoiser(denoiser, side, overlap)
            self._decode = partial(decode_tiles, network.decode, side)
        self.network = network.eval()
        self.engine = config.engine
        self.sampling: SamplingSettings = config.sampling
        self.lidar, self.volume = config.lidar, Volume.from_settings(config.volume)
        self.radar = config.radar

    @staticmethod
    def load(path: str | Path = SHIPPED, tiles: Tiles | None = None) -> "Enhancer":
        """Read trained weights.

        Args:
            path: run folder of stage `edm`, `ect` or `distill`; by default the weights that ship,
                which were trained on simulated frames.
            tiles: as in `Enhancer`.

        Raises:
            InputError: there is no checkpoint, or one of another stage, version or shape.
        """
        return Enhancer(*load_diffusion(run_folder(path)), tiles)

    def to(self, device: str) -> "Enhancer":
        """Move the network, and with it all work from now on, to a device such as `cuda`.

        Raises:
            InputError: there is no such device.
        """
        try:
            wanted = torch.device(device)
        except (RuntimeError, TypeError) as error:
            known = "'cpu', 'cuda' or 'cuda:1'"
            raise InputError(
                f"device {device!r:.40}: can't be used, is none such as {known}"
            ) from error
        try:
            torch.zeros(1, device=wanted).cpu()  # before anything is moved
            self.network.to(device)
        except (AssertionError, ImportError, RuntimeError, TypeError) as error:  # by torch's build
            reason = str(error).partition("\n")[0]
            raise InputError(f"device {device!r}: can't be used ({reason})") from error
        if self.device.type == "cuda" and self.network.run_denoiser is None:
            self.network.run_denoiser = CapturedDenoiser(self.network.denoiser)
        return self

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.vae.latent_mean.device

    @property
    def around(self) -> Surroundings:
        """Where scenes are, and which LiDAR is imitated."""
        return Surroundings(self.volume, self.lidar, self.device)

    def beside(self, pair: ScanPair) -> "Enhancer":
        """The same network that imitates the LiDAR of a pair where it stands.

        Rings are those of the weights where the pair states none of its own.
        """
        other = copy(self)
        other.lidar = mount(self.lidar, pair.T_radar_lidar)
        if pair.rings_deg and self.lidar.rings_deg:
            other.lidar = other.lidar.model_copy(update={"rings_deg": pair.rings_deg})
        return other

    def imitating(self, lidar: str | Path) -> "Enhancer":
        """The same network that imitates another LiDAR.

        Args:
            lidar: `vlp16`, `hdl64`, `os1-128`, or a YAML file with the keys of a config's block
                `lidar`; without a pose it stands where the one of the weights does.

        Raises:
            InputError: there is no such LiDAR, or the network was told of none as it learnt.
        """
        if not self.lidar.rings_deg:
            raise InputError(
                f"LiDAR {str(lidar)!r:.80}: these weights were told of none as they learnt"
                " (lidar.rings_deg = []), and can't imitate a chosen one"
            )
        other = copy(self)
        other.lidar = read_lidar(str(lidar), self.lidar)
        return other

    def make_batch(self, pair: ScanPair) -> Batch:
        """The batch of one pair, told of the beams of its LiDAR as in training.

        Raises:
            InputError: the pair has no radar or no LiDAR point in the volume.
        """
        return make_batch([pair], self.volume, self.lidar.rings_deg)

    def with_sampling(self, sampling: SamplingSettings) -> "Enhancer":
        """The same network, drawn from in another way."""
        other = copy(self)
        other.sampling = sampling
        return other

    def with_steps(self, steps: int | None) -> "Enhancer":
        """The same network with another number of noise levels; None for the config's.

        Raises:
            InputError: it is no whole number, 1 to `COUNT_MOST`, or the cloud is a regression.
        """
        if steps is None:
            return self
        steps = check_whole("steps", steps, 1, COUNT_MOST)
        if self.sampling.regression_share == 1.0:
            raise InputError(
                f"steps = {steps}: these weights take none; their cloud is a regression"
                " (sampling.regression_share = 1)"
            )
        return self.with_sampling(self.sampling.model_copy(update={"steps": steps}))

    def __call__(
        self,
        points: ArrayLike,
        seed: int = 0,
        steps: int | None = None,
        samples: int = 0,
        name: str = "radar cloud",
    ) -> EnhancedCloud:
        """The likeliest LiDAR-like cloud and, where asked for, draws of what may be there.

        Points that no radar measured are left out with a warning, see `radarsparse.scan.BOUNDS`.

        Args:
            points: [n, 5] x, y, z [m], doppler_mps, power_db, radar frame; an array or a tensor.
            seed: the same seed gives the same cloud, 0 to `SEED_MOST`.
            steps: noise levels of the sampler, 1 to `COUNT_MOST`; the config's by default.
            samples: clouds in `EnhancedCloud.draws`, 0 to `COUNT_MOST`.
            name: what to call the cloud in errors.

        Raises:
            InputError: the cloud has other columns, values that no radar measures or no point in
                the volume, or a number is no whole one or out of its bounds.
        """
        started = perf_counter()
        seed = check_whole("seed", seed, 0, SEED_MOST)
        samples = check_whole("samples", samples, 0, COUNT_MOST)
        sampling = self.with_steps(steps).sampling
        radar = read_points(points, name)
        with self._working():
            scenes = make_views(radar, self.around, sampling.views, name)
            with packing():  # what is decoded stays in float32, since positions would move
                views = self.network.look(scenes)
                likeliest = self.network.draw(views, seed, sampling)
                drawn = self.network.draw_each(views, samples, seed, sampling)
            between = torch.stack([each.state for each in drawn]) if drawn else likeliest.draws
            cloud = self.decode(likeliest.state, scenes[0], between)
            draws = tuple(self.decode_draw(each, scenes[0]) for each in drawn)
        health = examine(radar, self.volume, self.radar)
        return replace(cloud, draws=draws, health=health, seconds=perf_counter() - started)

    def batch(
        self,
        clouds: Sequence[ArrayLike],
        seed: int = 0,
        steps: int | None = None,
        samples: int = 0,
        workers: int = 2,
    ) -> list[EnhancedCloud]:
        """Draw several clouds side by side; each is what a call for it alone gives.

        Args:
            clouds: each as for a call; further arguments, too.
            seed: of every cloud.
            steps: of every cloud.
            samples: of every cloud.
            workers: clouds that are worked on at once, by threads.

        Raises:
            InputError: a cloud can't be used, see a call; there is less than one worker.
        """
        draw = partial(self.__call__, seed=seed, steps=steps, samples=samples)
        with ThreadPoolExecutor(check_whole("workers", workers, 1, COUNT_MOST)) as pool:
            jobs = [pool.submit(draw, cloud, name=name) for name, cloud in _named(clouds)]
            return [job.result() for job in jobs]

    def stream(
        self,
        clouds: Iterable[ArrayLike],
        seed: int = 0,
        steps: int | None = None,
        samples: int = 0,
    ) -> Iterator[EnhancedCloud]:
        """Draw clouds one after another as they come; none is kept.

        Args:
            clouds: each as for a call; further arguments, too.
            seed: of every cloud.
            steps: of every cloud.
            samples: of every cloud.

        Raises:
            InputError: a cloud can't be used, see a call.
        """
        for name, cloud in _named(clouds):
            yield self(cloud, seed, steps, samples, name)

    def regress(self, points: ArrayLike, name: str = "radar cloud") -> EnhancedCloud:
        """The baseline: one pass of the same denoiser without noise.

        Args:
            points: [n, 5] x, y, z [m], doppler_mps, power_db, radar frame.
            name: what to call the cloud in errors.

        Raises:
            InputError: the cloud can't be used, see a call.
        """
        started = perf_counter()
        radar = read_points(points, name)
        with self._working():
            scene = make_scene(radar, self.around, name)
            with packing():
                state = self.network.regress(self.network.condition_on(scene.radar, scene.cells))
            cloud = self.decode(state, scene)
        health = examine(radar, self.volume, self.radar)
        return replace(cloud, health=health, seconds=perf_counter() - started)

    def reconstruct(self, pair: ScanPair) -> EnhancedCloud:
        """The ceiling: the true LiDAR cloud through the VAE and back."""
        started = perf_counter()
        with self._working():
            batch, vae = self.make_batch(pair).to(self.device), self.network.vae
            hints = vae.hints(batch.radar, batch.beams)
            voxels = vae.decode(vae.encode(batch.lidar), hints)
            there, state = self.beside(pair), self.network.clean_state(batch)
            cloud = there._place(voxels, batch.lattice, state, self.sampling.return_share)
        return replace(cloud, seconds=perf_counter() - started)

    def decode(
        self, state: torch.Tensor, scene: Scene, draws: torch.Tensor | None = None
    ) -> EnhancedCloud:
        """The cloud of a state; its `seconds` are 0, since the state came from elsewhere.

        Args:
            state: [n, c] on all lattice rows.
            scene: what the state was drawn for.
            draws: [k, n, c] whose spread is told of; none where there are none.
        """
        voxels = self._decode_state(state, scene)
        return self._place(voxels, scene.cells, state, self.sampling.return_share, draws)

    def decode_draw(self, drawn: Drawn, scene: Scene) -> EnhancedCloud:
        """The cloud of one draw, in which each beam returns once."""
        voxels = self._decode_state(drawn.state, scene)
        return self._place(voxels, scene.cells, drawn.agreed, 1.0)

    def _decode_state(self, state: torch.Tensor, scene: Scene) -> SparseTensor:
        chosen = self.network.choose(state, scene.cells.support, self.sampling)
        return self._decode(state, chosen, scene, self.sampling)

    def _place(
        self,
        voxels: SparseTensor,
        cells: SparseTensor,
        agreed: torch.Tensor,
        share: float,
        draws: torch.Tensor | None = None,
    ) -> EnhancedCloud:
        """Points where the LiDAR's beams meet voxels, and how likely each is."""
        index, feats = voxels.coords[:, 1:].cpu().numpy(), voxels.feats.cpu().numpy()
        table = place_points(index, feats, self.volume)
        said = _probabilities(agreed[None], voxels, cells)[0]
        spread = (said * (1.0 - said)).sqrt()
        if draws is not None and len(draws) > 1:
            spread = _probabilities(draws, voxels, cells).std(0, correction=0)
        points, source = find_returns(table[:, :3], said.numpy(), self.around, share)
        of_voxels = table[:, 3], said.numpy(), spread.numpy()
        return EnhancedCloud(points, *(each[source] for each in of_voxels), seconds=0.0)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """The modes of a call; what it keeps for later ones must not be of the caller's modes."""
        single = torch.autocast(self.device.type, enabled=False)
        with torch.inference_mode(False), torch.no_grad(), single, prefer_engine(self.engine):
            yield


def _probabilities(states: torch.Tensor, voxels: SparseTensor, cells: SparseTensor) -> torch.Tensor:
    """How likely each voxel's flag is up by states [k, n, c], [k, m] on the CPU."""
    flags = flags_at(states, voxels.coords, cells.support)
    return (0.5 * (flags + 1.0)).clamp(0.0, 1.0).cpu()


def _named(clouds: Iterable[ArrayLike]) -> Iterator[tuple[str, ArrayLike]]:
    """Clouds, each with what to call it in errors."""
    if not isinstance(clouds, Iterable):
        raise InputError(f"clouds: must be several radar clouds, not a {type(clouds).__name__}")
    for number, cloud in enumerate(clouds):
        yield f"radar cloud {number}", cloud
