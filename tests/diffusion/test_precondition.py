import torch

from radarsparse.diffusion.precondition import (
    binary_log_odds,
    c_in,
    c_noise,
    c_out,
    c_skip,
    denoise_binary,
    denoise_gaussian,
    loss_weight,
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
    scale_in, skip, out = (scale(sigma, SIGMA_DATA) for scale in (c_in, c_skip, c_out))
    clean = denoise_gaussian(5.0 * scale_in * noisy, noisy, skip, out)
    # c_out is sigma to first order, and the network answers with 5 times about 2 |noisy|.
    torch.testing.assert_close(clean, noisy, rtol=0, atol=1e-7)


def test_binary_log_odds_are_those_of_bayes_rule():
    """Against the densities themselves: p(+1 | x) from both normal densities and a prior."""
    noisy, sigma = torch.linspace(-3, 3, 41, dtype=torch.float64)[:, None], 0.7
    prior = torch.tensor([0.03, 0.5, 0.8], dtype=torch.float64)
    up = prior * (-((noisy - 1.0) ** 2) / (2 * sigma**2)).exp()
    down = (1.0 - prior) * (-((noisy + 1.0) ** 2) / (2 * sigma**2)).exp()
    variance = torch.full_like(noisy, sigma**2)
    log_odds = binary_log_odds(torch.logit(prior).expand(41, 3), noisy.expand(41, 3), variance)
    torch.testing.assert_close(log_odds.sigmoid(), up / (up + down))
    torch.testing.assert_close(denoise_binary(log_odds), (up - down) / (up + down))


def test_binary_values_pass_unchanged_without_noise_and_unseen_with_infinite_noise():
    clean, inner = torch.tensor([[-1.0, 1.0]]), torch.tensor([[3.0, -3.0]])
    faint, loud = torch.tensor([[1e-12]]), torch.tensor([[1e12]])
    assert torch.equal(denoise_binary(binary_log_odds(inner, clean, faint)), clean)
    torch.testing.assert_close(binary_log_odds(inner, clean, loud), inner)


def test_noise_label_is_a_quarter_of_the_logarithm():
    torch.testing.assert_close(c_noise(SIGMA).mul(4).exp(), SIGMA)
