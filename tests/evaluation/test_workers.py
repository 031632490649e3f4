import threading
import time

import pytest
import torch

from radarsparse.errors import InputError
from radarsparse.evaluation.workers import Workers, start_workers


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    # Later items wait for none, the first waits for the last where they run side by side.
    done = threading.Event()

    def work(item: int) -> int:
        if item == 0 and workers > 1:
            assert done.wait(30)
        if item == 5:
            done.set()
        return item * item

    assert Workers(workers).map(work, range(6), "test") == [0, 1, 4, 9, 16, 25]


def test_every_call_has_one_torch_thread() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = Workers(2).map(lambda _: torch.get_num_threads(), range(8), "test")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert found == [1] * 8


def test_an_error_ends_the_work() -> None:
    done = []

    def work(item: int) -> None:
        done.append(item)
        time.sleep(0.001)
        if item == 1:
            raise InputError("item 1: broken")

    with pytest.raises(InputError, match="item 1: broken"):
        Workers(1).map(work, range(1000), "test")
    assert len(done) < 1000


def test_a_team_has_at_least_one_worker() -> None:
    with start_workers(None) as workers:
        assert workers.threads >= 1
        assert workers.leads
    with pytest.raises(InputError, match="--workers 0: must be 1 or more"), start_workers(0):
        pass
