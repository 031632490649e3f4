"""Work of several threads or processes, in order, a little ahead of who asks for it."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from signal import SIG_IGN, SIGINT, signal
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


@contextmanager
def side_by_side(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Iterator[Result]]:
    """A block in which items are worked on by threads, while others are read and results used.

    A single worker is the caller's thread, which does one after another; of several, each may use
    one thread of torch.

    Args:
        function: what to do with one item; must be safe to be called by threads at once.
        items: asked for in the caller's thread, no more of them than `workers` before their turn.
        workers: 1 or more.

    Yields:
        The results, in the items' order; what a call raises is raised in its turn. Calls that
        haven't begun at the end of the block never do.
    """
    if workers == 1:
        yield map(function, items)
        return
    with one_torch_thread(), ThreadPoolExecutor(workers) as pool:
        try:
            yield _in_order(pool, function, items, workers)
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def in_processes(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Iterator[Result]]:
    """As `side_by_side`, by processes, for work that Python does itself.

    Args:
        function: what to do with one item; it, items and results are sent between processes.
        items: as there.
        workers: processes, 2 or more.
    """
    # Forked from a process without threads; what ends the work is the caller's to say.
    context = get_context("forkserver")
    with ProcessPoolExecutor(workers, context, signal, (SIGINT, SIG_IGN)) as pool:
        try:
            yield _in_order(pool, function, items, workers)
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(
    pool: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int,
) -> Iterator[Result]:
    waiting = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > workers:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """A block in which each call of torch uses one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
