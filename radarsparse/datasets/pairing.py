"""Which stamps of one sensor lie near those of another, and what was measured then."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


class Nearest(NamedTuple):
    """For each of n moments the stamp nearest to it.

    Attributes:
        numbers: [n] of the stamps; they ascend where the moments do.
        gaps_s: [n] seconds to those stamps, never negative.
    """

    numbers: NDArray[np.int64]
    gaps_s: NDArray[np.float64]


def find_nearest(stamps_s: NDArray[np.float64], moments_s: NDArray[np.float64]) -> Nearest:
    """Find the stamp nearest to each moment; of two that are as near, the later one.

    Args:
        stamps_s: [m] seconds, ascending, at least one.
        moments_s: [n] seconds.
    """
    after = np.searchsorted(stamps_s, moments_s).clip(max=len(stamps_s) - 1)
    before = (after - 1).clip(min=0)
    to_before_s = np.abs(moments_s - stamps_s[before])
    to_after_s = np.abs(stamps_s[after] - moments_s)
    numbers = np.where(to_before_s < to_after_s, before, after)
    return Nearest(numbers, np.minimum(to_before_s, to_after_s))


def ranges_around(
    stamps_s: NDArray[np.float64], moments_s: NDArray[np.float64], before_s: float, after_s: float
) -> NDArray[np.int64]:
    """Find the stamps in a window around each moment, its ends included.

    Args:
        stamps_s: [m] seconds, ascending.
        moments_s: [n] seconds.
        before_s: where the window begins, seconds before the moment.
        after_s: where it ends, seconds after the moment.

    Returns:
        [n, 2] index of the first stamp in the window, and of the first one behind it.
    """
    first = np.searchsorted(stamps_s, moments_s - before_s, side="left")
    end = np.searchsorted(stamps_s, moments_s + after_s, side="right")
    return np.stack([first, end], axis=1)


def union_of_ranges(ranges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers that lie in at least one of several ranges.

    Args:
        ranges: [n, 2] first number and the one behind the last.

    Returns:
        [k] ascending, each once.
    """
    members = [np.arange(first, end, dtype=np.int64) for first, end in ranges]
    return np.unique(np.concatenate([np.empty(0, dtype=np.int64), *members]))


def slide_over(items: Iterator[T], ranges: NDArray[np.int64]) -> Iterator[tuple[T, ...]]:
    """The items of each range, taken one by one and kept no longer than a range needs them.

    Args:
        items: those of `union_of_ranges(ranges)`, in order.
        ranges: [n, 2] first number and the one behind the last, both columns ascending.
    """
    window: deque[T] = deque()
    oldest = 0
    for first, end in ranges.tolist():
        for _ in range(min(first - oldest, len(window))):
            window.popleft()
        oldest = first
        window.extend(islice(items, end - first - len(window)))
        yield tuple(window)
