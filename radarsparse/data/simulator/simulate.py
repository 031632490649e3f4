"""Simulated scan pairs, each an independent scene that its seed and index determine."""

import numpy as np

from radarsparse.data.prepared import DatasetCard
from radarsparse.data.scan import ScanPair
from radarsparse.data.simulator.layout import random_scene
from radarsparse.data.simulator.lidar import scan_lidar
from radarsparse.data.simulator.radar import scan_radar
from radarsparse.data.sweeps import merge_sweeps

SIMULATOR_VERSION = 1
"""To be raised when the same seed gives other points."""

RADAR_RATE_HZ = 13.0


def frame_name(index: int) -> str:
    """The name of a frame's number, such as `000012`."""
    return f"{index:06d}"


def simulate_pair(seed: int, index: int, radar_sweeps: int = 1) -> ScanPair:
    """Simulate one frame.

    Args:
        seed: of the whole data set, 0 or more.
        index: number of the frame, 0 or more.
        radar_sweeps: how many the radar cloud holds, the newest and those before it, brought into
            the radar frame of the newest.

    Returns:
        The same frame for the same arguments; its newest sweep and LiDAR cloud depend on the first
        two alone.
    """
    rng = np.random.default_rng([seed, index])
    scene = random_scene(rng)
    newest, lidar = scan_radar(scene, rng), scan_lidar(scene, rng)
    before = [scene.after(-number / RADAR_RATE_HZ) for number in range(1, radar_sweeps)]
    T_radar_world = np.linalg.inv(scene.T_world_radar)
    radar = merge_sweeps(
        [newest, *(scan_radar(earlier, rng) for earlier in before)],
        [np.eye(4), *(T_radar_world @ earlier.T_world_radar for earlier in before)],
    )
    return ScanPair(frame_name(index), radar, lidar, scene.T_radar_lidar)


def simulation_card(seed: int, frames: int, radar_sweeps: int) -> DatasetCard:
    """The card of a simulated data set.

    Args:
        seed: of the whole data set.
        frames: how many there are.
        radar_sweeps: in each radar cloud.

    Source: data-formats.md, section 10.
    """
    return DatasetCard(
        name="radarsparse simulator",
        radar_sensor="simulated, after Astyx 6455 HiRes",
        lidar_sensor="simulated, after Velodyne VLP-16",
        field_of_view_deg=(110.0, 20.0),
        radar_rate_hz=RADAR_RATE_HZ,
        lidar_rate_hz=10.0,
        licence="as this software",
        citation="none; simulated",
        provenance={
            "simulator_version": SIMULATOR_VERSION,
            "seed": seed,
            "frames": frames,
            "radar_sweeps": radar_sweeps,
        },
    )
