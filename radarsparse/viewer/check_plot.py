"""What was found in prepared frames as a picture."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from radarsparse.datasets.check import BOUNDS_M, GROWTH_CELLS, STRIDES, PairsCheck
from radarsparse.viewer.plots import Panel, save_panels

PERCENTILES = tuple(range(0, 101, 5))


def draw_check(path: Path, found: PairsCheck, title: str) -> None:
    """Draw distances by range, the reach of the radar's support, and points per frame, as PNG.

    Args:
        path: where to; ends in `.png`, its folder must exist.
        found: of `check_pairs`.
        title: a line above the picture.

    Raises:
        InputError: the path can't be written to.
    """
    middles_m = [0.5 * (near + far) for near, far in pairwise(BOUNDS_M)]
    distances = {"of its own frame": found.matched_m[1:], "of another frame": found.shuffled_m[1:]}
    reach = {f"stride {stride}": row for stride, row in zip(STRIDES, found.reach, strict=True)}
    clouds = {"radar": found.radar_points, "LiDAR": found.lidar_points}
    counts = {name: np.percentile(values, PERCENTILES) for name, values in clouds.items()}
    panels = [
        Panel("median distance to LiDAR [m]", "range of radar point [m]", middles_m, distances),
        Panel("share of LiDAR voxels in reach", "radar voxels grown by cells", GROWTH_CELLS, reach),
        Panel("points per frame", "percentile of frames", PERCENTILES, counts),
    ]
    save_panels(path, panels, title)
