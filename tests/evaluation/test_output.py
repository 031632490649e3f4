import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from plyfile import PlyData

from radarsparse.errors import InputError
from radarsparse.evaluation import FolderFrames, Output, Workers, score_frames
from tests.evaluation.clouds import PRED, TARGET, cloud, find, save


def output(folder: Path, **changes: Any) -> Output:
    asked = {"csv": None, "pictures": None, "resamples": 10, "worst": 5, **changes}
    return Output(folder / "metrics.json", **asked)


def folders(tmp_path: Path) -> FolderFrames:
    """Frame c is empty on one side, frame d on both."""
    nothing = cloud()
    pred = save(tmp_path / "pred", **PRED, c=nothing, d=nothing)
    target = save(tmp_path / "target", **TARGET, c=TARGET["a"], d=nothing)
    return find(pred, target, None, {"same": target}).check(Workers())


def test_files_appear_and_the_text_says_what_matters(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    frames = folders(tmp_path)
    asked = output(out, csv=out / "frames.csv", pictures=out / "pictures", worst=2)
    text = asked.write(score_frames(frames, Workers()), frames)
    lines = text.splitlines()
    assert lines[0] == "4 frames"
    assert [line.split()[0] for line in lines[2:4]] == ["enhanced", "same"]
    assert "empty predictions: enhanced 2, same 1; empty targets: 1" in text
    assert lines[-1] == "worst by Chamfer sum: c, b"
    assert (
        json.loads((out / "metrics.json").read_text())["per_frame"][3]["pred"]["iou@0.2m"] is None
    )
    with (out / "frames.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [(line["name"], line["row"]) for line in table] == [
        (name, row) for name in "abcd" for row in ("pred", "same")
    ]
    assert table[0]["chamfer_sum_m"] == "2.0"
    assert table[0]["feature_mae"] == table[6]["chamfer_sum_m"] == ""
    names = sorted(path.name for path in out.iterdir())
    assert names == ["frames.csv", "metrics.json", "pictures"]
    drawn = sorted(path.name for path in (out / "pictures").iterdir())
    assert drawn == ["b.ply", "b.png", "c.ply", "c.png", "distances.png"]


def test_errors_are_drawn_in_their_colors(tmp_path: Path) -> None:
    frames = folders(tmp_path)
    asked = output(tmp_path, pictures=tmp_path / "pictures", worst=2)
    asked.write(score_frames(frames, Workers()), frames)
    vertex = PlyData.read(str(tmp_path / "pictures/b.ply"))["vertex"]
    np.testing.assert_array_equal(vertex["x"], [5, 8])
    np.testing.assert_allclose(vertex["distance_m"], [0, 3])
    rgb = np.stack([vertex[name] for name in ("red", "green", "blue")], axis=1)
    # viridis starts violet and ends yellow
    np.testing.assert_allclose(rgb, [[68, 1, 84], [253, 231, 36]], atol=2)
    assert len(PlyData.read(str(tmp_path / "pictures/c.ply"))["vertex"].data) == 0
    for name in ("b", "c", "distances"):
        image = imread(tmp_path / f"pictures/{name}.png")[..., :3]
        assert image.min() < 0.5 < image.max()


def shades(image: np.ndarray, color: tuple[float, ...]) -> int:
    return int((np.abs(image - np.array(color)).max(axis=-1) < 0.02).sum())


def test_near_and_far_points_differ_in_the_picture(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(0, 40, (500, 4)).astype(np.float32)
    far = points + np.array([0, 0, 30, 0], dtype=np.float32)
    pred, target = (
        save(tmp_path / "pred", a=points, b=far),
        save(tmp_path / "target", a=points, b=points),
    )
    frames = find(pred, target)
    asked = output(tmp_path, pictures=tmp_path / "pictures")
    asked.write(score_frames(frames, Workers()), frames)
    near_image, far_image = (imread(tmp_path / f"pictures/{name}.png")[..., :3] for name in "ab")
    violet, yellow = (68 / 255, 1 / 255, 84 / 255), (253 / 255, 231 / 255, 36 / 255)
    assert shades(near_image, violet) > 4 * shades(far_image, violet)
    assert shades(far_image, yellow) > 2 * shades(near_image, yellow)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resamples": 0}, "--resamples 0: must be 1 or more"),
        ({"worst": -1}, "--worst -1: must be 0 or more"),
        ({"csv": Path("none/frames.csv")}, r"--csv none/frames\.csv: no such folder: none"),
        ({"pictures": Path("none/pictures")}, "none/pictures: no such folder: none"),
    ],
)
def test_what_can_not_be_written_is_refused_at_once(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        output(tmp_path, **changes).check()


def test_taken_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--out .*missing/metrics\.json: no such folder"):
        output(tmp_path / "missing").check()
    with pytest.raises(InputError, match="is the file of --out"):
        output(tmp_path, csv=tmp_path / "metrics.json").check()
    (tmp_path / "metrics.json").mkdir()
    with pytest.raises(InputError, match=r"metrics\.json: is a folder, a file expected"):
        output(tmp_path).check()
    taken = save(tmp_path / "pictures", a=cloud())
    (tmp_path / "metrics.json").rmdir()
    with pytest.raises(InputError, match="pictures: exists with other contents"):
        output(tmp_path, pictures=taken).check()
    (taken / "a.npy").unlink()
    output(tmp_path, pictures=taken).check()


def test_pictures_that_fail_leave_nothing(tmp_path: Path) -> None:
    frames = folders(tmp_path)
    scores = score_frames(frames, Workers())
    (tmp_path / "pred/b.npy").unlink()
    with pytest.raises(InputError, match=r"b\.npy: no such file"):
        output(tmp_path, pictures=tmp_path / "pictures").write(scores, frames)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pred", "target"]
