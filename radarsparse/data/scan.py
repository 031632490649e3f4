"""One radar cloud with its LiDAR cloud."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radarsparse.geometry import transform_points

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
