import numpy as np
import pytest

from radarsparse.geometry import Volume
from radarsparse.voxels.radar_input import BOUNDS, Finding, examine

VOLUME = Volume((0.0, -25.6, -3.2), (51.2, 25.6, 3.2), 0.2, np.radians(55.0))


def _cloud(count: int, speed_mps: float = 8.0) -> np.ndarray:
    """Points in the box of a world that stands, seen from a car that drives on."""
    random = np.random.default_rng(1)
    xyz = random.uniform((5.0, -5.0, -1.0), (45.0, 5.0, 2.0), (count, 3))
    doppler = -speed_mps * xyz[:, 0] / np.linalg.norm(xyz, axis=1)
    return np.c_[xyz, doppler, random.uniform(45.0, 70.0, count)].astype(np.float32)


def test_a_usual_cloud_has_no_findings() -> None:
    health = examine(_cloud(800), VOLUME)
    assert (health.points, health.used, health.foreign) == (800, 800, ())


def test_each_kind_is_found_and_says_its_bound() -> None:
    outside = _cloud(400)
    outside[100:, 0] += 60.0
    backwards = _cloud(400)
    backwards[:300, 0] *= -1.0
    constant = _cloud(400)
    constant[:, 4] = 7.0
    cases = {
        "points in the box": _cloud(12),
        "share in the box": outside,
        "share ahead": backwards,
        "speed by Doppler [m/s]": _cloud(400, speed_mps=-8.0),
        "kinds of power": constant,
    }
    assert list(cases) == list(BOUNDS)
    for name, points in cases.items():
        names = [finding.name for finding in examine(points, VOLUME).foreign]
        assert name in names
        # A cloud that lies behind lies outside the box as well.
        assert set(names) <= {name, "share in the box", "speed by Doppler [m/s]"}


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (Finding("points in the box", 12), "points in the box: 12, usual is 20 to 20000"),
        (Finding("kinds of power", 1), "kinds of power: 1, usual is 2 or more"),
    ],
)
def test_a_finding_is_a_line(finding: Finding, text: str) -> None:
    assert str(finding).startswith(text)


def test_speed_is_that_of_the_world_that_stands_whatever_moves_in_it() -> None:
    points = _cloud(400, speed_mps=-8.0)
    points[:100, 3] = 20.0
    found = dict(examine(points, VOLUME).foreign)
    assert found["speed by Doppler [m/s]"] == pytest.approx(-8.0, abs=0.5)
