import math
from itertools import pairwise

import pytest
import torch

from radarsparse.config import DiffusionSettings
from radarsparse.diffusion.consistency import earlier_sigma, pair_weight, scale_pairs, step_down
from radarsparse.diffusion.precondition import c_in, c_out, c_skip, denoise_gaussian, loss_weight
from radarsparse.diffusion.samplers import heun, multistep
from radarsparse.diffusion.schedule import few_step_sigmas, sampling_sigmas

SETTINGS = DiffusionSettings(sigma_max=20.0)
SIGMA_DATA = 0.5
SIGMA = torch.logspace(-2, math.log10(20.0), 50, dtype=torch.float64)


def exact_denoiser(state: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Of data that are normal with standard deviation SIGMA_DATA."""
    return state * SIGMA_DATA**2 / (SIGMA_DATA**2 + sigma**2)


def exact_consistency(state: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Where the probability-flow ODE of the same data ends: every state shrinks in proportion."""
    return state * SIGMA_DATA / (SIGMA_DATA**2 + sigma**2).sqrt()


def distillation_loss(consistency, teacher, pairs: int = 4000, scales: int = 40) -> float:
    """Mean squared gap between both ends of pairs; at level 0 the answer is the state itself."""
    torch.manual_seed(0)
    sigma, lower = scale_pairs(torch.rand(pairs, 1, dtype=torch.float64), scales, SETTINGS)
    state = SIGMA_DATA * torch.randn(pairs, 1, dtype=torch.float64)
    state = state + sigma * torch.randn(pairs, 1, dtype=torch.float64)
    below = step_down(teacher, state, sigma, lower, tuple)
    target = torch.where(lower > 0, consistency(below, lower.clamp(min=1e-3)), below)
    return (consistency(state, sigma) - target).square().mean().item()


def test_the_exact_consistency_function_has_no_distillation_loss_but_for_the_teachers_steps():
    coarse, fine = (
        distillation_loss(exact_consistency, exact_denoiser, scales=n) for n in (40, 80)
    )
    assert coarse < 1e-4 * SIGMA_DATA**2
    # The error of one step of Heun's method is of third order: its square falls by 64.
    assert fine < coarse / 30


def test_a_constant_map_has_a_loss():
    """The boundary holds it: at level 0 the answer must be the state."""
    constant = distillation_loss(lambda state, sigma: torch.zeros_like(state), exact_denoiser)
    # Only the last pair of each walk reaches down to 0; there the gap is the data's own variance.
    assert constant == pytest.approx(SIGMA_DATA**2 / 40, rel=0.3)


def test_the_denoiser_is_no_consistency_function():
    assert distillation_loss(exact_denoiser, exact_denoiser) > 1e-4


def test_pairs_reach_down_to_clean_features_at_first_and_close_with_every_halving():
    halvings = torch.arange(12, dtype=torch.float64)[:, None]
    earlier = earlier_sigma(SIGMA[None], halvings)
    assert ((earlier >= 0) & (earlier < SIGMA)).all()
    assert (earlier[1:] >= earlier[:-1]).all()
    assert (earlier[0, SIGMA < 1.0] == 0).all()
    gap = (SIGMA - earlier) / SIGMA
    inside = earlier[-2] > 0
    torch.testing.assert_close(gap[-1, inside], gap[-2, inside] / 2)
    assert (earlier[6, 1:] >= earlier[6, :-1]).all()


def test_a_pair_counts_in_inverse_proportion_to_its_gap():
    sigma, earlier = torch.tensor([2.0, 2.0, 2.0]), torch.tensor([0.0, 1.0, 1.5])
    assert pair_weight(sigma, earlier).tolist() == [1.0, 2.0, 4.0]


def test_tuning_with_closing_pairs_leads_to_the_exact_function():
    """f(x, sigma) = a(sigma) x with free a on a grid of levels, fitted down the path."""
    sigmas = torch.logspace(-2, 1, 400, dtype=torch.float64)
    exact = exact_consistency(torch.ones_like(sigmas), sigmas)
    previous = torch.tensor(1.0, dtype=torch.float64)
    factors = []
    for lower, sigma in pairwise([torch.tensor(0.0, dtype=torch.float64), *sigmas]):
        # Least squares of f(y + sigma e) to f(y + lower e): the same noise in both.
        both = SIGMA_DATA**2 + sigma * lower
        previous = previous * both / (SIGMA_DATA**2 + sigma**2)
        factors.append(previous)
    # First order in the steps of the grid, 1.7 % each.
    torch.testing.assert_close(torch.stack(factors), exact, rtol=0.03, atol=0)


def test_neighbouring_levels_are_those_of_the_sampler():
    sigma, lower = scale_pairs(torch.linspace(0, 1, 1001, dtype=torch.float64), 6, SETTINGS)
    walk = sampling_sigmas(6, 20.0, SETTINGS)
    assert torch.equal(sigma.unique(), walk[:-1].flip(0))
    assert {*zip(sigma.tolist(), lower.tolist(), strict=True)} == {*pairwise(walk.tolist())}


def test_steps_of_rows_are_those_of_the_sampler():
    torch.manual_seed(0)
    state = torch.randn(5, 3, dtype=torch.float64)
    walk = torch.tensor([3.0, 1.2, 0.0], dtype=torch.float64)
    expected, found = heun(exact_denoiser, state, walk), state
    for sigma, lower in pairwise(walk):
        found = step_down(exact_denoiser, found, sigma.expand(5, 1), lower.expand(5, 1), tuple)
    torch.testing.assert_close(found, expected)


def test_steps_are_of_third_order():
    state = torch.randn(100, 1, dtype=torch.float64)
    sigma = torch.ones(100, 1, dtype=torch.float64)

    def error(step: float) -> float:
        lower = sigma - step
        ratio = (SIGMA_DATA**2 + lower**2) / (SIGMA_DATA**2 + sigma**2)
        found = step_down(exact_denoiser, state, sigma, lower, tuple)
        return (found - state * ratio.sqrt()).abs().max()

    assert error(0.1) / error(0.05) == pytest.approx(8.0, rel=0.3)


def test_jumps_are_repeated_single_jumps_and_keep_the_spread_of_the_data():
    torch.manual_seed(0)
    sigmas, start = few_step_sigmas(4, 20.0, 0.8), 20.0 * torch.randn(20_000, 1).double()
    noises = [torch.randn(20_000, 1).double() for _ in range(3)]
    found = multistep(exact_consistency, start, sigmas, iter(noises).__next__)
    clean = exact_consistency(start, sigmas[0])
    for sigma, noise in zip(sigmas[1:], noises, strict=True):
        clean = exact_consistency(clean + sigma * noise, sigma)
    torch.testing.assert_close(found, clean)
    # The spread of 20,000 normal draws is known to half a per cent.
    assert found.std().item() == pytest.approx(SIGMA_DATA, rel=0.02)


def test_levels_of_few_steps_fall_by_the_same_factor():
    assert few_step_sigmas(1, 20.0, 0.8).tolist() == [20.0]
    four = few_step_sigmas(4, 20.0, 0.8)
    torch.testing.assert_close(four[1:] / four[:-1], torch.full((3,), 0.04 ** (1 / 3)).double())
    assert few_step_sigmas(2, 0.5, 0.8).tolist() == [0.5, 0.5]
    with pytest.raises(ValueError, match="steps 0"):
        few_step_sigmas(0, 20.0, 0.8)


def test_lower_levels_are_those_of_a_plain_loop_over_the_papers_formula():
    halvings = torch.arange(6, dtype=torch.float64)[:, None]
    for number, row in enumerate(earlier_sigma(SIGMA[None], halvings).tolist()):
        for sigma, found in zip(SIGMA.tolist(), row, strict=True):
            widened = 1.0 + 8.0 / (1.0 + math.exp(sigma))
            expected = max(0.0, sigma - sigma * widened / 2 ** (number + 1))
            assert found == pytest.approx(expected, abs=1e-12)


def tuning_pull(consistency, halvings: int) -> torch.Tensor:
    """How strongly the loss of tuning pulls at every level, from second moments.

    The gradient for the factor of f(x, sigma) = a(sigma) x is E[(f(x_t, t) - f(x_r, r)) x_t].
    """
    earlier = earlier_sigma(SIGMA, torch.tensor(float(halvings), dtype=torch.float64))
    assert (earlier > 0).all()
    upper, lower = (consistency(torch.ones_like(at), at) for at in (SIGMA, earlier))
    gradient = upper * (SIGMA_DATA**2 + SIGMA**2) - lower * (SIGMA_DATA**2 + SIGMA * earlier)
    return pair_weight(SIGMA, earlier) * gradient.abs()


def test_tuning_leaves_the_exact_function_alone_as_pairs_close_but_not_the_denoiser():
    """To first order in the gap, the target is what the exact function says; its pull halves."""
    for consistency, ratio in ((exact_consistency, 0.5), (exact_denoiser, 1.0)):
        coarse, fine = (tuning_pull(consistency, halvings) for halvings in (11, 12))
        torch.testing.assert_close(fine / coarse, torch.full_like(SIGMA, ratio), rtol=0.02, atol=0)


class ToyNetwork(torch.nn.Module):
    """Preconditioned like the real one, a factor of the noise level inside; starts as teacher."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Sequential(
            torch.nn.Linear(1, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)
        ).double()
        torch.nn.init.zeros_(self.inner[2].weight)
        torch.nn.init.zeros_(self.inner[2].bias)

    def forward(self, state: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        inside = self.inner(sigma.log()) * c_in(sigma, SIGMA_DATA) * state
        return denoise_gaussian(inside, state, c_skip(sigma, SIGMA_DATA), c_out(sigma, SIGMA_DATA))

    @torch.no_grad()
    def answer_below(self, state: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return torch.where(sigma > 0, self(state, sigma.clamp(min=SETTINGS.sigma_min)), state)


def distilled_loss(network: ToyNetwork, clean: torch.Tensor, _: float) -> torch.Tensor:
    sigma, lower = scale_pairs(torch.rand_like(clean), 40, SETTINGS)
    state = clean + sigma * torch.randn_like(clean)
    below = step_down(exact_denoiser, state, sigma, lower, tuple)
    target = network.answer_below(below, lower)
    return (loss_weight(sigma, SIGMA_DATA) * (network(state, sigma) - target).square()).mean()


def tuned_loss(network: ToyNetwork, clean: torch.Tensor, passed: float) -> torch.Tensor:
    sigma = (1.6 * torch.randn_like(clean)).exp().clamp(SETTINGS.sigma_min, SETTINGS.sigma_max)
    earlier = earlier_sigma(sigma, torch.tensor(9 * passed).floor())
    noise = torch.randn_like(clean)
    target = network.answer_below(clean + earlier * noise, earlier)
    weight = pair_weight(sigma, earlier) * loss_weight(sigma, SIGMA_DATA)
    return (weight * (network(clean + sigma * noise, sigma) - target).square()).mean()


@pytest.mark.parametrize("loss", [distilled_loss, tuned_loss])
def test_gradient_descent_leads_from_the_teacher_to_the_exact_function(loss):
    torch.manual_seed(0)
    network, steps = ToyNetwork(), 1500
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    sigma = torch.logspace(-1, math.log10(20.0), 20, dtype=torch.float64)[:, None]
    exact = exact_consistency(torch.ones_like(sigma), sigma)

    def error() -> float:
        return (network(torch.ones_like(sigma), sigma) / exact - 1.0).abs().max().item()

    # The teacher says the mean, which noise of 20 tells nothing about.
    assert error() > 0.9
    for step in range(steps):
        clean = SIGMA_DATA * torch.randn(512, 1, dtype=torch.float64)
        optimizer.zero_grad()
        loss(network, clean, step / steps).backward()
        optimizer.step()
        schedule.step()
    assert error() < 0.08
