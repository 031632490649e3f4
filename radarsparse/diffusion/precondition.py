"""EDM preconditioning: what the network sees and what is made of its output."""

from torch import Tensor

# Beyond it nothing changes in single precision, but infinities would.
_LOG_ODDS_MAX = 60.0


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


def denoise_gaussian(inner: Tensor, noisy: Tensor, skip: Tensor, out: Tensor) -> Tensor:
    """Estimate clean features of values that are about Gaussian.

    Args:
        inner: [n, c] what the network made of `c_in(sigma) * noisy`; it was told `c_noise(sigma)`.
        noisy: [n, c].
        skip: [n, 1] `c_skip(sigma)` of each row.
        out: [n, 1] `c_out(sigma)` of each row.

    Source: Karras et al. 2022, Eq. 7 and Table 1.
    """
    return skip * noisy + out * inner


def binary_log_odds(inner: Tensor, noisy: Tensor, variance: Tensor) -> Tensor:
    """Log odds that a clean value is +1 and not -1.

    By Bayes' rule, what a noisy value says of itself is added to what the network says of it from
    all others; so the network need not learn to tell apart what noise hardly blurs.

    Args:
        inner: [n, c] log odds without the value itself.
        noisy: [n, c] values of +1 or -1 plus Gaussian noise.
        variance: [n, 1] of the noise in each row, above 0.
    """
    evidence = 2.0 * noisy / variance
    return evidence.clamp(-_LOG_ODDS_MAX, _LOG_ODDS_MAX) + inner


def denoise_binary(log_odds: Tensor) -> Tensor:
    """Mean of a value that is +1 or -1."""
    return (0.5 * log_odds).tanh()


def loss_weight(sigma: Tensor, sigma_data: float) -> Tensor:
    """Weight of the squared error that makes every noise level count alike at the start.

    Source: Karras et al. 2022, Table 1, lambda(sigma).
    """
    return (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
