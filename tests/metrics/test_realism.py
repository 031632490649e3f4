"""Measures of realism: closed forms, slow loops, and clouds whose measures are known."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from radarsparse.metrics.realism import (
    EDGES,
    count_hidden,
    count_statistics,
    cut_patches,
    frechet_distance,
    nearest_are_alike,
    sum_moments,
)

Floats = NDArray[np.float64]


def plane(seed: int, upright: bool, side_m: float = 4.0) -> Floats:
    """Points of a square 10 m ahead, lying 1 m below the sensor or standing in the view."""
    u, v = np.random.default_rng(seed).uniform(0, side_m, (2, 400))
    level = np.full(400, 10.0), u, v
    return np.stack(level if upright else (u + 10, v, np.full(400, -1.0)), axis=1)


def slow_statistics(points: Floats) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {name: [] for name in EDGES}
    columns: dict[tuple[int, int], int] = {}
    for n, point in enumerate(points):
        x, y, z = point.tolist()
        values["elevation"].append(math.degrees(math.asin(z / math.hypot(x, y, z))))
        order = sorted(math.dist(point, other) for m, other in enumerate(points) if m != n)
        values["spacing"].append(order[0])
        place = math.floor(x / 0.4), math.floor(y / 0.4)
        columns[place] = columns.get(place, 0) + 1
        near = [other for other in points if math.dist(point, other) <= 0.6]
        if len(near) < 4:
            continue
        near = sorted(near, key=lambda other: math.dist(point, other))[:32]
        spread, axes = np.linalg.eigh(np.cov(np.array(near).T))
        values["planarity"].append((spread[1] - spread[0]) / spread[2])
        values["verticality"].append(1 - abs(axes[2, 0]))
    values["column"] = list(map(float, columns.values()))
    return values


def test_statistics_against_slow_loops() -> None:
    points = np.random.default_rng(0).uniform((5, -3, -1), (8, 3, 1), (500, 3))
    counts = count_statistics(points)
    for name, values in slow_statistics(points).items():
        edges = EDGES[name]
        expected, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        # A value on an edge may fall to either side.
        assert np.abs(counts[name] - expected).sum() <= 2, name


@pytest.mark.parametrize(("upright", "at"), [(True, -1), (False, 0)])
def test_walls_stand_and_roads_lie(upright: bool, at: int) -> None:
    counts = count_statistics(plane(0, upright))
    assert counts["verticality"][at] == counts["verticality"].sum() > 300
    # In a plane the least spread is 0; what is left is the middle one beside the most.
    assert (counts["planarity"] @ np.arange(20)) / counts["planarity"].sum() > 8


def test_single_points_have_no_neighbourhood() -> None:
    counts = count_statistics(np.array([[5.0, 0, 0]]))
    assert counts["planarity"].sum() == 0
    assert counts["column"][0] == counts["elevation"].sum() == 1
    assert counts["spacing"][-1] == 1


def test_only_what_lies_behind_a_surface_is_hidden() -> None:
    wall = plane(1, upright=True)
    assert count_hidden(wall) == (0, 400)
    behind = wall[:100] * 1.2
    assert count_hidden(np.concatenate([wall, behind])) == (100, 500)
    # No more than the depth of a surface.
    assert count_hidden(np.concatenate([wall, wall[:100] * 1.03])) == (0, 500)


def test_patches_are_about_their_middle() -> None:
    points = np.array([[5.0, 1, 2]] * 32 + [[-1, -1, 0]] * 31)
    patches = cut_patches(points)
    assert list(patches) == [(1, 0)]
    np.testing.assert_array_equal(patches[1, 0], [[-1.0, -1, 2]] * 32)
    assert list(cut_patches(points, 1)) == [(-1, -1), (1, 0)]


def test_neighbours_tell_walls_from_roads_and_not_walls_from_walls() -> None:
    walls, roads = ([plane(seed, upright) for seed in range(20)] for upright in (True, False))
    assert nearest_are_alike(walls, roads).all()
    alike = nearest_are_alike(walls, [plane(seed, True) for seed in range(20, 40)])
    # Of 40 fair coins, 8 to 32 in all but one of 10,000 cases.
    assert 8 <= alike.sum() <= 32
    assert not nearest_are_alike(walls, walls).any()


def test_frechet_distance_against_matrix_roots() -> None:
    random = np.random.default_rng(2)
    ours, theirs = random.normal(size=(2, 50, 5)) * [[[1.0]], [[2.0]]] + [[[0.0]], [[0.5]]]
    a, b = (np.cov(side.T, bias=True) for side in (ours, theirs))
    apart = np.square(ours.mean(axis=0) - theirs.mean(axis=0)).sum()
    expected = apart + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    moments = sum_moments(ours[:20]) + sum_moments(ours[20:])
    assert frechet_distance(moments, sum_moments(theirs)) == pytest.approx(expected)
    assert frechet_distance(moments, moments) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_of_shifted_sets_is_the_squared_shift() -> None:
    features = np.random.default_rng(3).normal(size=(30, 2))
    shifted = sum_moments(features + np.array([3.0, 4.0]))
    assert frechet_distance(sum_moments(features), shifted) == pytest.approx(25)
