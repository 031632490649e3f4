import torch

from radarsparse.training.random import SampleRandom

CPU = torch.device("cpu")
ROWS = torch.tensor([0, 0, 0, 2, 2])  # sample 1 has none


def test_numbers_belong_to_the_sample_and_not_to_its_batch() -> None:
    together, alone = SampleRandom(5, [7, 8, 9], CPU), SampleRandom(5, [9], CPU)
    assert together.normal()[2] == alone.normal()[0]
    assert together.uniform()[2] == alone.uniform()[0]
    rows = together.normal_rows(ROWS, 4)
    assert torch.equal(rows[3:], alone.normal_rows(torch.tensor([0, 0]), 4))
    assert torch.equal(together.uniform_rows(ROWS)[3:], alone.uniform_rows(torch.tensor([0, 0])))


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
