import torch

from radarsparse.diffusion.precondition import (
    c_in,
    c_noise,
    c_out,
    c_skip,
    loss_weight,
    precondition,
)

SIGMA_DATA = 0.5
SIGMA = torch.logspace(-3, 2, 30, dtype=torch.float64)


def test_the_network_sees_and_is_asked_for_unit_variance():
    """Karras et al. 2022, appendix B.6: the identities that define c_in, c_skip and c_out."""
    torch.testing.assert_close(
        c_in(SIGMA, SIGMA_DATA) ** 2 * (SIGMA**2 + SIGMA_DATA**2), torch.ones_like(SIGMA)
    )
    skip = c_skip(SIGMA, SIGMA_DATA)
    target_variance = ((1 - skip) * SIGMA_DATA) ** 2 + (skip * SIGMA) ** 2
    torch.testing.assert_close(c_out(SIGMA, SIGMA_DATA) ** 2, target_variance)


def test_every_noise_level_weighs_alike():
    weighted = loss_weight(SIGMA, SIGMA_DATA) * c_out(SIGMA, SIGMA_DATA) ** 2
    torch.testing.assert_close(weighted, torch.ones_like(SIGMA))


def test_without_noise_the_input_passes_unchanged():
    noisy = torch.randn(7, 3, dtype=torch.float64)
    sigma = torch.full((7, 1), 1e-9, dtype=torch.float64)
    clean = precondition(lambda scaled: 5.0 * scaled, noisy, sigma, SIGMA_DATA)
    # c_out is sigma to first order, and the network answers with 5 times about 2 |noisy|.
    torch.testing.assert_close(clean, noisy, rtol=0, atol=1e-7)


def test_noise_label_is_a_quarter_of_the_logarithm():
    torch.testing.assert_close(c_noise(SIGMA).mul(4).exp(), SIGMA)
