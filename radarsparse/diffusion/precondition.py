"""EDM preconditioning: what the network sees and what is made of its output."""

from collections.abc import Callable

from torch import Tensor

Network = Callable[[Tensor], Tensor]


def c_skip(sigma: Tensor, sigma_data: float) -> Tensor:
    """Share of the noisy input that passes by the network."""
    return sigma_data**2 / (sigma**2 + sigma_data**2)


def c_out(sigma: Tensor, sigma_data: float) -> Tensor:
    """Scale of the network's output."""
    return sigma * sigma_data / (sigma**2 + sigma_data**2).sqrt()


def c_in(sigma: Tensor, sigma_data: float) -> Tensor:
    """Scale of the network's input: unit variance at every noise level."""
    return 1.0 / (sigma**2 + sigma_data**2).sqrt()


def c_noise(sigma: Tensor) -> Tensor:
    """Noise level as the network is told it."""
    return sigma.log() / 4.0


def precondition(network: Network, noisy: Tensor, sigma: Tensor, sigma_data: float) -> Tensor:
    """Estimate the clean features.

    Args:
        network: maps [n, c] scaled features to [n, c]; it was told `c_noise(sigma)`.
        noisy: [n, c].
        sigma: [n, 1] noise level of each row, above 0.
        sigma_data: standard deviation of clean features.

    Source: Karras et al. 2022, Eq. 7 and Table 1.
    """
    inner = network(c_in(sigma, sigma_data) * noisy)
    return c_skip(sigma, sigma_data) * noisy + c_out(sigma, sigma_data) * inner


def loss_weight(sigma: Tensor, sigma_data: float) -> Tensor:
    """Weight of the squared error that makes every noise level count alike at the start.

    Source: Karras et al. 2022, Table 1, lambda(sigma).
    """
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
