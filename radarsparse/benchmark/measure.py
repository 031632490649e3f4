"""How long a call takes."""

import time
from collections.abc import Callable
from statistics import median

import torch


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call, the GPU's work included."""
    _wait()
    start = time.perf_counter()
    call()
    _wait()
    return time.perf_counter() - start


def median_seconds(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median wall time of each call, taken in turns after one turn to warm up.

    Args:
        calls: what to time, by name.
        repeats: turns that count.
    """
    turns = [{name: seconds(call) for name, call in calls.items()} for _ in range(repeats + 1)]
    return {name: median(turn[name] for turn in turns[1:]) for name in calls}


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
