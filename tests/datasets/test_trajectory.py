"""Poses over time, read from small files."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from radarsparse.datasets.trajectory import Trajectory, read_trajectory
from radarsparse.errors import InputError

HEADER = "timestamp tx ty tz qx qy qz qw\n"
HALF = np.sqrt(0.5)
# At 10 s upright; at 10.4 s 4 m on and turned by 90 deg to the left.
POSES = f"10.0 1 2 3 0 0 0 1\n10.4 5 2 3 0 0 {HALF} {HALF}\n"


def write(folder: Path, text: str) -> Path:
    (folder / "gt_odom.txt").write_text(text)
    return folder / "gt_odom.txt"


@pytest.mark.parametrize("header", [HEADER, "# stamp and pose\n#\n", "", "\n"])
def test_a_header_is_passed_over(tmp_path: Path, header: str) -> None:
    poses = read_trajectory(write(tmp_path, header + POSES + "\n"))
    np.testing.assert_array_equal(poses.stamps_s, [10.0, 10.4])
    np.testing.assert_array_equal(poses.positions_m, [[1, 2, 3], [5, 2, 3]])


def test_a_pose_between_two_moves_linearly_and_turns_evenly(tmp_path: Path) -> None:
    T_world_body = read_trajectory(write(tmp_path, HEADER + POSES)).T_world_body(10.1)
    turn = Rotation.from_matrix(T_world_body[:3, :3]).as_euler("zyx", degrees=True)
    np.testing.assert_allclose(T_world_body[:3, 3], [2, 2, 3], atol=1e-6)
    np.testing.assert_allclose(turn, [22.5, 0, 0], atol=1e-6)


def test_the_turn_takes_the_short_way(tmp_path: Path) -> None:
    text = POSES.replace(f"0 0 {HALF} {HALF}", f"0 0 {-HALF} {-HALF}")
    T_world_body = read_trajectory(write(tmp_path, text)).T_world_body(10.2)
    turn = Rotation.from_matrix(T_world_body[:3, :3]).as_euler("zyx", degrees=True)
    np.testing.assert_allclose(turn, [45, 0, 0], atol=1e-6)


def test_points_are_moved_with_the_pose_of_their_moment(tmp_path: Path) -> None:
    poses = read_trajectory(write(tmp_path, HEADER + POSES))
    points_m = np.array([[10.0, 0, 0], [10.0, 0, 0], [0.0, 1, 0]])
    moved_m = poses.to_world(points_m, np.array([10.0, 10.4, 10.4]))
    np.testing.assert_allclose(moved_m, [[11, 2, 3], [5, 12, 3], [4, 2, 3]], atol=1e-6)
    assert poses.to_world(points_m[:0], np.empty(0)).shape == (0, 3)


def test_what_lies_outside_or_in_a_gap_is_not_covered() -> None:
    stamps_s = np.array([1.0, 1.2, 1.7, 2.3, 2.4])
    poses = Trajectory(stamps_s, np.zeros((5, 3)), Rotation.identity(5))
    moments_s = np.array([0.9, 1.0, 1.1, 1.6, 1.8, 2.2, 2.35, 2.4, 2.5])
    expected = [False, True, True, True, False, False, True, True, False]
    assert poses.covers(moments_s).tolist() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds 0 poses; at least 2"),
        (HEADER, "holds 0 poses; at least 2"),
        (HEADER + "1 0 0 0 0 0 0 1\n", "holds 1 pose; at least 2"),
        (POSES + "11 0 0 0 0 0 0\n", r"line 3: stamp .*: '11 0 0 0 0 0 0'; must be 8 finite"),
        (POSES + "11 0 0 0 0 0 0 1 0\n", "line 3: .* must be 8 finite numbers"),
        (POSES + "11 0 nan 0 0 0 0 1\n", "line 3: .* must be 8 finite numbers"),
        ("nan 0 0 0 0 0 0 1\n" + POSES, "line 1: .* must be 8 finite numbers"),
        (POSES + "11 0 here 0 0 0 0 1\n", "line 3: .*: '11 0 here 0 .*; must be 8 finite numbers"),
        (POSES + HEADER, "line 3: .*: 'timestamp .*; must be 8 finite numbers"),
        (POSES + "11 0 0 0 0 0 0 0\n", "line 3: the quaternion has length 0; must be 1"),
        (POSES + "11 0 0 0 0 0 1 1\n", r"length 1\.414; must be 1, within 0\.01"),
        (POSES + "11 0 0 0 0 0 1e300 1\n", r"length 1e\+300; must be 1, within 0\.01"),
        (POSES + "10.4 0 0 0 0 0 0 1\n", r"10\.400000 s follows one of 10\.400000 s; stamps must"),
        (POSES + "9 0 0 0 0 0 0 1\n", r"9\.000000 s follows one of 10\.400000 s; stamps must"),
        ("\udcff", "can't be read"),
    ],
)
def test_malformed_files_are_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "gt_odom.txt"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=message) as caught:
        read_trajectory(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gt_odom\.txt: no such file"):
        read_trajectory(tmp_path / "gt_odom.txt")
