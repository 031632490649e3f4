"""Held-out points of neighbouring scans, chance, and scores of drives without LiDAR."""

import math

import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.evaluation.consistency import (
    CHANCE,
    NEIGHBOURS,
    RAW_CHANCE,
    MovingClip,
    other_places,
    score_clips,
)
from radarsparse.evaluation.consistency_report import (
    describe_consistency,
    make_consistency_report,
)
from radarsparse.evaluation.ego_motion import StaticScan, find_static
from radarsparse.evaluation.frames import PREDICTION, RAW
from radarsparse.evaluation.scans import Clip
from radarsparse.evaluation.workers import Workers
from tests.evaluation.clouds import VOLUME
from tests.evaluation.drives import Drive, make_drive

ABOUT = {"motion": {"source": "poses"}, "left_out_clips": ["x_1"]}


def clip_of(drive: Drive, name: str = "drive") -> MovingClip:
    scans = [find_static(scan, radar) for scan, radar in drive.scans.items()]
    return MovingClip(
        Clip(name, tuple(drive.scans)), scans, [drive.T_world_radar[scan] for scan in drive.scans]
    )


def held_out_by_loops(drive: Drive, at: int, skipped: int = -1) -> list[list[float]]:
    """Point by point: static by construction, through the world, inside the volume."""
    names, found = list(drive.scans), []
    T_scan_world = np.linalg.inv(drive.T_world_radar[names[at]])
    for other, name in enumerate(names):
        if other in (at, skipped) or abs(other - at) > NEIGHBOURS:
            continue
        for point, static in zip(drive.scans[name], drive.is_static[name], strict=True):
            world = drive.T_world_radar[name] @ [*map(float, point[:3]), 1.0]
            x, y, z = (T_scan_world @ world)[:3].tolist()
            low, high = VOLUME.minimum_m, VOLUME.maximum_m
            inside = all(a <= c < b for a, c, b in zip(low, (x, y, z), high, strict=True))
            if static and inside and abs(math.atan2(y, x)) <= VOLUME.azimuth_max_rad:
                found.append([x, y, z])
    return found


@pytest.mark.parametrize("at", [0, 6, 11])
def test_held_out_points_are_those_of_loops(at: int) -> None:
    drive = make_drive()
    expected = held_out_by_loops(drive, at)
    assert len(expected) > 300
    assert np.allclose(clip_of(drive).held_out(at, VOLUME), expected, atol=1e-9)


def test_a_repeated_scan_is_not_held_out() -> None:
    drive = make_drive()
    names = list(drive.scans)
    drive.scans[names[5]] = drive.scans[names[4]] + np.float32([0.1, 0, 0, 0, 0])
    clip = clip_of(drive)
    assert np.allclose(clip.held_out(4, VOLUME), held_out_by_loops(drive, 4, skipped=5))
    assert len(clip.held_out(6, VOLUME)) > len(held_out_by_loops(drive, 6, skipped=5))


def recall_by_loops(cloud: np.ndarray, held_out: list[list[float]], limit_m: float) -> float:
    rows = cloud.astype(np.float64).tolist()
    near = [any(math.dist(point, row) < limit_m for row in rows) for point in held_out]
    return sum(near) / len(near)


def test_scores_of_two_drives() -> None:
    drives = {name: make_drive(4, f"{name}_", seed=seed) for seed, name in enumerate("ab")}
    clips = [clip_of(drive, name) for name, drive in drives.items()]

    def make_cloud(scan: StaticScan) -> np.ndarray:
        return scan.radar[::2, :4] + np.float32([0, 0, 0.3, 0])

    scores = score_clips(clips, make_cloud, VOLUME, Workers())
    assert [scan.name for scan in scores] == [*drives["a"].scans, *drives["b"].scans]
    held_out = held_out_by_loops(drives["a"], 2)
    for row, shift_m, every, drive in (
        (RAW, 0.0, 1, "a"),
        (RAW_CHANCE, 0.0, 1, "b"),
        (PREDICTION, 0.3, 2, "a"),
        (CHANCE, 0.3, 2, "b"),
    ):
        cloud = drives[drive].scans[f"{drive}_005"][::every, :3] + np.float32([0, 0, shift_m])
        cloud = cloud[VOLUME.contains(cloud)]
        found = scores[2].rows[row]
        assert found["points"] == len(cloud)
        for limit_m in (0.5, 1.0):
            assert found[f"recall@{limit_m}m"] == recall_by_loops(cloud, held_out, limit_m)
    # Points of one place are near, those of another aren't.
    assert scores[2].rows[RAW]["support@0.5m"] > 3 * scores[2].rows[RAW_CHANCE]["support@0.5m"]
    report = make_consistency_report(scores, clips, ABOUT, 20)
    means = [report["clips"][name][PREDICTION]["recall@1.0m"] for name in "ab"]
    assert report[PREDICTION]["recall@1.0m"] == pytest.approx(np.mean(means))
    ratio = report["clips"]["a"]["ratios"]["pred/raw"]["recall@1.0m"]
    assert ratio == pytest.approx(means[0] / report["clips"]["a"][RAW]["recall@1.0m"])
    assert report["clips"]["b"]["speed_mps"] == pytest.approx(8.0, abs=0.1)
    low, high = report["intervals"][RAW]["recall@0.5m"]
    assert low <= report[RAW]["recall@0.5m"] <= high
    lines = describe_consistency(report).splitlines()
    assert lines[0] == "8 scans in 2 clips, moved by poses"
    assert lines[-1] == "too short, not scored: x_1"
    assert "another clip" in lines[-2]


def test_chance_is_of_another_place() -> None:
    assert other_places([4, 2]) == [4, 4, 5, 5, 0, 2]
    assert other_places([5]) == [2, 3, 4, 0, 1]
    for lengths in ([3], [3, 3], [3, 7, 5]):
        assert all(other != at for at, other in enumerate(other_places(lengths)))


def test_a_scan_without_a_point_in_the_volume_is_named() -> None:
    drive = make_drive(3)
    drive.scans["drive_004"][:, 2] += 100
    with pytest.raises(InputError, match="scan drive_004: none of 170 points lies in the box"):
        score_clips([clip_of(drive)], lambda scan: scan.radar, VOLUME, Workers())


def test_points_that_are_not_finite_are_named_and_an_empty_cloud_is_scored() -> None:
    clip = clip_of(make_drive(3))
    with pytest.raises(InputError, match=r"scan drive_003: pred: .* points are not finite"):
        score_clips([clip], lambda scan: scan.radar * np.nan, VOLUME, Workers())
    scores = score_clips([clip], lambda scan: scan.radar[:0], VOLUME, Workers())
    assert scores[0].rows[PREDICTION]["recall@1.0m"] == 0
