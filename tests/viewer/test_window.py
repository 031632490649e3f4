import importlib.util
from pathlib import Path

import pytest

from radarsparse.errors import InputError
from radarsparse.viewer.coloring import Look
from radarsparse.viewer.shown import ShownFrames
from radarsparse.viewer.window import Desk, load_open3d

BOUNDS = {"height": (0.0, 1.0), "doppler": (-1.0, 1.0)}


@pytest.fixture
def desk(frames: Path) -> Desk:
    return Desk(ShownFrames.find({"radar": frames, "lidar": frames}), Look("height", BOUNDS))


def test_arrows_step_through_all_frames_and_around_the_end(desk: Desk):
    names = [desk.frame.name]
    for _ in desk.frames.names:
        assert desk.press("right")
        names.append(desk.frame.name)
    assert names == [*desk.frames.names, desk.frames.names[0]]
    assert desk.press("left")
    assert desk.frame.name == desk.frames.names[-1]


def test_numbers_switch_layers_off_and_on(desk: Desk):
    desk.press("1")
    desk.press("3")
    assert desk.look.hidden == {"radar", "lidar"}
    desk.press("1")
    assert desk.look.hidden == {"lidar"}


def test_c_goes_through_the_colorings_that_there_are(desk: Desk):
    seen = []
    for _ in range(4):
        assert desk.press("c")
        seen.append(desk.look.coloring)
    assert seen == ["doppler", "layer", "height", "doppler"]


def test_points_grow_and_shrink_within_bounds(desk: Desk):
    desk.press("+")
    assert desk.look.point_size_px == 3.0
    for _ in range(99):
        desk.press("-")
    assert desk.look.point_size_px == 1.0
    for _ in range(99):
        desk.press("=")
    assert desk.look.point_size_px == 20.0


def test_space_plays_and_pauses_without_a_new_picture(desk: Desk):
    assert not desk.press("space")
    assert desk.playing
    assert not desk.press("space")
    assert not desk.playing


def test_a_missing_open3d_is_named_with_what_installs_it():
    if importlib.util.find_spec("open3d"):
        pytest.skip("Open3D is installed")
    with pytest.raises(InputError, match=r"pip install 'radarsparse\[view\]'"):
        load_open3d()
