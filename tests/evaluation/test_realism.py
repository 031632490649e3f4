"""Realism of rows whose clouds are as good as real, of another make, or empty."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.evaluation.critic import Patch, tell_apart
from radarsparse.evaluation.frames import FrameClouds, FrameSource
from radarsparse.evaluation.realism import MEASURES, describe_realism, score_realism
from tests.evaluation.clouds import VOLUME

Cloud = NDArray[np.float32]
NAMES = [f"{number:06d}" for number in range(16)]
NOWHERE = np.zeros((0, 3))


def walls(seed: int) -> Cloud:
    """Two walls and a road, never the same points twice."""
    random = np.random.default_rng(seed)
    u, v = random.uniform(0, 1, (2, 250))
    parts = [
        (8 + 0 * u, 8 * u - 4, 2 * v - 1),
        (8 * u, 4 + 0 * u, 2 * v - 1),
        (8 * u, 8 * v - 4, 0 * u - 1),
    ]
    points = np.concatenate([np.stack(part, axis=1) for part in parts])
    return np.c_[points, random.uniform(0, 9, len(points))].astype(np.float32)


def smeared(seed: int) -> Cloud:
    points = walls(seed)
    points[:, :3] += np.random.default_rng(seed).normal(0, 0.3, (len(points), 3))
    return points


def read(name: str) -> FrameClouds:
    number = int(name)
    clouds = {"pred": walls(number + 100), "smeared": smeared(number), "none": walls(0)[:0]}
    return FrameClouds(name, clouds, walls(number), None)


def frames(names: Sequence[str]) -> FrameSource:
    return FrameSource(names, read, VOLUME, None, {})


@pytest.mark.slow
def test_what_is_as_good_as_real_reaches_the_floor_and_smear_does_not() -> None:
    report = score_realism(frames(NAMES), 50)
    assert report.keys() == {"pred", "smeared", "none", "real"}
    assert all(row.keys() == MEASURES.keys() for row in report.values())
    for row in ("pred", "real"):
        value, low, high = report[row]["c2st_accuracy"]
        assert low <= 0.5 <= high or abs(value - 0.5) < 0.1
        assert report[row]["hidden_share"][0] == report["real"]["hidden_share"][0]
    for measure in set(MEASURES) - {"jsd_column", "mmd_set"}:
        assert report["smeared"][measure][0] > report["pred"][measure][0], measure
    assert report["smeared"]["c2st_accuracy"][0] > 0.9
    assert report["smeared"]["one_nn_accuracy"][0] > 0.9
    assert math.isnan(report["none"]["frechet"][0])
    lines = describe_realism(report).splitlines()
    assert [line.split("  ")[0].strip() for line in lines[1:]] == [
        "enhanced",
        "smeared",
        "none",
        "real",
    ]
    assert lines[3].count("-") > 5


def test_few_frames_are_refused() -> None:
    with pytest.raises(InputError, match="--realism: 11 frames found, at least 12 needed"):
        score_realism(frames(NAMES[:11]), 50)


def patches(seed: int, count: int, radar_beside: bool) -> list[Patch]:
    """Walls, and a radar that sees them or something else."""
    random = np.random.default_rng(seed)
    clouds = [random.uniform((0, -2, -1), (0.2, 2, 1), (40, 3)) for _ in range(count)]
    return [Patch(cloud, cloud[:9] if radar_beside else cloud[:9] - [1, 0, 0]) for cloud in clouds]


def test_critics_see_whether_the_radar_agrees() -> None:
    known = patches(0, 60, False), patches(1, 60, True)
    unseen = patches(2, 30, False), patches(3, 30, True)
    right = tell_apart(known, unseen, 0)
    assert len(right) == 60
    assert right.mean() > 0.9
    np.testing.assert_array_equal(right, tell_apart(known, unseen, 0))
