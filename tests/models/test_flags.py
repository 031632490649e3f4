import math

import torch

from radarsparse.models.flags import choose_flags, draw_flags, settle
from radarsparse.models.state import BINARY_CHANNELS, FLAGS, State, make_state
from radarsparse.sparse import SparseTensor, Support
from radarsparse.sparse.ops import parent_support
from radarsparse.voxels.batch import make_batch
from tests.conftest import tiny_pair
from tests.models.test_vae import VOLUME

DRAWS = 400


def _state(flags: torch.Tensor, presence: torch.Tensor) -> State:
    return State(torch.zeros(len(flags), 3), flags, presence)


def _said(probability: torch.Tensor) -> State:
    return _state(2 * probability - 1, torch.ones(len(probability)))


def _columns(count: int, apart: int) -> Support:
    """Cells side by side along x, so many cells apart."""
    places = torch.zeros(count, 4, dtype=torch.int64)
    places[:, 1] = apart * torch.arange(count)
    return Support.of(places, 1, 8)


def _draws(probability: torch.Tensor, probability_min: float, apart: int = 100) -> torch.Tensor:
    random, cells = torch.Generator().manual_seed(3), _columns(len(probability), apart)
    said = _said(probability)
    drawn = [draw_flags(said, cells, probability_min, random) for _ in range(DRAWS)]
    return torch.stack(drawn).double()


def test_choosing_flags_of_a_true_state_changes_nothing():
    batch = make_batch([tiny_pair(0), tiny_pair(1)], VOLUME)
    fine = parent_support(batch.lidar.support)
    occupied = parent_support(parent_support(fine))
    latent = SparseTensor.on(occupied, torch.randn(len(occupied), 3))
    parts = State.split(make_state(latent, fine, batch.lattice.support))
    assert torch.equal(choose_flags(parts, batch.lattice.support, 0.0), parts.flags > 0)


def test_as_many_flags_are_chosen_in_each_sample_as_are_expected_the_likeliest_first():
    torch.manual_seed(0)
    sample = torch.arange(2).repeat_interleave(50)
    probability = torch.rand(100, FLAGS) ** 4
    cells = Support.of(torch.stack([sample, *torch.arange(300).view(3, 100)], dim=1), 2, 8)
    chosen = choose_flags(_state(2 * probability - 1, -torch.ones(100)), cells, 0.0)
    for number in (0, 1):
        inside, up = probability[sample == number], chosen[sample == number]
        assert int(up.sum()) == round(inside.sum().item())
        assert inside[up].min() >= inside[~up].max()


def test_a_present_cell_keeps_its_likeliest_flag_even_where_none_is_expected():
    flags = torch.full((3, FLAGS), -1.0)
    flags[1, 7] = -0.999
    presence = torch.tensor([-0.5, 0.2, -0.1])
    cells = Support.of(torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 2]]), 1, 8)
    chosen = choose_flags(_state(flags, presence), cells, 0.0)
    assert chosen.nonzero().tolist() == [[1, 7]]
    nothing = choose_flags(_state(flags, presence), cells, 0.5)
    assert not nothing.any()


def test_a_flag_is_drawn_as_often_as_is_said_of_it():
    torch.manual_seed(0)
    probability = torch.rand(20, FLAGS, dtype=torch.float64) ** 3
    drawn = _draws(probability, 0.0)
    error = (probability * (1 - probability) / DRAWS).sqrt()
    # Five standard errors: one flag in 1.7 million is further off.
    assert ((drawn.mean(0) - probability).abs() <= 5 * error + 1e-9).all()
    # The first draws of two cells differ, and so do two draws of one cell.
    assert not torch.equal(drawn[0], drawn[1])


def test_a_cell_draws_as_many_flags_as_their_probabilities_add_up_to():
    torch.manual_seed(1)
    probability = torch.rand(20, FLAGS, dtype=torch.float64) ** 3
    counts, expected = _draws(probability, 0.0).sum(2), probability.sum(1)
    assert ((counts - expected).abs() < 1).all()


def test_certain_flags_are_drawn_as_they_are():
    torch.manual_seed(2)
    certain = torch.randint(2, (20, FLAGS)).double()
    assert torch.equal(_draws(certain, 0.05)[:5], certain.expand(5, -1, -1))


def test_unlikely_flags_are_left_out_and_the_others_are_as_many_as_all():
    torch.manual_seed(3)
    probability = torch.rand(200, FLAGS, dtype=torch.float64) ** 8
    drawn = _draws(probability, 0.05)
    assert not drawn[:, probability < 0.05].any()
    share = drawn.sum().item() / DRAWS / probability.sum().item()
    # What exceeds a probability of 1 is lost.
    assert 0.98 < share <= 1.0005


def test_where_nothing_is_likely_nothing_is_drawn():
    assert not _draws(torch.full((2, FLAGS), 0.01), 0.05).any()


def test_a_settled_state_says_the_chosen_flags_for_certain():
    torch.manual_seed(4)
    state, chosen = torch.randn(5, 3 + BINARY_CHANNELS), torch.rand(5, FLAGS) < 0.02
    settled = State.split(settle(state, chosen))
    assert torch.equal(settled.latent, state[:, :3])
    assert torch.equal(settled.flags, 2.0 * chosen - 1.0)
    assert torch.equal(settled.presence > 0, chosen.any(1))
    assert set(settled.presence.tolist()) == {-1.0, 1.0}


def test_columns_near_each_other_are_rounded_alike_and_far_ones_are_not():
    probability = torch.zeros(2, FLAGS, dtype=torch.float64)
    probability[:, 5] = 0.5
    same = {}
    for apart in (1, 4, 100):
        drawn = _draws(probability, 0.0, apart)[:, :, 5]
        same[apart] = (drawn[:, 0] == drawn[:, 1]).double().mean().item()
    # Of two Gaussian numbers of correlation r both have one sign in 1 / 2 + arcsin(r) / pi of the
    # cases, and r is exp(-(cells / 4)^2 / 2); the standard error of a share is 0.025 at most.
    for apart, found in same.items():
        correlation = math.exp(-((apart / 4) ** 2) / 2)
        assert abs(found - 0.5 - math.asin(correlation) / math.pi) < 0.1
    upright = Support.of(torch.tensor([[0, 3, 4, 0], [0, 3, 4, 7]]), 1, 8)
    random = torch.Generator().manual_seed(1)
    for _ in range(50):
        above, below = draw_flags(_said(probability), upright, 0.0, random)
        assert torch.equal(above, below)
