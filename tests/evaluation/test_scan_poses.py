"""Files of poses, and poses that jump."""

import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.evaluation.scan_poses import read_poses
from radarsparse.evaluation.scans import Clip
from radarsparse.geometry import pose
from tests.evaluation.drives import make_drive, step_between

DRIVE = make_drive(5)
CLIP = Clip("drive", tuple(DRIVE.scans))


def test_world_poses_far_away_and_steps_say_the_same(tmp_path) -> None:
    arrays = DRIVE.arrays()
    arrays["T_world_radar"] = pose((0.4, 0.1, 0), (5e5, 4e6, 50)) @ arrays["T_world_radar"]
    np.savez(tmp_path / "world.npz", **arrays)
    pairs = list(zip(CLIP.scans[:-1], CLIP.scans[1:], strict=True))
    expected = [step_between(DRIVE, *pair) for pair in pairs]
    # The last scan needs no step.
    np.savez(tmp_path / "steps.npz", name=CLIP.scans[:-1], trans=expected)
    assert np.allclose(read_poses(tmp_path / "world.npz").steps(CLIP), expected, atol=1e-8)
    assert np.allclose(read_poses(tmp_path / "steps.npz").steps(CLIP), expected, atol=0)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (
            pose((0, 0, 0), (5.1, 0, 0)),
            "from drive_004 to drive_005, poses jump by 5.1 m; at most 5 m",
        ),
        (
            pose((0.6, 0, 0), (0, 0, 0)),
            "from drive_004 to drive_005, poses turn by 34.4 deg; at most 30 deg",
        ),
    ],
)
def test_a_jump_is_refused_by_name_value_and_bound(tmp_path, step, message) -> None:
    steps = [np.eye(4), step, np.eye(4), np.eye(4)]
    np.savez(tmp_path / "poses.npz", name=CLIP.scans[:-1], trans=steps)
    with pytest.raises(InputError, match=message):
        read_poses(tmp_path / "poses.npz").steps(CLIP)


def test_steps_within_the_bounds_pass(tmp_path) -> None:
    steps = [pose((0.5, 0, 0), (4.9, 0, 0))] * 4
    np.savez(tmp_path / "poses.npz", name=CLIP.scans[:-1], trans=steps)
    assert np.allclose(read_poses(tmp_path / "poses.npz").steps(CLIP), steps)


def test_scans_without_a_pose_are_named(tmp_path) -> None:
    names = [CLIP.scans[0], CLIP.scans[3]]
    np.savez(tmp_path / "poses.npz", name=names, trans=[np.eye(4)] * 2)
    with pytest.raises(InputError, match="no pose of 2 scans of drive, first drive_004"):
        read_poses(tmp_path / "poses.npz").steps(CLIP)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"name": ["a"]}, "arrays name and trans or T_world_radar expected; there are: name"),
        ({"name": ["a"], "trans": np.eye(4)}, r"trans of shape \(4, 4\) found"),
        ({"name": ["a", "a"], "trans": [np.eye(4)] * 2}, "holds a more than once"),
        ({"name": ["a"], "trans": [2 * np.eye(4)]}, "trans of a: is not rigid"),
        ({"name": ["a"], "T_world_radar": np.full((1, 4, 4), np.nan)}, "of a: is not rigid"),
        ({"name": ["a"], "trans": [[["x"] * 4] * 4]}, "of a: must be 4x4 numbers"),
        ({"name": np.array([None]), "trans": [np.eye(4)]}, "can't be read"),
    ],
)
def test_unusable_files_are_refused(tmp_path, arrays, message) -> None:
    np.savez(tmp_path / "poses.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_poses(tmp_path / "poses.npz")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and nothing else", b"text"])
def test_files_that_are_no_archive_are_refused(tmp_path, content) -> None:
    (tmp_path / "poses.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"poses\.npz: (can't be read|is damaged)"):
        read_poses(tmp_path / "poses.npz")
