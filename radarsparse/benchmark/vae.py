"""One training step of the VAE against a dense twin of the VAE that it replaces."""

from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn

from radarsparse.benchmark.measure import seconds
from radarsparse.config import VaeConfig
from radarsparse.data.batch import make_batch
from radarsparse.data.scan import ScanPair
from radarsparse.geometry import Volume
from radarsparse.training.random import SampleRandom
from radarsparse.training.stages import TrainingBatch, VaeStage


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


def time_vae(
    config: VaeConfig, pair: ScanPair, repeats: int, dense_repeats: int
) -> dict[str, float]:
    """Median times of one forward and backward of both, taken in turns.

    Both start from voxels: the sparse step from the frame's, whose plans it has to build, the
    dense one from a full grid of random numbers.

    Args:
        config: of the sparse VAE.
        pair: the frame.
        repeats: sparse steps that count, after one to warm up.
        dense_repeats: dense steps, at most one per sparse step.
    """
    torch.manual_seed(0)
    volume = Volume.from_settings(config.volume)
    sparse, dense, grid = VaeStage(config), DenseVae(), torch.randn(1, 4, 32, 128, 128)
    sparse_s, dense_s = [], []
    for repeat in range(repeats + 1):
        sparse_s.append(_sparse_seconds(sparse, pair, volume))
        if 0 < repeat <= dense_repeats:
            dense_s.append(_seconds(dense, lambda: dense.loss(grid)))
    return {
        "sparse_step_s": median(sparse_s[1:]),
        "dense_step_s": median(dense_s),
        "dense_to_sparse": median(dense_s) / median(sparse_s[1:]),
        "sparse_parameters": float(sum(p.numel() for p in sparse.network.parameters())),
        "dense_parameters": float(sum(p.numel() for p in dense.parameters())),
        "threads": float(torch.get_num_threads()),
    }


def _sparse_seconds(stage: VaeStage, pair: ScanPair, volume: Volume) -> float:
    batch = make_batch([pair], volume)  # anew, so that its plans are, too
    training = TrainingBatch(batch, SampleRandom(0, [0], torch.device("cpu")))
    return _seconds(stage, lambda: stage(training)["total"])


def _seconds(network: nn.Module, loss: Callable[[], Tensor]) -> float:
    network.zero_grad()
    return seconds(lambda: loss().backward())
