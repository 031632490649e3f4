"""Random changes of a training pair, applied to radar and LiDAR together."""

import numpy as np
from numpy.typing import NDArray

from radarsparse.config import AugmentSettings
from radarsparse.data.scan import ScanPair
from radarsparse.geometry import Volume


def augment(
    pair: ScanPair, settings: AugmentSettings, volume: Volume, random: np.random.Generator
) -> ScanPair:
    """Mirror, turn and shift both clouds; drop radar points and jitter the radar's power.

    A change that leaves no radar or no LiDAR point in the volume is not made.
    Radial Doppler is unchanged by a rigid motion of the scene about the radar. The LiDAR cloud
    stays in its own frame: the motion goes into the transform, a mirror also into the points.
    """
    changed = _change(pair, settings, random)
    clouds = changed.radar, changed.lidar_in_radar_frame
    return changed if all(volume.contains(cloud).any() for cloud in clouds) else pair


def _change(pair: ScanPair, settings: AugmentSettings, random: np.random.Generator) -> ScanPair:
    if random.random() < settings.mirror:
        pair = _mirror(pair)
    motion = _random_motion(settings, random)
    radar = pair.radar[random.random(len(pair.radar)) >= settings.radar_dropout * random.random()]
    radar[:, :3] = radar[:, :3] @ motion[:3, :3].T + motion[:3, 3]
    radar[:, 4] += settings.power_std_db * random.standard_normal()
    return ScanPair(pair.name, radar, pair.lidar, motion @ pair.T_radar_lidar)


def _mirror(pair: ScanPair) -> ScanPair:
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    radar, lidar = pair.radar.copy(), pair.lidar.copy()
    radar[:, 1] *= -1.0
    lidar[:, 1] *= -1.0
    return ScanPair(pair.name, radar, lidar, flip @ pair.T_radar_lidar @ flip)


def _random_motion(settings: AugmentSettings, random: np.random.Generator) -> NDArray[np.float64]:
    yaw = np.radians(random.uniform(-settings.yaw_max_deg, settings.yaw_max_deg))
    motion = np.eye(4)
    motion[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    motion[:3, 3] = settings.shift_std_m * random.standard_normal(3)
    return motion
