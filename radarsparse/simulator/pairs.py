"""Simulated scan pairs, each of an independent world that its seed and index determine."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from radarsparse.formats.prepared import DatasetCard, frame_name
from radarsparse.scan import ScanPair, merge_sweeps
from radarsparse.simulator.lidar import scan_lidar
from radarsparse.simulator.lidar_models import VLP_16, LidarModel
from radarsparse.simulator.radar import scan_radar
from radarsparse.simulator.radar_models import ASTYX_6455, RadarModel
from radarsparse.simulator.road import random_world

SIMULATOR_VERSION = 2
"""To be raised when the same seed and sensors give other points."""
FRAMES_MAX = 1_000_000
"""As many as names of six digits tell apart."""


@dataclass(frozen=True)
class SensorRig:
    """The sensors on the car, mounted as in the Astyx data set whatever they are."""

    radar: RadarModel
    lidar: LidarModel


ASTYX_RIG = SensorRig(ASTYX_6455, VLP_16)
"""The sensors of the Astyx data set."""


def simulate_pair(
    seed: int, index: int, radar_sweeps: int = 1, rig: SensorRig = ASTYX_RIG
) -> ScanPair:
    """Simulate one frame.

    Args:
        seed: of the whole data set, 0 or more.
        index: number of the frame, 0 or more.
        radar_sweeps: how many the radar cloud holds, the newest and those before it, brought into
            the radar frame of the newest.
        rig: the sensors.

    Returns:
        The same frame for the same arguments; its newest sweep and LiDAR cloud do not depend on
        how many sweeps there are.
    """
    rng = np.random.default_rng([seed, index])
    world = random_world(rng)
    newest, lidar = scan_radar(world, rig.radar, rng), scan_lidar(world, rig.lidar, rng)
    before = [world.after(-number / rig.radar.rate_hz) for number in range(1, radar_sweeps)]
    T_radar_world = np.linalg.inv(world.T_world_radar)
    radar = merge_sweeps(
        [newest, *(scan_radar(earlier, rig.radar, rng) for earlier in before)],
        [np.eye(4), *(T_radar_world @ earlier.T_world_radar for earlier in before)],
    )
    return ScanPair(frame_name(index), radar, lidar, world.T_radar_lidar)


def simulation_card(
    seed: int, frames: int, radar_sweeps: int, rig: SensorRig = ASTYX_RIG
) -> DatasetCard:
    """The card of a simulated data set.

    Source: docs/data.md, Simulated frames.
    """
    return DatasetCard(
        name="radarsparse simulator",
        radar_sensor=f"simulated, after {rig.radar.name}",
        lidar_sensor=f"simulated, after {rig.lidar.name}",
        field_of_view_deg=(2 * rig.radar.azimuth_max_deg, 2 * rig.radar.elevation_max_deg),
        radar_rate_hz=rig.radar.rate_hz,
        lidar_rate_hz=rig.lidar.rate_hz,
        licence="as this software",
        citation="none; simulated",
        provenance={
            "simulator_version": SIMULATOR_VERSION,
            "seed": seed,
            "frames": frames,
            "radar_sweeps": radar_sweeps,
            "radar": rig.radar.name,
            "lidar": rig.lidar.name,
        },
        lidar_rings_deg=rig.lidar.rings_deg,
    )


@dataclass(frozen=True)
class SimulatedFrames(Sequence[ScanPair]):
    """Frames of the default sensors, made anew at each look; the same ones for the same seed."""

    seed: int

    @property
    def fingerprint(self) -> str:
        """What the frames are, in a line."""
        return f"simulated, version {SIMULATOR_VERSION}, seed {self.seed}"

    @property
    def lidar_rings_deg(self) -> tuple[float, ...]:
        """As of a `DatasetCard`."""
        return ASTYX_RIG.lidar.rings_deg

    def __len__(self) -> int:
        return FRAMES_MAX

    def __getitem__(self, index: int) -> ScanPair:  # type: ignore[override]
        return simulate_pair(self.seed, index)
