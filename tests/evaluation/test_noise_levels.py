import numpy as np

from radarsparse.enhancer import Enhancer
from radarsparse.evaluation.noise_levels import LEVELS, losses_by_level
from tests.conftest import tiny_pair


def test_little_noise_leaves_little_to_say(edm_run):
    noise = losses_by_level(Enhancer.load(edm_run), [tiny_pair(6), tiny_pair(7)], seed=0)
    assert noise.sigmas.tolist() == list(LEVELS)
    assert all(np.isfinite(losses).all() for losses in noise)
    # Flags are 2 apart: at a tenth of that distance none is mistaken for the other.
    assert noise.flags[0] < 1e-6 > noise.alone[0]
    assert noise.flags[-1] > 1.0 < noise.alone[-1]


def test_the_same_seed_sees_the_same_noise(edm_run):
    enhancer = Enhancer.load(edm_run)
    first, again, other = (losses_by_level(enhancer, [tiny_pair(6)], seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.latents, again.latents)
    assert not np.array_equal(first.latents, other.latents)
