from copy import copy

import pytest
import torch

from radarsparse.config import (
    DenoiserSettings,
    DiffusionSettings,
    LidarSettings,
    SamplingSettings,
    VaeSettings,
)
from radarsparse.geometry import Volume
from radarsparse.models.denoiser import Denoiser
from radarsparse.models.latent_diffusion import Condition, LatentDiffusion
from radarsparse.models.state import BINARY_CHANNELS
from radarsparse.models.tiled import (
    ALIGNMENT,
    Tile,
    TiledDenoiser,
    decode_tiles,
    denoiser_reach,
    make_tiles,
)
from radarsparse.voxels.scene import Surroundings, make_scene

# 120 x 4 x 2 lattice cells: longer than tiles and what they see around them.
LONG = Volume((0.0, -3.2, -1.6), (192.0, 3.2, 1.6), 0.2, 1.5)
SIDE = 16
CHANNELS = 3 + BINARY_CHANNELS

RINGS = LidarSettings(rings_deg=(-3.0, 0.0, 3.0))


def _network(blocks: int = 1) -> LatentDiffusion:
    """Random weights everywhere, so that a network sees as far as it can."""
    torch.manual_seed(0)
    vae = VaeSettings(channels=(4, 8, 8, 12), latent_channels=3, max_voxels_per_frame=10**6)
    denoiser = DenoiserSettings(
        vae="", channels=(8, 12, 16), condition_channels=(4, 6, 8, 10), blocks=blocks
    )
    network = LatentDiffusion(vae, denoiser, DiffusionSettings())
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return network.eval()


def _frame():
    """A radar cloud all along the volume."""
    torch.manual_seed(1)
    share = torch.rand(600, 3) * torch.tensor([192.0, 6.4, 3.2]) - torch.tensor([0.0, 3.2, 1.6])
    points = torch.cat([share, torch.randn(600, 1), 60 + 10 * torch.randn(600, 1)], dim=1)
    return make_scene(points.numpy(), Surroundings(LONG, RINGS))


def _tiled(network: LatentDiffusion, overlap: int) -> LatentDiffusion:
    tiled = copy(network)
    tiled.run_denoiser = TiledDenoiser(network.denoiser, SIDE, overlap)
    return tiled


def test_tiles_hold_every_cell_once():
    torch.manual_seed(0)
    coords = torch.cat([torch.zeros(300, 1), torch.randint(-30, 50, (300, 3))], dim=1).long()
    tiles = list(make_tiles(coords, 8))
    held = torch.stack([tile.holds(coords) for tile in tiles])
    assert (held.sum(0) == 1).all()
    assert held.any(1).all()
    assert all(low % ALIGNMENT == 0 for tile in tiles for low in tile.low)


def test_a_tile_grows_on_every_side():
    tile = Tile((4, 8), (8, 12)).grow(4)
    assert tile == Tile((0, 4), (12, 16))
    cells = torch.tensor([[0, 0, 4, 9], [0, 11, 15, -3], [1, 12, 15, 0], [0, 3, 3, 0]])
    assert tile.holds(cells).tolist() == [True, True, False, False]


@pytest.mark.parametrize("blocks", [1, 2])
def test_the_reach_is_how_far_gradients_come_from(blocks):
    denoiser = _network(blocks).denoiser
    radar, cells, *_ = _frame()
    context = denoiser.see(radar, cells).replace(torch.randn(len(cells.feats), 8))
    state = torch.randn(len(cells.feats), CHANNELS, requires_grad=True)
    tile = Tile((56, 0), (64, 4))
    denoiser(state, torch.zeros(1, 1), context)[tile.holds(cells.coords)].sum().backward()
    assert state.grad is not None
    seen = cells.coords[state.grad.abs().sum(1) > 0, 1]
    reach = max(56 - int(seen.min()), int(seen.max()) - 63)
    assert denoiser_reach(denoiser) - ALIGNMENT < reach <= denoiser_reach(denoiser)


@torch.no_grad()
def test_a_pass_in_tiles_is_the_pass_over_the_whole():
    network, (radar, cells, *_) = _network(), _frame()
    # In float64, since what comes from so far away is faint; sums run in another order.
    condition = Condition(
        *(c.replace(c.feats.double()) for c in network.condition_on(radar, cells))
    )
    network = network.double()
    whole = network.regress(condition)
    reach = denoiser_reach(network.denoiser)
    exact = _tiled(network, reach).regress(condition)
    torch.testing.assert_close(exact, whole, rtol=1e-12, atol=1e-12)
    near = _tiled(_network().double(), reach - ALIGNMENT).regress(condition)
    assert (near - whole).abs().max() > 1e-11


@torch.no_grad()
@pytest.mark.parametrize("start_sigma", [None, 0.5])
def test_several_steps_and_draws_agree_with_the_whole(start_sigma):
    network, scene = _network(), _frame()
    sampling = SamplingSettings(steps=3, samples=2, start_sigma=start_sigma, detail_sigma=0.5)
    whole, tiled = (
        one.draw(one.look([scene]), 7, sampling).state
        for one in (network, _tiled(network, denoiser_reach(network.denoiser)))
    )
    # 12 passes, each with the rounding of one.
    torch.testing.assert_close(tiled, whole, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_voxels_of_tiles_are_those_of_the_whole_without_doubles():
    network, scene = _network(), _frame()
    cells = scene.cells
    torch.manual_seed(2)
    state = torch.randn(len(cells.feats), CHANNELS)
    sampling = SamplingSettings(voxel_probability=0.3)
    chosen = network.choose(state, cells.support, sampling)
    inputs = state, chosen, scene, sampling
    whole, tiled = network.decode(*inputs), decode_tiles(network.decode, SIDE, *inputs)
    assert len(whole.coords) > 10_000
    assert torch.equal(tiled.coords, whole.coords)
    torch.testing.assert_close(tiled.feats, whole.feats, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_tiles_without_anything_in_them_add_nothing():
    network, scene = _network(), _frame()
    cells = scene.cells
    state = torch.randn(len(cells.feats), CHANNELS)
    state[:, 3:] = torch.where(cells.coords[:, 1:2] < 20, state[:, 3:], -1.0)
    sampling = SamplingSettings(voxel_probability=0.3)
    chosen = network.choose(state, cells.support, sampling)
    inputs = state, chosen, scene, sampling
    whole, tiled = network.decode(*inputs), decode_tiles(network.decode, SIDE, *inputs)
    assert torch.equal(tiled.coords, whole.coords)
    state[:, 3:] = -1.0
    chosen = network.choose(state, cells.support, sampling)
    assert len(decode_tiles(network.decode, SIDE, state, chosen, *inputs[2:]).feats) == 0


def test_a_denoiser_is_what_it_reaches():
    settings = {"vae": "", "channels": (8, 8, 8), "condition_channels": (4, 4, 4, 4)}
    reaches = [denoiser_reach(Denoiser(DenoiserSettings(blocks=n, **settings), 3)) for n in (1, 2)]
    assert reaches == [24, 40]
