import math

import pytest
import torch

from radarsparse.config import (
    DenoiserSettings,
    DiffusionSettings,
    FewStepSamplingSettings,
    SamplingSettings,
    VaeSettings,
)
from radarsparse.geometry import Volume
from radarsparse.models.latent_diffusion import LatentDiffusion
from radarsparse.models.state import BINARY_CHANNELS
from radarsparse.sparse.ops import parent_support
from radarsparse.voxels.batch import make_batch
from radarsparse.voxels.scene import Scene
from tests.conftest import TINY_VOLUME, tiny_pair

VOLUME = Volume(
    tuple(TINY_VOLUME["minimum_m"]), tuple(TINY_VOLUME["maximum_m"]), 0.2, math.radians(60)
)
CHANNELS = 3 + BINARY_CHANNELS


@pytest.fixture
def network() -> LatentDiffusion:
    """Random weights everywhere, so that nothing hides behind a branch that starts as zero."""
    torch.manual_seed(0)
    vae = VaeSettings(channels=(4, 8, 8, 12), latent_channels=3)
    denoiser = DenoiserSettings(
        vae="unused", channels=(8, 12, 16), condition_channels=(4, 6, 8, 10), dropout=0.0
    )
    network = LatentDiffusion(vae, denoiser, DiffusionSettings(sigma_max=20.0))
    for parameter in network.denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return network.eval()


def _context(network, *indices):
    batch = make_batch([tiny_pair(index) for index in indices], VOLUME)
    return batch, network.denoiser.see(batch.radar, batch.cells)


def _condition(network, index):
    batch = make_batch([tiny_pair(index)], VOLUME)
    return network.condition_on(batch.radar, batch.cells)


def _decode(network, state, batch, sampling):
    chosen = network.choose(state, batch.lattice.support, sampling)
    scene = Scene(batch.radar, batch.cells, batch.beams, batch.volume)
    return network.decode(state, chosen, scene, sampling)


@torch.no_grad()
def test_samples_of_a_batch_do_not_see_each_other(network):
    _, both = _context(network, 0, 1)
    _, alone = _context(network, 1)
    noisy, sigma = torch.randn(len(both.feats), CHANNELS), torch.tensor([0.3, 7.0])
    together = network.denoise(noisy, sigma, both)
    rows = both.coords[:, 0] == 1
    torch.testing.assert_close(together[rows], network.denoise(noisy[rows], sigma[1:], alone))


@torch.no_grad()
def test_radar_and_noise_level_matter(network):
    _, context = _context(network, 0)
    _, other = _context(network, 1)
    noisy, sigma = torch.randn(len(context.feats), CHANNELS), torch.tensor([1.0])
    reference = network.denoise(noisy, sigma, context)
    assert not torch.allclose(reference, network.denoise(noisy, sigma, other))
    inner = network.denoiser(noisy, torch.tensor([[0.0]]), context)
    assert not torch.allclose(inner, network.denoiser(noisy, torch.tensor([[1.0]]), context))


@torch.no_grad()
def test_at_vanishing_noise_the_state_passes_unchanged(network):
    """The boundary condition D(x, 0) = x."""
    batch, context = _context(network, 0)
    clean = network.clean_state(batch)
    back = network.denoise(clean, torch.tensor([1e-6]), context)
    # c_out(1e-6) is 1e-6 and the network's answer is of the order of ten.
    torch.testing.assert_close(back, clean, rtol=0, atol=1e-4)


@torch.no_grad()
def test_clean_state_is_the_latent_where_lidar_is_and_absent_elsewhere(network):
    batch, _ = _context(network, 0)
    clean = network.clean_state(batch)
    latent = network.vae.encode(batch.lidar)
    row, there = batch.lattice.support.find(latent.support.keys)
    assert there.all()
    torch.testing.assert_close(clean[row, :3], latent.feats * 0.5)
    assert (clean[row, -1] == 1).all()
    absent = torch.ones(len(clean), dtype=torch.bool).index_fill(0, row, False)
    assert (clean[absent, :3] == 0).all()
    assert (clean[absent, 3:] == -1).all()


@torch.no_grad()
def test_decoding_the_clean_state_stays_on_the_true_voxels_of_stride_2(network):
    batch, _ = _context(network, 0, 1)
    decoded = _decode(network, network.clean_state(batch), batch, SamplingSettings())
    assert torch.equal(
        parent_support(decoded.support).coords, parent_support(batch.lidar.support).coords
    )


