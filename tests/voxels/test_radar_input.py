"""What is foreign in a radar cloud, each thing brought about by itself."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from radarsparse.config import RadarSettings, VolumeSettings
from radarsparse.geometry import Volume
from radarsparse.scan import ScanPair
from radarsparse.simulator.pairs import simulate_pair
from radarsparse.voxels.radar_input import InputHealth, examine

VOLUME = Volume.from_settings(VolumeSettings())
RADAR = RadarSettings()
Cloud = NDArray[np.float32]


@pytest.fixture(scope="module")
def pair() -> ScanPair:
    """A simulated frame of a car that drives at 8 m/s or more."""
    return simulate_pair(5, 4)


def in_view(points: Cloud) -> Cloud:
    return points[VOLUME.contains(points)]


def names(health: InputHealth) -> list[str]:
    return [finding.name for finding in health.foreign]


def test_a_cloud_as_in_training_is_not_foreign(pair: ScanPair) -> None:
    health = examine(pair.radar, VOLUME, RADAR)
    assert health.foreign == ()
    count = 0
    for x, y, z, *_ in pair.radar.tolist():
        inside = 0 <= x < 51.2 and -25.6 <= y < 25.6 and -3.2 <= z < 3.2
        count += inside and abs(math.degrees(math.atan2(y, x))) <= 55
    assert (health.points, health.used) == (len(pair.radar), count)
    assert str(health) == f"used {count:,} of {len(pair.radar):,} points; nothing foreign"


def test_counts_of_points_are_those_that_the_weights_know(pair: ScanPair) -> None:
    few = in_view(pair.radar)[:30]
    assert "points in view" not in names(examine(few, VOLUME, RadarSettings(points=(30, 40))))
    for bounds in ((31, 40), (1, 29)):
        found = examine(few, VOLUME, RadarSettings(points=bounds)).foreign[0]
        assert found[:4] == ("points in view", 30, *bounds)


def test_points_out_of_view_are_counted_and_the_view_is_named(pair: ScanPair) -> None:
    inside = in_view(pair.radar)
    far = np.repeat(inside, 3, axis=0) + np.float32([0, 0, 40, 0, 0])
    health = examine(np.concatenate([inside, far]), VOLUME, RADAR)
    assert "share in view" in names(health)
    text = f"used {len(inside):,} of {4 * len(inside):,} points; share in view 0.25"
    assert str(health).startswith(text)
    assert "x 0 to 51.2, y -25.6 to 25.6, z -3.2 to 3.2 m within 55 deg" in str(health)


def test_a_turned_sign_of_doppler_is_seen_and_a_radar_that_looks_back(pair: ScanPair) -> None:
    turned = examine(pair.radar * np.float32([1, 1, 1, -1, 1]), VOLUME, RADAR)
    assert names(turned) == ["forward speed by Doppler [m/s]"]
    assert turned.foreign[0].value < -3.0
    behind = np.concatenate([pair.radar, 2 * pair.radar * np.float32([-1, 1, 1, 1, 0.5])])
    behind = np.concatenate([behind, behind[len(pair.radar) :]])
    assert "share with x above 0" in names(examine(behind, VOLUME, RADAR))


@pytest.mark.parametrize(
    ("scale", "shift", "expected"),
    [
        (0.3, -15.0, ["median of power [dB]"]),
        (0.0, 60.0, ["kinds of power"]),
        (0.0, 0.0, ["median of power [dB]", "kinds of power"]),
        (1.0, 2.0, []),
    ],
)
def test_another_scale_of_power_and_none_are_told_apart(
    pair: ScanPair, scale: float, shift: float, expected: list[str]
) -> None:
    other = pair.radar.copy()
    other[:, 4] = scale * other[:, 4] + np.float32(shift)
    assert names(examine(other, VOLUME, RADAR)) == expected
