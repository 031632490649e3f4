import json
import math
from pathlib import Path

import pytest

from radarsparse.errors import InputError
from radarsparse.viewer.camera import Camera


def test_a_quarter_turn_is_counterclockwise_and_keeps_height_and_target():
    camera = Camera((-10.0, 0.0, 5.0), (10.0, 0.0, 1.0)).turned(90.0)
    assert camera.eye_m == pytest.approx((10.0, -20.0, 5.0))
    assert camera.target_m == (10.0, 0.0, 1.0)


def test_whole_turns_come_back():
    start = Camera()
    camera = start
    for _ in range(9):
        camera = camera.turned(40.0)
        reach_m = math.dist(camera.eye_m, camera.target_m)
        assert reach_m == pytest.approx(math.dist(start.eye_m, start.target_m))
    assert camera.eye_m == pytest.approx(start.eye_m)


def test_a_saved_camera_is_read_back(tmp_path: Path):
    path = tmp_path / "camera.json"
    camera = Camera((-1.5, 2.0, 3.0), (4.0, 5.0, 6.0), 40.0)
    camera.save(path)
    assert Camera.load(path) == camera
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match=r"camera\.json: no such folder"):
        camera.save(tmp_path / "missing" / "camera.json")


GOOD = {"eye_m": [-1, 0, 2], "target_m": [3, 0, 0], "field_of_view_deg": 50}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is no readable camera"),
        ("[]", "is no camera; its keys must be eye_m, field_of_view_deg, target_m"),
        (json.dumps(GOOD | {"zoom": 1}), "is no camera"),
        (json.dumps(GOOD | {"eye_m": [1, 2]}), r"eye_m = \[1, 2\]; must be three numbers"),
        (json.dumps(GOOD | {"target_m": [1, 2, math.nan]}), "must be three numbers"),
        (json.dumps(GOOD | {"eye_m": [1, 2, 10**400]}), "must be three numbers"),
        ("[" * 100_000, "is no readable camera"),
        (json.dumps(GOOD | {"field_of_view_deg": 180}), "180; must be from 1 to 170"),
        (json.dumps(GOOD | {"eye_m": [3, 0, 9]}), "must not stand straight above"),
    ],
)
def test_what_is_no_camera_is_refused(tmp_path: Path, content: str, words: str):
    path = tmp_path / "camera.json"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        Camera.load(path)


def test_a_camera_by_hand_is_read(tmp_path: Path):
    path = tmp_path / "camera.json"
    path.write_text(json.dumps(GOOD))
    assert Camera.load(path) == Camera((-1.0, 0.0, 2.0), (3.0, 0.0, 0.0), 50.0)
