"""Trees against independent implementations on many random pairs of clouds."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.neighbors import KDTree

from radarsparse.metrics import evaluate
from radarsparse.metrics.nearest.tree import Search, search_pykdtree, search_scipy

Floats = NDArray[np.float64]
Make = Callable[[np.random.Generator, int], Floats]


def on_surfaces(random: np.random.Generator, points: int) -> Floats:
    """Ground rings and a wall, as a LiDAR sees them."""
    range_m = random.choice([5.0, 7.0, 11.0, 20.0, 60.0], points)
    azimuth = random.uniform(-1, 1, points)
    z = np.where(random.uniform(size=points) < 0.3, random.uniform(-1, 3, points), -1.5)
    return np.c_[range_m * np.cos(azimuth), range_m * np.sin(azimuth), z]


def clustered(random: np.random.Generator, points: int) -> Floats:
    return random.integers(-3, 3, (points, 3)) * 10 + 0.01 * random.standard_normal((points, 3))


KINDS: dict[str, Make] = {
    "uniform": lambda random, points: random.uniform(-50, 50, (points, 3)),
    "surfaces": on_surfaces,
    "clustered": clustered,
    "far": lambda random, points: 1e5 + random.uniform(-1, 1, (points, 3)),
    "copies": lambda random, points: random.integers(0, 3, (points, 3)).astype(np.float64),
    "one place": lambda random, points: np.full((points, 3), 7.25),
    "line": lambda random, points: np.outer(random.uniform(-9, 9, points), [1.0, 2.0, -0.5]),
}

kinds = st.sampled_from(sorted(KINDS))
sizes = st.integers(1, 90)
seeds = st.integers(0, 2**32 - 1)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
@settings(max_examples=2500, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=seeds, pred_kind=kinds, target_kind=kinds, n=sizes, m=sizes)
def test_metrics_agree_with_scikit_learn(
    part: int, seed: int, pred_kind: str, target_kind: str, n: int, m: int
) -> None:
    random = np.random.default_rng([part, seed])
    pred, target = KINDS[pred_kind](random, n), KINDS[target_kind](random, m)
    scores = evaluate(pred, target, thresholds_m=(0.5, 2.0), voxel_sizes_m=(0.4,))
    there, back = KDTree(target).query(pred)[0][:, 0], KDTree(pred).query(target)[0][:, 0]
    precision, recall = (there < 0.5).mean(), (back < 0.5).mean()
    expected = {
        "chamfer_sum_m": there.mean() + back.mean(),
        "chamfer_sq_m2": (there**2).mean() + (back**2).mean(),
        "hausdorff_m": max(there.max(), back.max()),
        "hausdorff95_m": max(np.quantile(there, 0.95), np.quantile(back, 0.95)),
        "hausdorff_median_m": max(np.median(there), np.median(back)),
        "precision@0.5m": precision,
        "recall@0.5m": recall,
        "precision@2.0m": (there < 2.0).mean(),
        "recall@2.0m": (back < 2.0).mean(),
        "fscore@0.5m": 2 * precision * recall / max(precision + recall, 1e-9),
    }
    assert {key: scores[key] for key in expected} == pytest.approx(expected, rel=1e-6, abs=1e-9)


NO_PYKDTREE = pytest.mark.skipif(not find_spec("pykdtree"), reason="pykdtree isn't installed")


@pytest.mark.parametrize("search", [search_scipy, pytest.param(search_pykdtree, marks=NO_PYKDTREE)])
@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 500), (500, 23), (400, 300)])
def test_every_search_names_a_nearest_point(search: Search, kind: str, n: int, m: int) -> None:
    random = np.random.default_rng(n)
    query, target = KINDS[kind](random, n), KINDS[kind](random, m)
    table = ((query[:, None] - target[None]) ** 2).sum(-1)
    named = table[np.arange(n), search(query, target)]
    assert named == pytest.approx(table.min(axis=1), rel=1e-12, abs=1e-25)
