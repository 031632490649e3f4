"""Where the sensors of a car are mounted."""

from dataclasses import dataclass

import numpy as np

from radarsparse.geometry import pose
from radarsparse.simulator.relief import Floats

# The radar of the Astyx is rolled by 4.2 and pitched by -2.9 degrees against the road, its LiDAR by
# 0.7 and -1.0 (ground planes of its frames); LiDARs are levelled, radars bolted on.
RADAR_TILT_STD_RAD = np.radians((2.0, 2.5, 2.5))
LIDAR_TILT_STD_RAD = np.radians((2.0, 0.8, 0.8))


@dataclass(frozen=True)
class Places:
    """Bounds of where sensors are mounted, in metres.

    Attributes:
        radar_height: over the ground.
        lidar_ahead: of the radar.
        lidar_above: the radar.
    """

    radar_height: tuple[float, float]
    lidar_ahead: tuple[float, float]
    lidar_above: tuple[float, float]


# Astyx: the ground lies 1.5 to 1.7 m below the radar, the LiDAR 0.13 m behind and 0.12 m above it.
ASTYX_PLACES = Places((1.4, 1.8), (-0.2, 0.0), (0.05, 0.35))
CAR_PLACES = Places((0.4, 2.0), (-1.5, 0.2), (0.05, 1.2))


@dataclass(frozen=True)
class Mounts:
    """Poses of a car's sensors, [4, 4]; the car's origin is on the ground below the radar."""

    T_car_radar: Floats
    T_car_lidar: Floats

    @property
    def T_radar_lidar(self) -> Floats:
        """Pose of the LiDAR in the radar frame."""
        return np.linalg.inv(self.T_car_radar) @ self.T_car_lidar


def random_mounts(rng: np.random.Generator, places: Places) -> Mounts:
    """Draw where both sensors of a car are, and how they are tilted."""
    height_m = rng.uniform(*places.radar_height)
    ahead_m, above_m = rng.uniform(*places.lidar_ahead), rng.uniform(*places.lidar_above)
    lidar_m = (ahead_m, rng.normal(0.0, 0.05), height_m + above_m)
    return Mounts(
        pose(rng.normal(0.0, RADAR_TILT_STD_RAD), (0.0, 0.0, height_m)),
        pose(rng.normal(0.0, LIDAR_TILT_STD_RAD), lidar_m),
    )
