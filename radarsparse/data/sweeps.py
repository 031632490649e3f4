"""Several radar sweeps as one cloud."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from radarsparse.geometry import Floats, transform_points


def merge_sweeps(
    sweeps: Sequence[NDArray[np.float32]], T_radar_sweeps: Sequence[Floats]
) -> NDArray[np.float32]:
    """Put sweeps side by side in one radar frame; what moved meanwhile leaves a trail.

    Doppler and power stay as they were measured.

    Args:
        sweeps: each [n, 5] x, y, z [m], doppler_mps, power_db, in the radar frame of its moment.
        T_radar_sweeps: of each, [4, 4] from that frame to the one of the result.
    """
    moved = [
        transform_points(T_radar_sweep, sweep)
        for T_radar_sweep, sweep in zip(T_radar_sweeps, sweeps, strict=True)
    ]
    return np.concatenate(moved)
