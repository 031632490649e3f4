from dataclasses import replace

import numpy as np
import pytest

from radarsparse.datasets.check import check_pairs, describe_check
from radarsparse.errors import InputError
from radarsparse.geometry import Volume
from radarsparse.scan import ScanPair
from radarsparse.viewer.check_plot import draw_check

VOLUME = Volume((0.0, -6.4, -1.6), (12.8, 6.4, 1.6), 0.2, 1.0)


def make_pair(x_m: float) -> ScanPair:
    """A radar point 0.44 m before the one LiDAR point."""
    radar = np.array([[x_m - 0.44, 0.1, 0.1, 0.0, 60.0]], dtype=np.float32)
    return ScanPair("000000", radar, np.array([[x_m, 0.1, 0.1, 9.0]], dtype=np.float32), np.eye(4))


def test_distances_and_reach_are_those_of_a_hand_made_set():
    found = check_pairs([make_pair(4.1), make_pair(10.1)], VOLUME)
    assert found.radar_points.tolist() == found.lidar_points.tolist() == [1, 1]
    np.testing.assert_allclose(found.radar_range_m, [6.66, 9.66], atol=0.01)
    np.testing.assert_allclose(found.matched_m[:2], 0.44, atol=1e-5)
    np.testing.assert_allclose(found.shuffled_m[:2], 0.5 * (6.44 + 5.56), atol=1e-5)
    assert np.isnan(found.matched_m[2:]).all()
    # Voxels 18 and 20, 48 and 50 along x: 2 cells apart at stride 1, then 1, 1 or 0 and 0.
    np.testing.assert_allclose(found.reach, [[0, 0, 1, 1], [0, 1, 1, 1], [0.5, 1, 1, 1], [1] * 4])


def test_shuffled_pairs_are_farther_apart_and_the_text_says_so(tmp_path):
    pairs = [make_pair(4.1), make_pair(7.1), make_pair(10.1)]
    found = check_pairs(pairs, VOLUME)
    text = "\n".join(describe_check(found))
    assert "3 frames" in text
    assert "own / other: 0." in text
    draw_check(tmp_path / "check.png", found, "three frames")
    assert (tmp_path / "check.png").stat().st_size > 10_000


def test_time_gaps_are_told_where_they_are_known():
    first, second = make_pair(4.1), make_pair(7.1)
    assert "stamps of radar and LiDAR: not known" in "\n".join(
        describe_check(check_pairs([first, second], VOLUME))
    )
    third, fourth = replace(first, time_gap_s=0.01), replace(second, time_gap_s=0.03)
    found = describe_check(check_pairs([third, fourth], VOLUME))
    assert "time between the stamps of radar and LiDAR: 0.020 s (median) to 0.030 s" in found
    found = describe_check(check_pairs([first, fourth], VOLUME))
    assert any(line.endswith("0.030 s, known of 1 of 2 frames") for line in found)


def test_one_frame_can_not_be_compared():
    with pytest.raises(InputError, match="1 frame found; at least 2"):
        check_pairs([make_pair(4.1)], VOLUME)
