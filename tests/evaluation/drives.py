"""A radar that drives through a world of points, with known poses: for tests without LiDAR."""

from typing import NamedTuple

import numpy as np

from radarsparse.geometry import Floats, pose, transform_points


class Drive(NamedTuple):
    """Scans of a drive.

    Attributes:
        scans: float32 [n, 5] by name.
        is_static: [n] by name, by construction.
        T_world_radar: [4, 4] by name.
    """

    scans: dict[str, np.ndarray]
    is_static: dict[str, np.ndarray]
    T_world_radar: dict[str, np.ndarray]

    def arrays(self) -> dict[str, np.ndarray]:
        """What a file of poses holds."""
        names = list(self.scans)
        return {
            "name": np.array(names),
            "T_world_radar": np.array([self.T_world_radar[name] for name in names]),
        }


def make_drive(
    count: int = 12, prefix: str = "drive_", yaw_rate_degps: float = 12.0, seed: int = 0
) -> Drive:
    """Scans at 10 Hz of a radar at 8 m/s that slips sideways at 0.3 m/s, as one off the axle does.

    Each scan sees 150 of 1,500 static points, and 20 others that approach 2 to 9 m/s faster.
    """
    random = np.random.default_rng(seed)
    world = random.uniform((-20, -40, -2), (60, 40, 3), (1500, 3))
    drive, T_world_radar = Drive({}, {}, {}), np.eye(4)
    velocity_mps = np.array([8.0, 0.3, 0.0])
    half = 0.05 * np.radians(yaw_rate_degps)
    step = pose((2 * half, 0, 0), 0.1 * pose((half, 0, 0), (0, 0, 0))[:3, :3] @ velocity_mps)
    for number in range(count):
        name = f"{prefix}{number + 3:03d}"
        seen = transform_points(np.linalg.inv(T_world_radar), world)
        seen = seen[(np.abs(np.arctan2(seen[:, 1], seen[:, 0])) < 1.0) & (seen[:, 0] > 3)]
        points = random.permutation(seen)[:170]
        doppler = -points @ velocity_mps / np.linalg.norm(points, axis=1)
        doppler[150:] -= random.uniform(2, 9, len(doppler[150:]))
        table = np.c_[points, doppler + random.normal(0, 0.03, len(points)), points[:, 0]]
        drive.scans[name] = table.astype(np.float32)
        drive.is_static[name] = np.arange(len(points)) < 150
        drive.T_world_radar[name] = T_world_radar
        T_world_radar = T_world_radar @ step
    return drive


def step_between(drive: Drive, first: str, second: str) -> Floats:
    """[4, 4] to the frame of one scan from that of another."""
    return np.linalg.inv(drive.T_world_radar[first]) @ drive.T_world_radar[second]
