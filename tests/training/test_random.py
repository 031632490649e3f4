import pytest
import torch

from radarsparse.sparse import Support
from radarsparse.training.random import SampleRandom

CPU = torch.device("cpu")


def support_of(*samples: int) -> Support:
    """One voxel after the other, of these samples."""
    coords = torch.tensor([(sample, place, 0, 0) for place, sample in enumerate(samples)])
    return Support.of(coords, samples[-1] + 1, 1)


def test_numbers_belong_to_the_sample_and_not_to_its_batch() -> None:
    together, alone = SampleRandom(5, [7, 8, 9], CPU), SampleRandom(5, [9], CPU)
    assert together.normal()[2] == alone.normal()[0]
    assert together.uniform()[2] == alone.uniform()[0]
    many, few = support_of(0, 0, 0, 2, 2), support_of(0, 0)  # sample 1 has none
    assert torch.equal(together.normal_rows(many, 4)[3:], alone.normal_rows(few, 4))
    assert torch.equal(together.uniform_rows(many)[3:], alone.uniform_rows(few))


def test_seeds_and_samples_differ() -> None:
    draws = {
        SampleRandom(seed, [sample], CPU).normal().item() for seed in (0, 1) for sample in (0, 1)
    }
    assert len(draws) == 4


def test_moments() -> None:
    random = SampleRandom(0, range(20_000), CPU)
    # Standard errors: 1 / sqrt(20000) of a normal mean, sqrt(1 / 12 / 20000) of a uniform one.
    assert abs(random.normal().mean()) < 5 * 0.0071
    assert abs(random.uniform().mean() - 0.5) < 5 * 0.0021


@pytest.mark.parametrize("threads", [1, 3])
def test_many_numbers_are_those_of_each_samples_own_generator(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    support = support_of(*[0] * 5000, *[1] * 7, *[3] * 6001)  # sample 2 has none
    found = SampleRandom(2, [4, 5, 6, 7], CPU).normal_rows(support, 30)
    parts = dict(zip((4, 5, 6, 7), found.split(support.sample_counts), strict=True))
    assert len(parts.pop(6)) == 0
    for sample, rows in parts.items():
        alone = SampleRandom(2, [sample], CPU).normal_rows(support_of(*[0] * len(rows)), 30)
        assert torch.equal(rows, alone)


def test_numbers_of_a_seed_stay_the_same() -> None:
    random, rows = SampleRandom(5, [7, 8], CPU), support_of(0, 1)
    drawn = [random.uniform(), random.normal(), random.normal_rows(rows, 2).flatten()]
    assert torch.cat(drawn).tolist() == pytest.approx(
        [0.163952, 0.895389, -1.619368, 0.354058, 0.692411, 0.174884, 0.613719, 0.802129], abs=1e-6
    )
