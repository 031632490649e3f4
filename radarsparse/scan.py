"""One radar cloud with its LiDAR cloud, and several radar sweeps as one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radarsparse.geometry import Floats, transform_points

RADAR_COLUMNS = ("x", "y", "z", "doppler_mps", "power_db")
LIDAR_COLUMNS = ("x", "y", "z", "intensity")


@dataclass(frozen=True)
class ScanPair:
    """A radar cloud and a LiDAR cloud of one moment.

    Attributes:
        name: the frame's name, such as `000012`.
        radar: float32 [n, 5], `RADAR_COLUMNS`, radar frame.
        lidar: float32 [m, 4], `LIDAR_COLUMNS`, LiDAR frame, intensity 0 to 255.
        T_radar_lidar: float64 [4, 4], `p_radar = T_radar_lidar @ p_lidar`.
        time_gap_s: seconds between both stamps, not negative; None where they aren't known.
    """

    name: str
    radar: NDArray[np.float32]
    lidar: NDArray[np.float32]
    T_radar_lidar: NDArray[np.float64]
    time_gap_s: float | None = None

    @property
    def lidar_in_radar_frame(self) -> NDArray[np.float32]:
        """The LiDAR cloud, float32 [m, 4], radar frame."""
        return transform_points(self.T_radar_lidar, self.lidar).astype(np.float32)

    @property
    def lidar_origin_m(self) -> NDArray[np.float64]:
        """Where the LiDAR stands, [3] in metres, radar frame."""
        return self.T_radar_lidar[:3, 3]


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
