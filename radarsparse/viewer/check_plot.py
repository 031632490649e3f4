"""What was found in prepared frames as a picture."""

from itertools import pairwise
from pathlib import Path

import numpy as np

from radarsparse.datasets.check import BOUNDS_M, GROWTH_CELLS, STRIDES, PairsCheck
from radarsparse.viewer.plots import saved_figure

SIZE_INCH = (13.0, 4.2)
PERCENTILES = tuple(range(0, 101, 5))


def draw_check(path: Path, found: PairsCheck, title: str) -> None:
    """Draw distances by range, the reach of the radar's support, and points per frame.

    Args:
        path: as of `saved_figure`.
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
        ("median distance to LiDAR [m]", "range of radar point [m]", middles_m, distances),
        ("share of LiDAR voxels in reach", "radar voxels grown by cells", GROWTH_CELLS, reach),
        ("points per frame", "percentile of frames", PERCENTILES, counts),
    ]
    with saved_figure(path, SIZE_INCH, title) as figure:
        all_axes = figure.subplots(1, len(panels))
        for axes, (heading, x_label, x, lines) in zip(all_axes, panels, strict=True):
            for name, values in lines.items():
                axes.plot(x, values, marker=".", label=name)
            axes.set(title=heading, xlabel=x_label)
            axes.set_ylim(bottom=0.0)
            axes.grid(color="0.9", linewidth=0.5)
            axes.legend(fontsize="small")
