"""Random changes of a training pair, applied to radar and LiDAR together."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from radarsparse.config import AugmentSettings
from radarsparse.geometry import Volume, azimuth_rad, cartesian, transform_points
from radarsparse.scan import RADAR_COLUMNS, ScanPair

_QUARTER_TURN = np.array([[0.0, -1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0, 0, 1, 0], [0, 0, 0, 1]])
_DOPPLER, _POWER = RADAR_COLUMNS.index("doppler_mps"), RADAR_COLUMNS.index("power_db")

# Returns within such a cell of azimuth and elevation count as of one direction: the 16 beams of the
# coarsest LiDARs in use are 2 degrees apart.
_DIRECTION_DEG = 2
_AZIMUTHS, _ELEVATIONS = 360 // _DIRECTION_DEG, 180 // _DIRECTION_DEG


def augment(
    pair: ScanPair, settings: AugmentSettings, volume: Volume, random: np.random.Generator
) -> ScanPair:
    """Change the world that both sensors see, then what each of them makes of it.

    Radial Doppler is unchanged by a turn, mirror or scaling of the world about the radar. The LiDAR
    cloud stays in its own frame: motions go into the transform, a mirror or scaling also into the
    points.

    Args:
        pair: never changed in place.
        settings: which changes, and how large; one that is off draws no random number, save those
            that are on by default.
        volume: a change that leaves no radar or no LiDAR point in it is not made.
        random: drawn from.
    """
    changed = pair
    for change in (_mirror_move_drop, _turn, _scale, _jitter, _drop_lidar, _cut_out):
        changed = change(changed, settings, random)
    return changed if _is_visible(changed, volume) else pair


def mix(first: ScanPair, second: ScanPair, volume: Volume) -> ScanPair:
    """Put two frames into one place, as one LiDAR would see them: the nearer hides the farther.

    The second frame is moved so that both LiDARs stand in one point. A return of one frame behind
    all that the other saw in its direction is dropped with its ray, so that what one frame hides
    from the other counts as unobserved. A radar sees past obstacles: all its points stay.

    Args:
        first: gives the transform.
        second: where the LiDARs' places differ, its radar moves that far off the origin.
        volume: the first pair is returned if no LiDAR return would be left in it.
    """
    move = np.eye(4)
    move[:3, 3] = first.lidar_origin_m - second.lidar_origin_m
    T_first_second = np.linalg.inv(first.T_radar_lidar) @ move @ second.T_radar_lidar
    lidar = transform_points(T_first_second, second.lidar)
    seen = [_not_behind(first.lidar, lidar), _not_behind(lidar, first.lidar)]
    radar = np.concatenate([first.radar, transform_points(move, second.radar)])
    name = f"{first.name}+{second.name}"
    mixed = replace(first, name=name, radar=radar, lidar=np.concatenate(seen))
    return mixed if _is_visible(mixed, volume) else first


def _is_visible(pair: ScanPair, volume: Volume) -> bool:
    return all(volume.contains(cloud).any() for cloud in (pair.radar, pair.lidar_in_radar_frame))


def _not_behind(points: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Those points that are no farther than all that the other cloud has in their direction."""
    direction, other_direction = _direction(points), _direction(others)
    # A direction without a return says nothing of what stands there.
    farthest_m = np.full(_AZIMUTHS * _ELEVATIONS, np.inf)
    farthest_m[other_direction] = 0.0
    np.maximum.at(farthest_m, other_direction, np.linalg.norm(others[:, :3], axis=1))
    return points[np.linalg.norm(points[:, :3], axis=1) <= farthest_m[direction]]


