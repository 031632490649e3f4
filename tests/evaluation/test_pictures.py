from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from plyfile import PlyData

from radarsparse.errors import InputError
from radarsparse.evaluation.folders import FolderFrames
from radarsparse.evaluation.pictures import save_pictures
from radarsparse.evaluation.score import score_frames
from radarsparse.evaluation.workers import Workers
from tests.evaluation.clouds import PRED, TARGET, cloud, find, save
from tests.processes import small_disk


def draw(folders: FolderFrames, out: Path, worst: Sequence[str]) -> None:
    """The pictures of some frames."""
    out.mkdir()
    frames = folders.check(Workers())
    save_pictures(out, frames, worst, score_frames(frames, Workers()))


def test_errors_are_drawn_in_their_colors(tmp_path: Path) -> None:
    """Frame c is empty on one side."""
    pred = save(tmp_path / "pred", **PRED, c=cloud())
    target = save(tmp_path / "target", **TARGET, c=TARGET["a"])
    out = tmp_path / "pictures"
    draw(find(pred, target), out, ["c", "b"])
    drawn = sorted(path.name for path in out.iterdir())
    assert drawn == ["b.ply", "b.png", "c.ply", "c.png", "distances.png"]
    vertex = PlyData.read(str(out / "b.ply"))["vertex"]
    np.testing.assert_array_equal(vertex["x"], [5, 8])
    np.testing.assert_allclose(vertex["distance_m"], [0, 3])
    rgb = np.stack([vertex[name] for name in ("red", "green", "blue")], axis=1)
    # viridis starts violet and ends yellow
    np.testing.assert_allclose(rgb, [[68, 1, 84], [253, 231, 36]], atol=2)
    assert len(PlyData.read(str(out / "c.ply"))["vertex"].data) == 0
    for name in ("b", "c", "distances"):
        image = imread(out / f"{name}.png")[..., :3]
        assert image.min() < 0.5 < image.max()


def shades(image: np.ndarray, color: tuple[float, ...]) -> int:
    return int((np.abs(image - np.array(color)).max(axis=-1) < 0.02).sum())


def test_near_and_far_points_differ_in_the_picture(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(0, 40, (500, 4)).astype(np.float32)
    far = points + np.array([0, 0, 4.9, 0], dtype=np.float32)
    pred, target = (
        save(tmp_path / "pred", a=points, b=far),
        save(tmp_path / "target", a=points, b=points),
    )
    draw(find(pred, target), tmp_path / "pictures", "ab")
    near_image, far_image = (imread(tmp_path / f"pictures/{name}.png")[..., :3] for name in "ab")
    violet, yellow = (68 / 255, 1 / 255, 84 / 255), (253 / 255, 231 / 255, 36 / 255)
    assert shades(near_image, violet) > 4 * shades(far_image, violet)
    assert shades(far_image, yellow) > 2 * shades(near_image, yellow)


def test_pictures_that_fail_leave_nothing_but_what_others_made(tmp_path: Path) -> None:
    pred, target = (save(tmp_path / name, a=PRED["a"]) for name in ("pred", "target"))
    out = tmp_path / "pictures"
    out.mkdir()
    (out / "mine.txt").touch()
    frames = find(pred, target).check(Workers())
    scores = score_frames(frames, Workers())
    with small_disk(50_000), pytest.raises(InputError, match=r"\.png: can't be written"):
        save_pictures(out, frames, ["a"], scores)
    assert [path.name for path in out.iterdir()] == ["mine.txt"]
