"""How long a call takes and how much memory it needs at most."""

import time
from collections.abc import Callable
from itertools import accumulate
from statistics import median
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile


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


def peak_bytes(call: Callable[[], object]) -> int:
    """Most memory that torch held during a call on CPU above what it held before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        call()
    profiler: Any = recorded.profiler  # its events' type lacks their size
    events = [e for e in profiler.kineto_results.events() if e.name() == "[memory]"]
    held = accumulate(e.nbytes() for e in sorted(events, key=lambda e: e.start_ns()))
    return max(held, default=0)


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
