"""Time radarsparse against what it replaces: one VAE training step against a dense twin."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from radarsparse.cli import run
from radarsparse.config import VaeConfig, load_config
from radarsparse.data.prepared import PreparedFrames
from radarsparse.data.scan import ScanPair
from radarsparse.data.simulator.simulate import simulate_pair
from radarsparse.errors import InputError
from radarsparse.metrics import write_json
from radarsparse.training.stages import VaeStage


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


def main() -> None:
    """Parse the arguments and run the benchmark that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=("vae",), help="what to time")
    parser.add_argument("--root", type=Path, help="prepared frames (default: a simulated frame)")
    parser.add_argument("--repeats", type=int, default=5, help="of the sparse step (default: 5)")
    parser.add_argument("--dense-repeats", type=int, default=2, help="at most (default: 2)")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON, too")
    parser.add_argument("--dry-run", action="store_true", help="say what would be timed")
    arguments = parser.parse_args()
    repeats, dense_repeats, root = arguments.repeats, arguments.dense_repeats, arguments.root
    if min(repeats, dense_repeats) < 1:
        raise InputError(f"--repeats {repeats} --dense-repeats {dense_repeats}: must be 1 or more")
    config = load_config(Path(__file__).parents[1] / "configs" / "astyx_vae.yaml")
    assert isinstance(config, VaeConfig)
    pair = PreparedFrames.open(root, config.data.train_split)[0] if root else simulate_pair(0, 0)
    if arguments.dry_run:
        print(f"would time a training step on frame {pair.name} of {root or 'the simulator'}")
        return
    numbers = _time_vae(config, pair, repeats, dense_repeats)
    print(*(f"{name:24s} {value:12.4g}" for name, value in numbers.items()), sep="\n")
    if arguments.out:
        write_json(arguments.out, numbers)


def _time_vae(config: VaeConfig, pair: ScanPair, repeats: int, most: int) -> dict[str, float]:
    torch.manual_seed(0)
    sparse, dense, grid = VaeStage(config), DenseVae(), torch.randn(1, 4, 32, 128, 128)
    sparse_s, dense_s = [], []
    for repeat in range(repeats + 1):  # the first sparse step warms up and is not counted
        sparse_s.append(_seconds(sparse.network, lambda: sparse.losses([pair])["total"]))
        if 0 < repeat <= most:
            dense_s.append(_seconds(dense, lambda: dense.loss(grid)))
    return {
        "sparse_step_s": median(sparse_s[1:]),
        "dense_step_s": median(dense_s),
        "dense_to_sparse": median(dense_s) / median(sparse_s[1:]),
        "sparse_parameters": float(sum(p.numel() for p in sparse.network.parameters())),
        "dense_parameters": float(sum(p.numel() for p in dense.parameters())),
        "threads": float(torch.get_num_threads()),
    }


def _seconds(network: nn.Module, loss: Callable[[], Tensor]) -> float:
    network.zero_grad()
    start = time.perf_counter()
    loss().backward()
    return time.perf_counter() - start


if __name__ == "__main__":
    run(main)
