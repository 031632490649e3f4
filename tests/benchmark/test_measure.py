import torch

from radarsparse.benchmark.measure import median_seconds, peak_bytes


def test_peak_is_the_most_that_was_held_at_once():
    kept = []

    def call():
        kept.append(torch.empty(1000, 1000))  # 4 MB that stay
        torch.empty(2000, 1000)  # 8 MB that go again
        kept.append(torch.empty(1000, 1000))

    assert peak_bytes(call) == 12_000_000


def test_every_call_is_timed_in_turn_after_one_to_warm_up():
    turns = []
    times = median_seconds({name: lambda name=name: turns.append(name) for name in "ab"}, 2)
    assert turns == ["a", "b"] * 3
    assert all(0 <= time < 1 for time in times.values())
    assert list(times) == ["a", "b"]
