"""How long a call takes, and where."""

import time
from collections.abc import Callable, Mapping
from statistics import median

import torch

from radarsparse.training.devices import wait_for


def find_device() -> torch.device:
    """Where to measure: CUDA where there is a device, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def name_device(device: torch.device) -> str:
    """What a reader knows a device by."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call, the GPU's work included."""
    device = find_device()
    wait_for(device)
    start = time.perf_counter()
    call()
    wait_for(device)
    return time.perf_counter() - start


def median_seconds(calls: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median wall time of each call, taken in so many turns after one turn to warm up."""
    turns = [{name: seconds(call) for name, call in calls.items()} for _ in range(repeats + 1)]
    return {name: median(turn[name] for turn in turns[1:]) for name in calls}
