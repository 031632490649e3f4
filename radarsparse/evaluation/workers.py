"""Frames side by side: threads of one process, and the processes that torchrun starts."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from torch import distributed
from tqdm import tqdm

from radarsparse.errors import EXIT_INPUT_ERROR, InputError
from radarsparse.parallel import one_torch_thread

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Workers:
    """Threads of this process, which is number `rank` of `world` processes that share the work."""

    threads: int = 1
    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one process that speaks and writes."""
        return self.rank == 0

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], title: str
    ) -> list[Result]:
        """Call a function with every item; every process gets all results, in the items' order.

        torch may use one thread in each call, so that results don't depend on who did what.

        Args:
            function: what to do with one item.
            items: the same in every process.
            title: of the progress bar.

        Raises:
            InputError: a call raised it, here or in another process.
        """
        mine = items[self.rank :: self.world]
        parts = self.together(lambda: self._map_part(function, mine, title))
        return [parts[i % self.world][i // self.world] for i in range(len(items))]

    def together(self, function: Callable[[], Result]) -> list[Result]:
        """Call a function in every process; every process gets all results, by rank.

        Raises:
            InputError: a call raised it, here or in another process.
        """
        if self.world == 1:
            return [function()]
        try:
            answer = function(), None
        except InputError as error:
            answer = None, str(error)
        answers = [answer] * self.world
        distributed.all_gather_object(answers, answer)
        for _, fault in answers:
            if fault is not None:
                raise InputError(fault)
        return [result for result, _ in answers]  # pyright: ignore[reportReturnType]

    def _map_part(
        self, function: Callable[[Item], Result], items: Sequence[Item], title: str
    ) -> list[Result]:
        hidden = None if self.leads else True
        with one_torch_thread(), ThreadPoolExecutor(self.threads) as pool:
            results = pool.map(function, items)
            try:
                return list(tqdm(results, title, len(items), unit="frame", disable=hidden))
            finally:
                pool.shutdown(cancel_futures=True)


@contextmanager
def start_workers(workers: int | None) -> Iterator[Workers]:
    """The workers of this process; under torchrun, the processes meet.

    What the user must mend ends every process; the leader alone says so.

    Args:
        workers: threads per process; by default the cores, dealt over the machine's processes.

    Raises:
        InputError: workers isn't positive.
    """
    if workers is not None and workers < 1:
        raise InputError(f"--workers {workers}: must be 1 or more")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    neighbours = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    threads = workers or max(1, len(os.sched_getaffinity(0)) // neighbours)
    if world == 1:
        yield Workers(threads)
        return
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    try:
        yield Workers(threads, rank, world)
    except InputError:
        if rank == 0:
            raise
        sys.exit(EXIT_INPUT_ERROR)
    finally:
        distributed.destroy_process_group()
