"""Clouds that are hard for a search, two by two, in metres."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from radarsparse.benchmark.streets import lidar_pair

# Around a warp, a block of queries, a leaf, a group of siblings and a tile.
ODD_SIZES = (1, 2, 7, 8, 9, 31, 32, 33, 127, 129, 255, 256, 257, 513, 2049)


def batch(clouds: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Clouds one after another, and where each starts."""
    counts = torch.tensor([0, *map(len, clouds)])
    return torch.cat(clouds), counts.cumsum(0)


def hard_pairs() -> dict[str, tuple[Tensor, Tensor]]:
    return {name: (_tensor(a), _tensor(b)) for name, (a, b) in _pairs(np.random.default_rng(0))}


def _tensor(points: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(points, dtype=np.float32))


def _pairs(rng: np.random.Generator) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray]]]:
    lidar = lidar_pair(2000, 0)
    uniform = rng.uniform(-1, 1, (1500, 3)) * (100, 100, 6)
    clusters = rng.normal(0, 50, (20, 1, 3)) + rng.normal(0, 0.1, (20, 75, 3))
    sphere = rng.normal(size=(1500, 3))
    sphere *= 30 / np.linalg.norm(sphere, axis=1, keepdims=True)
    line = np.linspace(-50, 50, 900)[:, None] * (1.0, 0.5, -0.1)
    zeros = np.where(rng.random((1300, 1)) < 0.2, 0.0, rng.uniform(-20, 20, (1300, 3)))
    millimetres = 100 + rng.integers(0, 200, (1300, 3)) / 1000
    yield "lidar", lidar
    yield "bad model", (rng.normal(0, 30, (1500, 3)), lidar[1])
    yield "uniform", (uniform, uniform[::-1] + 0.01)
    yield "clusters", (clusters.reshape(-1, 3), clusters[::2].reshape(-1, 3) + 0.05)
    yield "far away", (uniform + np.array([1e6, 0, 0]), uniform)
    yield "one far outlier", (uniform, np.concatenate([uniform[:1200] + 0.1, [(1e6, -1e6, 0)]]))
    yield "all points equal", (np.full((700, 3), 1.5), np.full((900, 3), 1.5))
    yield "one point", (np.full((1, 3), -2.0), np.full((1, 3), 3.0))
    yield "one query", (uniform[:1], uniform)
    yield "one target", (uniform, uniform[:1])
    yield "copies", (uniform, uniform)
    yield "line", (line, line + 0.02)
    yield "plane", (uniform * (1, 1, 0), uniform[::3] * (1, 1, 0) + 0.3)
    yield "returns at zero", (zeros, np.roll(zeros, 7, axis=0) * 1.01)
    yield "centre of a sphere", (rng.normal(0, 1e-3, (40, 3)), sphere)
    yield "millimetres at 100 m", (millimetres, millimetres[::-1] + 0.0004)
    yield "denormals", (rng.normal(0, 1e-40, (300, 3)), rng.normal(0, 1e-40, (300, 3)))
