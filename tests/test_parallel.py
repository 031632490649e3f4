"""Work side by side: in order, a little ahead, errors in their turn."""

from threading import Barrier

import pytest
import torch

from radarsparse.parallel import in_processes, side_by_side


def test_threads_work_at_once_and_results_keep_their_order():
    together = Barrier(3, timeout=10)

    def work(item: int) -> tuple[int, int]:
        together.wait()  # breaks unless three are at work
        return item * item, torch.get_num_threads()

    before = torch.get_num_threads()
    with side_by_side(work, range(9), 3) as results:
        assert list(results) == [(item * item, 1) for item in range(9)]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("workers", "ahead"), [(1, 0), (2, 2), (4, 4)])
def test_items_are_asked_for_a_little_ahead(workers, ahead):
    asked = []

    def items():
        for item in range(10):
            asked.append(item)
            yield item

    with side_by_side(str, items(), workers) as results:
        assert next(results) == "0"
        assert len(asked) == 1 + ahead


def test_errors_come_in_their_turn_and_end_the_work():
    done = []

    def work(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        done.append(item)
        return item

    got = []
    with pytest.raises(ValueError, match="two"), side_by_side(work, range(100), 2) as results:
        got.extend(results)
    assert got == [0, 1]
    assert {0, 1} <= set(done)
    assert len(done) < 10


def test_processes_keep_the_order_too():
    with in_processes(str, range(7), 2) as results:
        assert list(results) == [str(number) for number in range(7)]
