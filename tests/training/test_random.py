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
