"""How real clouds look beside real ones, as statistics of single frames that add up over a set.

Clouds [n, 3 or more] stand around the sensor whose beams drew them, in metres.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import KDTree

from radarsparse.metrics.distribution import chamfer_table

Floats = NDArray[np.floating]
Counts = NDArray[np.int64]

COLUMN_SIZE_M = 0.4
NEIGHBOURS_M, NEIGHBOURS_MOST, NEIGHBOURS_LEAST = 0.6, 32, 4
RAY_DEG, BEHIND_M = 0.4, 0.5
PATCH_SIZE_M, PATCH_POINTS = 4.0, 32

# Edges of histograms; what lies beyond them counts in the outermost bins.
EDGES = {
    # Degrees; rings of whole degrees lie amid bins, where a rounding doesn't move them to the next.
    "elevation": np.linspace(-30.1, 30.1, 302),
    "spacing": np.linspace(0.0, 1.0, 51),  # metres to the nearest other point
    "planarity": np.linspace(0.0, 1.0, 21),
    "verticality": np.linspace(0.0, 1.0, 21),
    "column": np.arange(0.5, 65.0),  # points of an upright column
}


def count_statistics(points: Floats) -> dict[str, Counts]:
    """Histograms of a cloud, by the names of `EDGES`.

    Planarity and verticality are those of the up to `NEIGHBOURS_MOST` points within `NEIGHBOURS_M`;
    points with fewer than `NEIGHBOURS_LEAST` of them, the point itself included, don't count.

    Args:
        points: [n, 3 or more], finite.

    Returns:
        Counts per bin; these add up over a set.

    Source:
        Weinmann et al., "Semantic point cloud interpretation based on optimal neighborhoods,
        relevant features and efficient classifiers", ISPRS Journal 105, 2015.
    """
    xyz = points[:, :3].astype(np.float64)
    level_m = np.hypot(xyz[:, 0], xyz[:, 1])
    _, column = np.unique(np.floor(xyz[:, :2] / COLUMN_SIZE_M), axis=0, return_counts=True)
    spacing_m, planarity, verticality = _neighbourhoods(xyz)
    values = {
        "elevation": np.degrees(np.arctan2(xyz[:, 2], level_m)),
        "spacing": spacing_m,
        "planarity": planarity,
        "verticality": verticality,
        "column": column,
    }
    return {
        name: np.histogram(values[name].clip(edges[0], edges[-1]), edges)[0]
        for name, edges in EDGES.items()
    }


def _neighbourhoods(xyz: NDArray[np.float64]) -> tuple[Floats, Floats, Floats]:
    """Distance to the nearest other point; planarity and verticality of neighbourhoods."""
    tree = KDTree(xyz)
    apart_m = np.asarray(tree.query(xyz, 2)[0])[:, 1]
    found = tree.query(xyz, NEIGHBOURS_MOST, distance_upper_bound=NEIGHBOURS_M)
    distance_m, near = map(np.asarray, found)
    there = np.isfinite(distance_m)
    rows = there.sum(axis=1) >= NEIGHBOURS_LEAST
    there, around = there[rows, :, None], xyz[near[rows].clip(max=len(xyz) - 1)]
    around = around - xyz[rows, None]
    middle = (around * there).sum(axis=1, keepdims=True) / there.sum(axis=1, keepdims=True)
    centred = (around - middle) * there
    spread, axes = np.linalg.eigh(np.swapaxes(centred, 1, 2) @ centred)
    least, medium, most = spread.T.clip(min=0)
    some = most > 0
    planarity = (medium - least)[some] / most[some]
    return apart_m, planarity, 1 - np.abs(axes[some, 2, 0])


def count_hidden(points: Floats) -> tuple[int, int]:
    """How many points no beam could have drawn, and how many there are.

    A point is hidden that lies more than `BEHIND_M` behind another one in the same cell of
    `RAY_DEG` of azimuth and elevation.

    Args:
        points: [n, 3 or more], finite.
    """
    xyz = points[:, :3].astype(np.float64)
    range_m = np.linalg.norm(xyz, axis=1)
    level_m = np.hypot(xyz[:, 0], xyz[:, 1])
    angles = np.arctan2([xyz[:, 1], xyz[:, 2]], [xyz[:, 0], level_m])
    cells = np.floor(np.degrees(angles.T) / RAY_DEG)
    _, cell = np.unique(cells, axis=0, return_inverse=True)
    first_m = np.full(len(xyz), np.inf)
    np.minimum.at(first_m, cell.ravel(), range_m)
    return int((range_m > first_m[cell.ravel()] + BEHIND_M).sum()), len(xyz)


def cut_patches(points: Floats, least: int = PATCH_POINTS) -> dict[tuple[int, int], Floats]:
    """Upright columns of side `PATCH_SIZE_M`, x and y from their middle, by their place.

    Args:
        points: [n, 3 or more], finite.
        least: columns with fewer points are left out.

    Returns:
        Points [m, 3] of each column, by x and y of its corner in sides.
    """
    places, patch = np.unique(np.floor(points[:, :2] / PATCH_SIZE_M), axis=0, return_inverse=True)
    middles = np.c_[(places + 0.5) * PATCH_SIZE_M, np.zeros(len(places))]
    xyz = points[:, :3].astype(np.float64) - middles[patch.ravel()]
    patches = [xyz[patch.ravel() == number] for number in range(len(places))]
    found = zip(places.astype(int).tolist(), patches, strict=True)
    return {(x, y): patch for (x, y), patch in found if len(patch) >= least}


def nearest_are_alike(ours: Sequence[Floats], theirs: Sequence[Floats]) -> NDArray[np.bool_]:
    """Whether each patch's nearest other one by Chamfer distance is of its own side, ours first.

    The share of them is the 1-nearest-neighbour accuracy: 0.5 where the sides are alike, 1 where
    they have nothing in common, less than 0.5 where one is a copy of the other.

    Args:
        ours: patches [n, 3], none of them empty.
        theirs: likewise.

    Source:
        Yang et al., "PointFlow: 3D point cloud generation with continuous normalizing flows",
        ICCV 2019, section 5.1.
    """
    patches = [torch.from_numpy(patch) for patch in (*ours, *theirs)]
    table = chamfer_table(patches, patches).numpy()
    np.fill_diagonal(table, np.inf)
    of_ours = np.arange(len(patches)) < len(ours)
    return of_ours[table.argmin(axis=1)] == of_ours


def sum_moments(features: Floats) -> NDArray[np.float64]:
    """Number, sums and sums of products of features [n, d], as [d + 1, d + 1]; these add up."""
    with_one = np.c_[np.ones(len(features)), features.astype(np.float64)]
    return with_one.T @ with_one


def frechet_distance(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Squared Fréchet distance of the Gaussians with the moments of two sets, 0 at best.

    Args:
        ours: of `sum_moments`.
        theirs: likewise.

    Source:
        Dowson and Landau, "The Fréchet distance between multivariate normal distributions",
        Journal of Multivariate Analysis 12, 1982, equation 4.
    """
    (mean, cov), (their_mean, their_cov) = _gaussian(ours), _gaussian(theirs)
    # The eigenvalues of a product of covariances are real and not negative, but for rounding.
    roots = np.sqrt(np.linalg.eigvals(cov @ their_cov).real.clip(min=0))
    apart = np.square(mean - their_mean).sum()
    return float(apart + np.trace(cov) + np.trace(their_cov) - 2 * roots.sum())


def _gaussian(moments: NDArray[np.float64]) -> tuple[Floats, Floats]:
    mean = moments[0, 1:] / moments[0, 0]
    return mean, moments[1:, 1:] / moments[0, 0] - np.outer(mean, mean)