@torch.no_grad()
def test_a_start_with_little_noise_stays_near_the_regression(network):
    condition = _condition(network, 0)
    regression, noise = network.regress(condition), torch.randn(len(condition.seen.feats), CHANNELS)
    samplings = [SamplingSettings(steps=3, start_sigma=start) for start in (0.003, 0.5)]
    draws = [
        network.sample(condition, regression, lambda: noise, sampling) for sampling in samplings
    ]
    # Flags don't: a mean of them, such as -0.4, is not what noise makes of -1 or 1.
    distances = [(draw - regression)[:, :3].abs().mean().item() for draw in draws]
    assert distances[0] < 0.02 < distances[1]


@torch.no_grad()
def test_one_step_is_one_jump_and_two_are_two(network):
    condition = _condition(network, 0)
    mean, *noises = torch.randn(3, len(condition.seen.feats), CHANNELS)
    one, two = (
        network.sample(condition, mean, iter(noises).__next__, FewStepSamplingSettings(steps=steps))
        for steps in (1, 2)
    )
    highest, last = torch.tensor([20.0]), torch.tensor([FewStepSamplingSettings().last_sigma])
    jump = network.denoise(mean + 20.0 * noises[0], highest, condition.seen)
    torch.testing.assert_close(one, jump)
    again = network.denoise(jump + last * noises[1], last, condition.seen)
    torch.testing.assert_close(two, again, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_without_temperature_all_draws_are_one(network):
    condition = _condition(network, 0)
    mean, *noises = torch.randn(3, len(condition.seen.feats), CHANNELS)
    cold, warm = (SamplingSettings(steps=2, temperature=temperature) for temperature in (0.0, 1.0))
    draws = [
        network.sample(condition, mean, iter([noise]).__next__, sampling)
        for sampling in (cold, warm)
        for noise in noises
    ]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[2], draws[3])


@torch.no_grad()
def test_details_are_latents_said_of_the_chosen_flags_alone(network):
    condition = _condition(network, 0)
    state, noise = torch.randn(2, len(condition.seen.feats), CHANNELS)
    sampling = SamplingSettings(detail_sigma=0.6)
    detailed = network.draw_details(state, condition, lambda: noise, sampling)
    assert torch.equal(detailed[:, 3:], state[:, 3:])
    chosen = network.choose(state, condition.seen.support, sampling)
    flags = torch.cat([chosen, chosen.any(1)[:, None]], dim=1)
    certain = torch.cat([state[:, :3], torch.where(flags, 1.0, -1.0)], dim=1)
    said = network.denoise(certain + 0.6 * noise, torch.tensor([0.6]), condition.seen)
    torch.testing.assert_close(detailed[:, :3], said[:, :3])


@torch.no_grad()
def test_guidance_leads_from_what_is_said_without_the_radar_through_what_is_said_with_it(network):
    condition = _condition(network, 0)
    noisy, sigma = torch.randn(len(condition.seen.feats), CHANNELS), torch.tensor([1.0])
    blind, seen, beyond = (
        network.denoise_guided(noisy, sigma, condition, guidance) for guidance in (0.0, 1.0, 2.0)
    )
    torch.testing.assert_close(blind, network.denoise(noisy, sigma, condition.blind))
    torch.testing.assert_close(seen, network.denoise(noisy, sigma, condition.seen))
    assert not torch.allclose(blind, seen)
    torch.testing.assert_close(
        beyond[:, :3], 2.0 * seen[:, :3] - blind[:, :3], rtol=1e-4, atol=1e-4
    )


@torch.no_grad()
def test_without_radar_all_frames_look_alike(network):
    first, second = _condition(network, 0), _condition(network, 1)
    assert torch.equal(first.blind.feats, second.blind.feats)
    assert not torch.equal(first.seen.feats, second.seen.feats)


@pytest.mark.parametrize("threshold", [-0.5, 0.0, 0.7])
def test_the_cells_whose_presence_exceeds_the_threshold_are_active(network, threshold):
    batch, _ = _context(network, 0)
    state = torch.full((len(batch.cells.feats), CHANNELS), -1.0)  # no flag is expected to be up
    state[:, -1] = torch.linspace(-1.0, 1.0, len(state))
    sampling = SamplingSettings(presence_threshold=threshold)
    chosen = network.choose(state, batch.lattice.support, sampling)
    assert chosen.sum(1).tolist() == [int(presence > threshold) for presence in state[:, -1]]


@torch.no_grad()
def test_a_lower_bound_gives_more_voxels(network):
    batch, _ = _context(network, 0)
    state = network.clean_state(batch)
    counts = [
        len(_decode(network, state, batch, SamplingSettings(voxel_probability=probability)).feats)
        for probability in (0.05, 0.12, 1.0)
    ]
    assert counts[0] > counts[1] > counts[2] == len(parent_support(batch.lidar.support))
