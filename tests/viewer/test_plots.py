from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from radarsparse.errors import InputError
from radarsparse.viewer.plots import render_clouds, save_curves, save_report, saved_figure

# The corners of a box: they fix the limits, whatever else is drawn.
CORNERS = np.array(
    [[x, y, z] for x in (0.0, 50.0) for y in (-25.0, 25.0) for z in (-3.0, 3.0)],
    dtype=np.float32,
)
NOTHING = CORNERS[:0]


def blob(x: float, y: float, z: float) -> np.ndarray:
    offsets = np.random.default_rng(0).uniform(-0.5, 0.5, (100, 3))
    return (offsets + np.array([x, y, z])).astype(np.float32)


NEAR_LEFT_LOW = blob(10, 20, -2)
FAR_RIGHT_HIGH = blob(40, -20, 2)


def panel_from_above(path: Path, column: int) -> np.ndarray:
    """The pixels [height, width, 3] about the view from above of one column, 1 is white."""
    image = imread(path)[..., :3]
    height, width = image.shape[:2]
    # The colour bar takes the rest of the width, the view from the side the rest of the height.
    edges = [round(share * width) for share in (0.31 * column, 0.31 * (column + 1))]
    return image[: round(0.7 * height), edges[0] : edges[1]]


def only_in(image: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (row, column) and mean color of what is drawn on white in one image, not the other."""
    drawn = (other.min(axis=-1) > 0.99) & (image.mean(axis=-1) < 0.6)
    return np.argwhere(drawn).mean(axis=0), image[drawn].mean(axis=0)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two reports that differ only in which of radar and enhanced holds which blob."""
    folder = tmp_path_factory.mktemp("reports")
    paths = [folder / "a.png", folder / "b.png"]
    save_report(paths[0], NEAR_LEFT_LOW, FAR_RIGHT_HIGH, CORNERS, "test")
    save_report(paths[1], FAR_RIGHT_HIGH, NEAR_LEFT_LOW, CORNERS, "test")
    return paths


@pytest.mark.parametrize("column", [0, 1])
def test_left_is_left_forward_is_up_and_height_is_a_color(reports: list[Path], column: int) -> None:
    first, second = (panel_from_above(path, column) for path in reports)
    near, far = (first, second) if column == 0 else (second, first)
    near_place, near_color = only_in(near, far)
    far_place, far_color = only_in(far, near)
    assert near_place[0] > far_place[0] + 100
    assert near_place[1] < far_place[1] - 100
    assert near_color[2] > near_color[0] + 0.1, "low is blue"
    assert far_color[0] > far_color[2] + 0.1, "high is red"


def test_the_lidar_column_is_the_third(reports: list[Path]) -> None:
    first, second = (panel_from_above(path, 2) for path in reports)
    np.testing.assert_array_equal(first, second)


def test_the_same_clouds_give_the_same_bytes(reports: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "report.png"
    save_report(path, NEAR_LEFT_LOW, FAR_RIGHT_HIGH, CORNERS, "test")
    assert path.read_bytes() == reports[0].read_bytes()


def test_further_columns_and_one_point_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "report.png"
    save_report(path, np.ones((1, 5)), np.ones((1, 4)), np.ones((1, 4)), "one point")
    image = imread(path)
    assert image.shape[1] > image.shape[0] > 600
    assert image[..., :3].min() < 0.5
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("$x_{$", "$x_{$"),
        ("a$b", "a$b"),
        ("q\udcff\x1b\n", r"q\udcff\x1b\n"),
        ("\u96ea", r"\u96ea"),
    ],
)
def test_any_name_can_be_a_title(name: str, shown: str, tmp_path: Path) -> None:
    # A warning of a missing sign would fail.
    first, second = (tmp_path / f"{number}.png" for number in range(2))
    with saved_figure(first, (4, 3), name):
        pass
    with saved_figure(second, (4, 3), "") as figure:
        figure.suptitle(shown, parse_math=False)
    assert first.read_bytes() == second.read_bytes()
    save_curves(first, {name: (np.linspace(0, 1, 3), np.linspace(0, 1, 3))}, 2.0)
    assert render_clouds({name: CORNERS}, name).min() < 100


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.png"
    with pytest.raises(InputError, match="radar, enhanced, LiDAR: 0 points found"):
        save_report(path, NOTHING, NOTHING, NOTHING, "")
    with pytest.raises(InputError, match=r"enhanced: shape \(8, 2\) found, \(n, 3 or more\)"):
        save_report(path, CORNERS, CORNERS[:, :2], CORNERS, "")
    with pytest.raises(InputError, match=r"report\.jpg: unknown suffix '\.jpg'; known: \.png"):
        save_report(path.with_suffix(".jpg"), CORNERS, CORNERS, CORNERS, "")
    with pytest.raises(InputError, match=r"report\.png: no such folder: .*missing"):
        save_report(tmp_path / "missing" / "report.png", CORNERS, CORNERS, CORNERS, "")
    assert list(tmp_path.iterdir()) == []
