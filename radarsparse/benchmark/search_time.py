"""Nearest neighbours of LiDAR-like clouds, both ways, beside what a user would take instead."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue] (no stub)
from torch import Tensor

from radarsparse.benchmark.measure import find_device, median_seconds, name_device
from radarsparse.benchmark.streets import lidar_pair
from radarsparse.gpu.compiler import load_kernels
from radarsparse.metrics.cloud import THRESHOLDS_M
from radarsparse.metrics.nearest.cuda.packed import PackedClouds
from radarsparse.metrics.nearest.cuda.search import search_all
from radarsparse.metrics.nearest.operator import nearest_both
from radarsparse.metrics.point import QUANTILES
from radarsparse.metrics.statistics import summarize_both

POINTS = (10_000, 100_000, 300_000)
CDIST_BYTES = 1 << 30
# Its time grows with the square: a quarter of a second for 10,000 on an H200, minutes for 300,000.
CDIST_POINTS_MOST = 20_000
# Of distances: a float's half last place, and what an origin costs coordinates of 100 m.
_RELATIVE = 1e-6
_ABSOLUTE_M = 1e-5

# Squared distances from the first cloud to the second, and back.
Both = tuple[Tensor, ...]
Search = Callable[[], Both]


def time_nearest(points: int, repeats: int) -> dict[str, Any]:
    """Median times of both directions between two clouds, on the GPU if there is one.

    On CUDA every search is followed by all statistics of both directions.

    Args:
        points: of each cloud.
        repeats: turns that count.

    Returns:
        `points`, `device`, `seconds` by name, `ratio` of our time to every other's, and `left_out`:
        what would take too long.

    Raises:
        RuntimeError: a search gives other distances than SciPy's.
    """
    device, clouds = find_device(), tuple(map(torch.from_numpy, lidar_pair(points, 0)))
    on_cuda = device.type == "cuda"
    searches = (_on_cuda if on_cuda else _on_cpu)(*(cloud.to(device) for cloud in clouds))
    takes_long = points > CDIST_POINTS_MOST and searches.pop("torch.cdist", None)
    left_out = ["torch.cdist"] if takes_long else []
    _check(searches, *clouds)
    summarized = {name: partial(_summarized, search) for name, search in searches.items()}
    times = median_seconds(summarized if on_cuda else searches, repeats)
    ours, *others = times
    ratio = {other: times[ours] / times[other] for other in others}
    about = {"points": points, "device": name_device(device), "left_out": left_out}
    return {**about, "seconds": times, "ratio": ratio}


def _on_cpu(pred: Tensor, target: Tensor) -> dict[str, Search]:
    return {
        "radarsparse": lambda: nearest_both(pred, target)[::2],
        "scipy": lambda: (_scipy(pred, target, 1), _scipy(target, pred, 1)),
        "scipy, all threads": lambda: (_scipy(pred, target, -1), _scipy(target, pred, -1)),
    }


def _on_cuda(pred: Tensor, target: Tensor) -> dict[str, Search]:
    def all_pairs() -> Both:
        frames = PackedClouds.join(pred, target)
        return search_all(load_kernels(pred.device), frames, frames.both)[0].split(len(pred))

    return {
        "radarsparse": lambda: nearest_both(pred, target)[::2],
        "all pairs": all_pairs,
        "torch.cdist": lambda: (_cdist(pred, target), _cdist(target, pred)),
    }


def _summarized(search: Search) -> object:
    there2, back2 = search()
    return summarize_both(there2, back2, THRESHOLDS_M, QUANTILES)


def _scipy(query: Tensor, target: Tensor, workers: int) -> Tensor:
    """Squared distances by SciPy's tree as it comes; one worker is its default."""
    tree = cKDTree(target.double().numpy())
    distance, _ = tree.query(query.double().numpy(), workers=workers)
    return torch.from_numpy(distance).square()


def _cdist(query: Tensor, target: Tensor) -> Tensor:
    rows = max(CDIST_BYTES // (len(target) * target.element_size()), 1)
    mode = "donot_use_mm_for_euclid_dist"  # the other one errs by centimetres
    parts = [torch.cdist(part, target, compute_mode=mode).amin(1) for part in query.split(rows)]
    return torch.cat(parts).square()


def _check(searches: dict[str, Search], pred: Tensor, target: Tensor) -> None:
    expected = torch.cat([_scipy(pred, target, 1), _scipy(target, pred, 1)]).sqrt()
    for name, search in searches.items():
        found = torch.cat([part.double().cpu() for part in search()]).sqrt()
        if not torch.allclose(found, expected, _RELATIVE, _ABSOLUTE_M):
            error = (found - expected).abs().max().item()
            raise RuntimeError(f"{name}: distances differ from SciPy's by up to {error} m")