def _direction(points: NDArray[np.float32]) -> NDArray[np.int64]:
    """Number of the cell of azimuth and elevation that each point lies in."""
    angles_deg = np.degrees(_polar(points)[:, 1:])
    azimuth, elevation = np.floor(angles_deg / _DIRECTION_DEG).astype(np.int64).T
    elevation = np.minimum(elevation + _ELEVATIONS // 2, _ELEVATIONS - 1)
    return azimuth % _AZIMUTHS * _ELEVATIONS + elevation


def _mirror_move_drop(
    pair: ScanPair, settings: AugmentSettings, random: np.random.Generator
) -> ScanPair:
    """What is on by default; it draws the same numbers whatever the settings are."""
    if random.random() < settings.mirror:
        pair = _mirror(pair)
    yaw = np.radians(random.uniform(-settings.yaw_max_deg, settings.yaw_max_deg))
    motion = np.eye(4)
    motion[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    motion[:3, 3] = settings.shift_std_m * random.standard_normal(3)
    radar = pair.radar[random.random(len(pair.radar)) >= settings.radar_dropout * random.random()]
    radar = transform_points(motion, radar)
    return replace(pair, radar=radar, T_radar_lidar=motion @ pair.T_radar_lidar)


def _mirror(pair: ScanPair) -> ScanPair:
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    radar, lidar = (transform_points(flip, cloud) for cloud in (pair.radar, pair.lidar))
    return replace(pair, radar=radar, lidar=lidar, T_radar_lidar=flip @ pair.T_radar_lidar @ flip)


def _turn(pair: ScanPair, settings: AugmentSettings, random: np.random.Generator) -> ScanPair:
    if not _happens(settings.quarter_turn, random):
        return pair
    turn = np.linalg.matrix_power(_QUARTER_TURN, int(random.integers(1, 4)))
    radar = transform_points(turn, pair.radar)
    return replace(pair, radar=radar, T_radar_lidar=turn @ pair.T_radar_lidar)


def _scale(pair: ScanPair, settings: AugmentSettings, random: np.random.Generator) -> ScanPair:
    if settings.scale_max == 0.0:
        return pair
    scale = 1.0 + settings.scale_max * random.uniform(-1.0, 1.0)
    radar, lidar = pair.radar.copy(), pair.lidar.copy()
    T_radar_lidar = pair.T_radar_lidar.copy()
    radar[:, :3] *= scale
    lidar[:, :3] *= scale
    T_radar_lidar[:3, 3] *= scale
    return replace(pair, radar=radar, lidar=lidar, T_radar_lidar=T_radar_lidar)


def _jitter(pair: ScanPair, settings: AugmentSettings, random: np.random.Generator) -> ScanPair:
    """Noise of every radar point, of its position in range and angles."""
    radar = pair.radar.copy()
    angles_deg = settings.radar_azimuth_std_deg, settings.radar_elevation_std_deg
    std = np.array([settings.radar_range_std_m, *np.radians(angles_deg)])
    if std.any():
        polar = _polar(radar) + std * random.standard_normal((len(radar), 3))
        # A negative range would put the point on the other side of the radar.
        range_m = np.maximum(polar[:, :1], 0.0)
        radar[:, :3] = range_m * cartesian(1.0, polar[:, 1], polar[:, 2])
    if settings.doppler_std_mps > 0.0:
        radar[:, _DOPPLER] += settings.doppler_std_mps * random.standard_normal(len(radar))
    if settings.power_point_std_db > 0.0:
        radar[:, _POWER] += settings.power_point_std_db * random.standard_normal(len(radar))
    return replace(pair, radar=radar)


def _polar(points: NDArray[np.float32]) -> NDArray[np.floating]:
    """Range in metres, azimuth and elevation in radians: [n, 3]."""
    position_m = points[:, :3].astype(np.float64)
    elevation_rad = np.arctan2(position_m[:, 2], np.hypot(position_m[:, 0], position_m[:, 1]))
    range_m = np.linalg.norm(position_m, axis=1)
    return np.stack([range_m, azimuth_rad(position_m), elevation_rad], axis=1)


def _drop_lidar(pair: ScanPair, settings: AugmentSettings, random: np.random.Generator) -> ScanPair:
    if settings.lidar_dropout == 0.0:
        return pair
    dropped = settings.lidar_dropout * random.random()
    return replace(pair, lidar=pair.lidar[random.random(len(pair.lidar)) >= dropped])


def _cut_out(pair: ScanPair, settings: AugmentSettings, random: np.random.Generator) -> ScanPair:
    """Blind the radar in a sector about one of its points; the LiDAR still says what is there."""
    if not _happens(settings.cutout, random) or len(pair.radar) == 0:
        return pair
    azimuth = azimuth_rad(pair.radar)
    away_rad = np.abs(azimuth - azimuth[random.integers(len(azimuth))])
    away_rad = np.minimum(away_rad, 2.0 * np.pi - away_rad)
    half_width_rad = 0.5 * np.radians(settings.cutout_max_deg * random.random())
    return replace(pair, radar=pair.radar[away_rad > half_width_rad])


def _happens(chance: float, random: np.random.Generator) -> bool:
    return chance > 0.0 and random.random() < chance
