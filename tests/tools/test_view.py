"""view as a user calls it."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image

from radarsparse.cli import parse
from radarsparse.commands.view import COMMAND
from radarsparse.errors import InputError
from radarsparse.formats.clouds import write_cloud
from radarsparse.viewer.camera import Camera

ROOT = Path(__file__).parents[2]


def act(*arguments: object) -> Mapping[str, Any]:
    """What the command returns, in this process."""
    return COMMAND.act(parse(COMMAND, [str(argument) for argument in arguments]))


def call(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "tools/view.py", *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def enhanced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("enhanced")
    points = np.random.default_rng(0).uniform(0, 6, (50, 4)).astype(np.float32)
    for name in ("000001", "000004"):
        write_cloud(folder / f"{name}.ply", points)
    return folder


def test_a_picture_of_chosen_layers_with_json(frames: Path, enhanced: Path, tmp_path: Path):
    path = tmp_path / "shot.png"
    options = ("--frame", "000004", "--color", "error", "--hide", "radar", "--json")
    result = call("--frames", frames, "--enhanced", enhanced, "--save", path, *options)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"path": str(path), "frames": 1, "color": "error"}
    assert imread(path).shape[:2] >= (500, 800)
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_in_a_folder_begins_with_the_saved_camera(
    frames: Path, enhanced: Path, tmp_path: Path
):
    camera = Camera((-5.0, 1.0, 4.0), (6.0, 0.0, 0.0), 50.0)
    camera.save(tmp_path / "camera.json")
    options = ("--web", "--out", tmp_path / "page", "--camera", tmp_path / "camera.json")
    act("--frames", frames, "--enhanced", enhanced, *options)
    scene = json.loads((tmp_path / "page" / "scene.json").read_text())
    assert scene["frames"] == ["000001", "000004"]
    assert scene["camera"]["eye_m"] == [-5.0, 1.0, 4.0]
    assert len(list((tmp_path / "page" / "clouds").iterdir())) == 2 * 3


def test_what_stands_where_the_page_would_be_is_left_alone(frames: Path, tmp_path: Path):
    def write() -> None:
        act("--radar", frames, "--limit", 1, "--web", "--out", tmp_path / "page")

    for name, words in (("page.partial", "is in the way"), ("page", "exists with other contents")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "diary").touch()
        with pytest.raises(InputError, match=f"{name}: {words}"):
            write()
        (tmp_path / name / "diary").unlink()
        (tmp_path / name).rmdir()
    write()
    assert {path.name for path in tmp_path.iterdir()} == {"page"}


def test_columns_are_what_the_user_says(tmp_path: Path):
    np.arange(1, 13, dtype="<f8").reshape(2, 6).tofile(tmp_path / "a.bin")
    options = ("--fields", "power,x,y,z,doppler,_", "--bin-type", "float64")
    act("--radar", tmp_path / "a.bin", *options, "--web", "--out", tmp_path / "page")
    rows = np.fromfile(tmp_path / "page/clouds/0-radar.bin", "<f4").reshape(2, -1)
    assert rows[:, :5].tolist() == [[2, 3, 4, 5, 1], [8, 9, 10, 11, 7]]


def test_a_film_goes_through_the_frames(frames: Path, enhanced: Path, tmp_path: Path):
    path = tmp_path / "film.gif"
    sources = ("--radar", frames, "--enhanced", enhanced)
    assert act(*sources, "--save", path, "--fps", 2)["frames"] == 2
    with Image.open(path) as film:
        assert (film.n_frames, film.info["duration"]) == (2, 500)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--save", "a.mp4"), "a.mp4: unknown suffix '.mp4'"),
        (("--color", "probability"), "--color probability: no layer has it"),
        (("--frame", "7"), "frame 7: not among"),
        (("--limit", "0"), "--limit 0: must be from 1 to 1000000"),
        (("--fps", "0"), "--fps 0.0: must be from 0.1 to 50"),
        (("--size", "10", "800"), "--size 10: must be from 200 to 8192"),
        (("--out", "page"), "--out page: only with --web"),
        (("--save", "a.png", "--web"), "give one of them"),
    ],
)
def test_a_mistake_is_named(frames: Path, options: tuple[str, ...], words: str):
    with pytest.raises(InputError, match=re.escape(words)):
        act("--frames", frames, *options)


def test_without_a_screen_there_is_no_window(frames: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="--web"):
        act("--frames", frames)
