"""The radar's own speed, from clouds in a world whose motion is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from radarsparse.simulator.pairs import simulate_pair
from radarsparse.voxels.forward_speed import forward_speed_mps

# Of the Astyx: 128 steps, folded into minus 64 to 63 of them.
STEP_MPS = 0.0812


def world(speed_mps: float, moving: int = 40, half_width_rad: float = 0.9) -> NDArray[np.float32]:
    """A hundred and sixty points that stand, and some that go as they like."""
    random = np.random.default_rng(3)
    azimuth = random.uniform(-half_width_rad, half_width_rad, 160 + moving)
    distance = random.uniform(3.0, 60.0, len(azimuth))
    points = np.zeros((len(azimuth), 5), np.float32)
    points[:, 0], points[:, 1] = distance * np.cos(azimuth), distance * np.sin(azimuth)
    for number, direction in enumerate(azimuth):
        stands = number >= moving
        points[number, 3] = -speed_mps * np.cos(direction) if stands else random.uniform(-20, 20)
    return points


def folded(points: NDArray[np.float32]) -> NDArray[np.float32]:
    steps = np.rint(points[:, 3] / STEP_MPS)
    folded = points.copy()
    folded[:, 3] = ((steps + 64) % 128 - 64) * STEP_MPS
    return folded


@pytest.mark.parametrize("speed_mps", [-14.0, -4.0, 0.0, 3.0, 8.5, 13.0, 21.0, 40.0])
def test_the_speed_is_found_amid_traffic_even_where_doppler_is_folded(speed_mps: float) -> None:
    points = world(speed_mps)
    assert abs(forward_speed_mps(points) - speed_mps) < 0.4
    # The largest value that could be measured need not be among few points.
    assert abs(forward_speed_mps(folded(points)) - speed_mps) < 0.4 + 0.1 * abs(speed_mps)


def test_nothing_is_said_where_most_move_or_the_field_of_view_is_too_narrow() -> None:
    assert forward_speed_mps(world(8.0, moving=300)) == 0.0
    # Folded, 5 and -5.4 m/s look alike straight ahead.
    assert forward_speed_mps(folded(world(5.0, moving=20, half_width_rad=0.05))) == 0.0


def test_nothing_is_said_of_clouds_with_nothing_ahead() -> None:
    behind = world(8.0) * np.float32([-1, 1, 1, 1, 1])
    assert forward_speed_mps(behind) == 0.0
    assert forward_speed_mps(np.zeros((0, 5), np.float32)) == 0.0


def test_simulated_cars_drive_forwards_and_backwards_if_the_sign_is_turned() -> None:
    clouds = [simulate_pair(5, index).radar for index in range(12)]
    speeds = np.array([forward_speed_mps(cloud) for cloud in clouds])
    turned = np.array([forward_speed_mps(cloud * [1, 1, 1, -1, 1]) for cloud in clouds])
    assert speeds.min() > -1.0
    assert np.sum(speeds > 3.0) >= 6
    np.testing.assert_allclose(turned, -speeds, atol=0.41)
