"""Simulated scan pairs, each an independent scene that its seed and index determine."""

import numpy as np

from radarsparse.data.prepared import DatasetCard
from radarsparse.data.scan import ScanPair
from radarsparse.data.simulator.layout import random_scene
from radarsparse.data.simulator.lidar import scan_lidar
from radarsparse.data.simulator.radar import scan_radar

SIMULATOR_VERSION = 1
"""To be raised when the same seed gives other points."""


def frame_name(index: int) -> str:
    """The name of a frame's number, such as `000012`."""
    return f"{index:06d}"


def simulate_pair(seed: int, index: int) -> ScanPair:
    """Simulate one frame.

    Args:
        seed: of the whole data set, 0 or more.
        index: number of the frame, 0 or more.

    Returns:
        The same frame for the same arguments.
    """
    rng = np.random.default_rng([seed, index])
    scene = random_scene(rng)
    return ScanPair(
        name=frame_name(index),
        radar=scan_radar(scene, rng),
        lidar=scan_lidar(scene, rng),
        T_radar_lidar=scene.T_radar_lidar,
    )


def simulation_card(seed: int, frames: int) -> DatasetCard:
    """The card of a simulated data set.

    Args:
        seed: of the whole data set.
        frames: how many there are.

    Source: data-formats.md, section 10.
    """
    return DatasetCard(
        name="radarsparse simulator",
        radar_sensor="simulated, after Astyx 6455 HiRes",
        lidar_sensor="simulated, after Velodyne VLP-16",
        field_of_view_deg=(110.0, 20.0),
        radar_rate_hz=13.0,
        lidar_rate_hz=10.0,
        licence="as this software",
        citation="none; simulated",
        provenance={"simulator_version": SIMULATOR_VERSION, "seed": seed, "frames": frames},
    )
