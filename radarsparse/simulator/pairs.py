"""Simulated scan pairs, each of an independent world that its seed and index determine.

Frames that follow each other are of one drive: of the same sensors, mounted in the same way.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from radarsparse.formats.prepared import DatasetCard, frame_name
from radarsparse.scan import ScanPair, merge_sweeps
from radarsparse.simulator.landscape import random_world
from radarsparse.simulator.lidar import scan_lidar
from radarsparse.simulator.lidar_models import VLP_16, LidarModel
from radarsparse.simulator.mounts import ASTYX_PLACES, CAR_PLACES, Mounts, Places, random_mounts
from radarsparse.simulator.radar import scan_radar
from radarsparse.simulator.radar_models import ASTYX_6455, RadarModel
from radarsparse.simulator.varied import random_lidar, random_radar

SIMULATOR_VERSION = 4
"""To be raised when the same seed and sensors give other points."""
FRAMES_MAX = 1_000_000
"""As many as names of six digits tell apart."""
DRIVE_FRAMES = 20
VARIED = "varied"
_OF_DRIVES = 1


@dataclass(frozen=True)
class SensorRig:
    """The sensors on cars, and where they are mounted.

    Attributes:
        radar: None for another one in every drive.
        lidar: likewise.
    """

    radar: RadarModel | None
    lidar: LidarModel | None
    places: Places = ASTYX_PLACES


ASTYX_RIG = SensorRig(ASTYX_6455, VLP_16)
"""The sensors of the Astyx data set."""
VARIED_RIG = SensorRig(None, None, CAR_PLACES)
"""Any sensors, anywhere on a car."""


@dataclass(frozen=True)
class Drive:
    """What the frames of a drive have in common."""

    radar: RadarModel
    lidar: LidarModel
    mounts: Mounts


@lru_cache(maxsize=8)
def random_drive(seed: int, number: int, rig: SensorRig) -> Drive:
    """Draw the sensors of a drive and their mounts."""
    rng = np.random.default_rng([seed, number, _OF_DRIVES])
    radar, lidar = rig.radar or random_radar(rng), rig.lidar or random_lidar(rng)
    # Heights tell much of where the road is, and this radar was seen at one alone.
    places = ASTYX_PLACES if radar is ASTYX_6455 else rig.places
    return Drive(radar, lidar, random_mounts(rng, places))


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
    drive = random_drive(seed, index // DRIVE_FRAMES, rig)
    rng = np.random.default_rng([seed, index])
    world = random_world(rng, drive.mounts)
    newest, lidar = scan_radar(world, drive.radar, rng), scan_lidar(world, drive.lidar, rng)
    before = [world.after(-number / drive.radar.rate_hz) for number in range(1, radar_sweeps)]
    T_radar_world = np.linalg.inv(world.T_world_radar)
    radar = merge_sweeps(
        [newest, *(scan_radar(earlier, drive.radar, rng) for earlier in before)],
        [np.eye(4), *(T_radar_world @ earlier.T_world_radar for earlier in before)],
    )
    rings_deg = None if rig.lidar else drive.lidar.rings_deg
    return ScanPair(frame_name(index), radar, lidar, world.T_radar_lidar, rings_deg=rings_deg)


def simulation_card(
    seed: int, frames: int, radar_sweeps: int, rig: SensorRig = ASTYX_RIG
) -> DatasetCard:
    """The card of a simulated data set.

    Source: docs/data.md, Simulated frames.
    """
    radar, lidar = rig.radar or random_radar(np.random.default_rng(0)), rig.lidar or VLP_16
    radar_name = f"after {rig.radar.name}" if rig.radar else VARIED
    lidar_name = f"after {rig.lidar.name}" if rig.lidar else VARIED
    return DatasetCard(
        name="radarsparse simulator",
        radar_sensor=f"simulated, {radar_name}",
        lidar_sensor=f"simulated, {lidar_name}",
        field_of_view_deg=(2 * radar.azimuth_max_deg, 2 * radar.elevation_max_deg),
        radar_rate_hz=radar.rate_hz,
        lidar_rate_hz=lidar.rate_hz,
        licence="as this software",
        citation="none; simulated",
        provenance={
            "simulator_version": SIMULATOR_VERSION,
            "seed": seed,
            "frames": frames,
            "radar_sweeps": radar_sweeps,
            "radar": rig.radar.name if rig.radar else VARIED,
            "lidar": rig.lidar.name if rig.lidar else VARIED,
        },
        lidar_rings_deg=lidar.rings_deg,
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
        return VLP_16.rings_deg

    def __len__(self) -> int:
        return FRAMES_MAX

    def __getitem__(self, index: int) -> ScanPair:  # type: ignore[override]
        return simulate_pair(self.seed, index)
