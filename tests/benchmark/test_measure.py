from radarsparse.benchmark.measure import median_seconds


def test_every_call_is_timed_in_turn_after_one_to_warm_up():
    turns = []
    times = median_seconds({name: lambda name=name: turns.append(name) for name in "ab"}, 2)
    assert turns == ["a", "b"] * 3
    assert all(0 <= time < 1 for time in times.values())
    assert list(times) == ["a", "b"]
