"""One training step of the VAE against a dense twin of the VAE that it replaces."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from radarsparse.benchmark.measure import find_device, median_seconds, name_device
from radarsparse.config import VaeConfig
from radarsparse.geometry import Volume
from radarsparse.scan import ScanPair
from radarsparse.training.planning.memory import peak_bytes
from radarsparse.training.random import SampleRandom
from radarsparse.training.stages import TrainingBatch, VaeStage
from radarsparse.voxels.batch import make_batch


class DenseBlock(nn.Module):
    """Residual block of 3D convolutions."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.GroupNorm(8, c_in), nn.SiLU(), nn.Conv3d(c_in, c_out, 3, padding=1)),
            *(nn.GroupNorm(8, c_out), nn.SiLU(), nn.Conv3d(c_out, c_out, 3, padding=1)),
        )
        self.skip = nn.Identity() if c_in == c_out else nn.Conv3d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Refine [b, c_in, z, x, y]."""
        return self.skip(x) + self.body(x)


class DenseVae(nn.Module):
    """The original system's VAE in its widths: 16 channels times 1, 2, 2; strides (1, 2, 2)."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, latent = 16, 32, 32, 4
        half = {"kernel_size": 3, "stride": (1, 2, 2), "padding": 1}
        self.encoder = nn.Sequential(
            *(nn.Conv3d(4, a, 3, padding=1), DenseBlock(a, a), nn.Conv3d(a, a, **half)),
            *(DenseBlock(a, b), nn.Conv3d(b, b, **half), DenseBlock(b, c)),
            nn.Conv3d(c, 2 * latent, 3, padding=1),
        )
        self.decoder = nn.Sequential(
            *(nn.Conv3d(latent, c, 3, padding=1), DenseBlock(c, c)),
            *(nn.Upsample(scale_factor=(1, 2, 2)), nn.Conv3d(c, b, 3, padding=1), DenseBlock(b, b)),
            *(nn.Upsample(scale_factor=(1, 2, 2)), nn.Conv3d(b, a, 3, padding=1), DenseBlock(a, a)),
            nn.Conv3d(a, 4, 3, padding=1),
        )

    def loss(self, x: Tensor) -> Tensor:
        """Reconstruction error and divergence."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        drawn = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1.0 - log_variance).mean()
        return nn.functional.mse_loss(self.decoder(drawn), x) + 1e-6 * divergence


# z, x, y: what the original system works on, and the volume of the sparse VAE at its voxel size.
ORIGINAL_GRID = (32, 128, 128)


def time_vae(
    config: VaeConfig, pair: ScanPair, repeats: int, dense_repeats: int
) -> dict[str, float | str]:
    """Median times and peak memory of one forward and backward of both, on CUDA if there is.

    Both start from voxels: the sparse step from the frame's, whose plans it has to build, the
    dense one from a full grid of random numbers, once of the original system's size and once of
    the sparse VAE's volume and voxel size.

    Args:
        config: of the sparse VAE.
        pair: the frame.
        repeats: sparse steps that count, after one to warm up.
        dense_repeats: dense steps of either size that count, after one to warm up.
    """
    torch.manual_seed(0)
    device = find_device()
    volume, stage = Volume.from_settings(config.volume), VaeStage(config).to(device)
    x, y, z = volume.shape
    grids = {"dense": ORIGINAL_GRID, "dense_same_volume": (z, x, y)}
    dense = {name: _dense_step(grid, device) for name, grid in grids.items()}
    sparse = {"sparse": _sparse_step(stage, pair, volume, device)}
    seconds_each = median_seconds(sparse, repeats) | median_seconds(dense, dense_repeats)
    bytes_each = {name: peak_bytes(step, device) for name, step in (sparse | dense).items()}
    return {
        "device": name_device(device),
        **{f"{name}_step_s": value for name, value in seconds_each.items()},
        **{f"{name}_peak_mib": value / 2**20 for name, value in bytes_each.items()},
        **{f"{name}_to_sparse_s": seconds_each[name] / seconds_each["sparse"] for name in dense},
        **{f"sparse_to_{name}_bytes": bytes_each["sparse"] / bytes_each[name] for name in dense},
        "sparse_parameters": float(sum(p.numel() for p in stage.parameters())),
        "dense_parameters": float(sum(p.numel() for p in DenseVae().parameters())),
    }


def _sparse_step(
    stage: VaeStage, pair: ScanPair, volume: Volume, device: torch.device
) -> Callable[[], None]:
    def step() -> None:
        batch = make_batch([pair], volume).to(device)  # anew, so that its plans are, too
        stage.zero_grad()
        training = TrainingBatch(batch, SampleRandom(0, [0], device))
        stage(training)["total"].backward()

    return step


def _dense_step(grid: tuple[int, int, int], device: torch.device) -> Callable[[], None]:
    network, x = DenseVae().to(device), torch.randn(1, 4, *grid, device=device)

    def step() -> None:
        network.zero_grad()
        network.loss(x).backward()

    return step
