"""Clouds of the pretended device against those of the CPU, and what a frame costs there."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import KDTree

from radarsparse.enhancer import EnhancedCloud, Enhancer, Tiles
from radarsparse.simulator.pairs import simulate_pair
from radarsparse.sparse import engines
from tests.conftest import tiny_pair
from tests.pretended.device import Pretended

# Of a call of the weights that ship, after the first; they may only fall.
LAUNCHES_PER_FRAME_MOST = 750
WAITS_PER_FRAME_MOST = 18
COPIES_PER_FRAME_MOST = 15

RADAR = tiny_pair(6).radar
# Offsets of half a voxel and intensities up to 255, from sums in another order.
TOLERANCE = 2e-3


@pytest.fixture(autouse=True)
def in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU computes as the device does."""
    monkeypatch.setattr(engines, "multiplies_bfloat16", lambda: False)


def assert_alike(found: EnhancedCloud, expected: EnhancedCloud) -> None:
    assert len(found.points) == len(expected.points) > 0
    np.testing.assert_allclose(found.table, expected.table, rtol=1e-4, atol=TOLERANCE)
    np.testing.assert_allclose(found.probability, expected.probability, atol=1e-4)
    np.testing.assert_allclose(found.spread, expected.spread, atol=1e-4)


def assert_mostly_alike(found: EnhancedCloud, expected: EnhancedCloud) -> None:
    """Whether a flag comes up turns on the last digit where a sum is next to a whole number."""
    missed = abs(len(found.points) - len(expected.points))
    assert missed <= 0.02 * len(expected.points)
    if len(expected.points):
        near = KDTree(found.points).query(expected.points)[0] < TOLERANCE
        assert near.mean() > 0.98


def test_the_weights_that_ship_draw_what_the_cpu_draws_at_a_bounded_cost(
    device: Pretended,
) -> None:
    radar = simulate_pair(0, 0).radar
    expected, enhancer = Enhancer.load()(radar), Enhancer.load().to("cuda")
    assert_alike(enhancer(radar), expected)
    device.reset()
    assert_alike(enhancer(radar), expected)
    assert device.launches.total() <= LAUNCHES_PER_FRAME_MOST, device.show()
    assert device.waits.total() <= WAITS_PER_FRAME_MOST, device.show()
    assert device.copies.total() <= COPIES_PER_FRAME_MOST, device.show()


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": 1, "views": 1},
        {"samples": 1, "views": 1, "steps": 2, "guidance": 1.5},
        {"samples": 1, "regression_share": 1.0, "detail_sigma": 0.5},
        {"samples": 1, "views": 2, "regression_share": 0.0, "detail_sigma": None},
    ],
    ids=str,
)
def test_few_step_networks_draw_what_the_cpu_draws(device: Pretended, changes: dict) -> None:
    radar, enhancer = simulate_pair(0, 1).radar, Enhancer.load()
    enhancer = enhancer.with_sampling(enhancer.sampling.model_copy(update=changes))
    expected = enhancer(radar)
    assert_alike(enhancer.to("cuda")(radar), expected)


@pytest.mark.parametrize(
    ("changes", "tiles"),
    [
        ({"regression_share": 0.0, "detail_sigma": None}, None),
        ({"steps": 1, "regression_share": 0.0, "detail_sigma": 0.5}, None),
        ({"views": 2}, None),
        ({"samples": 2, "views": 2, "regression_share": 0.5}, None),
        (
            {"regression_share": 0.0, "guidance": 2.0, "start_sigma": 1.0, "temperature": 0.5},
            None,
        ),
        ({"steps": 1, "views": 2, "regression_share": 0.0}, Tiles(6.4)),
    ],
    ids=str,
)
def test_steps_of_heun_draw_what_the_cpu_draws(
    device: Pretended, edm_run: Path, changes: dict, tiles: Tiles | None
) -> None:
    enhancer = Enhancer.load(edm_run, tiles)
    enhancer = enhancer.with_sampling(enhancer.sampling.model_copy(update=changes))
    expected = enhancer(RADAR, samples=1)
    found = enhancer.to("cuda")(RADAR, samples=1)
    assert_alike(found, expected)
    assert_mostly_alike(found.draws[0], expected.draws[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda enhancer: enhancer.regress(RADAR),
        lambda enhancer: enhancer(enhancer.network.vae.latent_mean.new_tensor(RADAR)),
        lambda enhancer: list(enhancer.stream([RADAR, tiny_pair(7).radar]))[1],
        lambda enhancer: enhancer.batch([RADAR, tiny_pair(7).radar], workers=2)[1],
    ],
    ids=["regress", "tensor", "stream", "batch"],
)
def test_other_ways_give_what_the_cpu_gives(
    device: Pretended, edm_run: Path, make: Callable[[Enhancer], EnhancedCloud]
) -> None:
    enhancer = Enhancer.load(edm_run)
    expected = make(enhancer)
    assert_alike(make(enhancer.to("cuda")), expected)


def test_reconstructions_are_those_of_the_cpu(device: Pretended) -> None:
    pair, enhancer = simulate_pair(0, 0), Enhancer.load()
    expected = enhancer.reconstruct(pair)
    assert_alike(enhancer.to("cuda").reconstruct(pair), expected)
