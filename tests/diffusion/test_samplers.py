"""The sampler against the closed form: data N(mu, s^2) has a linear denoiser and a known ODE."""

import math
from itertools import pairwise

import pytest
import torch

from radarsparse.config import DiffusionSettings
from radarsparse.diffusion.samplers import heun
from radarsparse.diffusion.schedule import lognormal_sigma, sampling_sigmas

MEAN, STD = 0.3, 0.5
SETTINGS = DiffusionSettings(sigma_min=0.002, sigma_max=80.0)


def _denoise(state, sigma):
    return (STD**2 * state + sigma**2 * MEAN) / (STD**2 + sigma**2)


def _sigmas(steps):
    return sampling_sigmas(steps, SETTINGS.sigma_max, SETTINGS)


def _error(steps: int) -> float:
    noise = torch.randn(500, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = noise * SETTINGS.sigma_max
    exact = MEAN + (state - MEAN) * STD / math.sqrt(STD**2 + SETTINGS.sigma_max**2)
    return float((heun(_denoise, state, _sigmas(steps)) - exact).abs().max())


def test_error_falls_with_the_square_of_the_steps():
    errors = [_error(steps) for steps in (32, 64, 128, 256)]
    ratios = [coarse / fine for coarse, fine in pairwise(errors)]
    assert all(3.5 < ratio < 5.5 for ratio in ratios)
    assert errors[-1] < 2e-3


def test_one_step_is_the_denoiser_itself():
    noise = torch.randn(9, 2, dtype=torch.float64)
    sigmas, start = _sigmas(1), 80.0 * noise
    torch.testing.assert_close(heun(_denoise, start, sigmas), _denoise(start, sigmas[0]))


def test_eighteen_steps_ask_the_denoiser_35_times():
    calls = []

    def counting(state, sigma):
        calls.append(float(sigma))
        return _denoise(state, sigma)

    heun(counting, torch.randn(3, 1), _sigmas(18))
    assert len(calls) == 35
    assert min(calls) > 0


def test_noise_levels_fall_from_sigma_max_over_sigma_min_to_zero():
    sigmas = _sigmas(18)
    assert sigmas[0].item() == pytest.approx(80.0)
    assert sigmas[-2].item() == pytest.approx(0.002)
    assert sigmas[-1] == 0
    assert (sigmas[1:] < sigmas[:-1]).all()
    with pytest.raises(ValueError, match="steps 0 must be at least 1"):
        _sigmas(0)


@pytest.mark.parametrize(
    ("rho", "start", "levels"),
    [
        (1.0, 9.0, [9.0, 5.0, 1.0]),
        (2.0, 9.0, [9.0, 4.0, 1.0]),  # of roots 3, 2, 1
        (7.0, 128.0, [128.0, 1.5**7, 1.0]),  # of roots 2, 1.5, 1
    ],
)
def test_roots_of_noise_levels_are_evenly_spaced(rho, start, levels):
    settings = DiffusionSettings(sigma_min=1.0, rho=rho)
    assert sampling_sigmas(3, start, settings).tolist() == pytest.approx([*levels, 0.0])


def test_training_noise_levels_are_log_normal():
    torch.manual_seed(0)
    logarithm = lognormal_sigma(torch.randn(20_000), SETTINGS.p_mean, SETTINGS.p_std).log()
    # Standard errors of mean and standard deviation: 1.2 / sqrt(20000) and that over sqrt 2.
    assert logarithm.mean().item() == pytest.approx(SETTINGS.p_mean, abs=5 * 0.0085)
    assert logarithm.std().item() == pytest.approx(SETTINGS.p_std, abs=5 * 0.006)
