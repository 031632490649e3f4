from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from radarsparse.errors import InputError
from radarsparse.evaluation.crop import CropBox
from radarsparse.evaluation.folders import FolderFrames, parse_compared
from radarsparse.evaluation.frames import PREDICTION, RAW
from radarsparse.evaluation.workers import Workers
from radarsparse.formats.clouds import unique_names, write_cloud
from radarsparse.formats.prepared import is_prepared, write_frame
from tests.conftest import tiny_pair
from tests.evaluation.clouds import PRED, TARGET, VOLUME, cloud, find, save

EMPTY = cloud()


def test_clouds_of_a_frame_belong_together_by_name(tmp_path: Path) -> None:
    pred, target = tmp_path / "pred", save(tmp_path / "target", **TARGET, c=EMPTY)
    save(pred, a=PRED["a"])
    write_cloud(pred / "b.pcd", PRED["b"])
    other = save(tmp_path / "other", **TARGET)
    raw = save(tmp_path / "raw", a=np.ones((3, 5)), b=np.ones((2, 5)))
    frames = find(pred, target, raw, {"other": other})
    assert list(frames.names) == ["a", "b"]
    assert frames.check(Workers()).region == {"unmatched_targets": 1}
    frame = frames.read("b")
    np.testing.assert_array_equal(frame.target, TARGET["b"])
    np.testing.assert_array_equal(frame.clouds["pred"], PRED["b"])
    np.testing.assert_array_equal(frame.clouds["other"], TARGET["b"])
    np.testing.assert_array_equal(frame.clouds["raw"], np.ones((2, 3)))


def test_empty_clouds_are_read_on_both_sides(tmp_path: Path) -> None:
    pred, target = tmp_path / "pred", tmp_path / "target"
    for folder in (pred, target):
        folder.mkdir()
        for suffix in ("ply", "pcd", "npz"):
            write_cloud(folder / f"{suffix}.{suffix}", EMPTY)
        save(folder, npy=EMPTY)
    frames = find(pred, target).check(Workers())
    assert frames.diagonal_m is None
    for name in frames.names:
        frame = frames.read(name)
        assert len(frame.clouds["pred"]) == len(frame.target) == 0


def test_clouds_are_read_as_they_are(tmp_path: Path) -> None:
    points = np.concatenate([PRED["a"], np.full((1, 4), np.nan, dtype=np.float32)])
    pred = tmp_path / "pred"
    pred.mkdir()
    points.tofile(pred / "a.bin")
    target = save(tmp_path / "target", a=TARGET["a"][:, :3])
    frame = find(pred, target).check(Workers()).read("a")
    np.testing.assert_array_equal(frame.clouds["pred"], points)
    assert frame.target.shape == (1, 3), "no intensity, rather than 0"


def test_a_crop_keeps_what_is_not_finite_to_be_counted(tmp_path: Path) -> None:
    points = cloud((1, 0, 0), (9, 0, 0), (np.nan, 0, 0), (1, 0, np.inf))
    pred, target = save(tmp_path / "pred", a=points), save(tmp_path / "target", a=points)
    box = CropBox.parse("0,-5,-5,2,5,5")
    frame = FolderFrames.find({PREDICTION: pred}, target, box, VOLUME).read("a")
    np.testing.assert_array_equal(frame.clouds["pred"], points[[0, 2, 3]])


def test_the_diagonal_is_that_of_the_box_around_all_clouds(tmp_path: Path) -> None:
    pred = save(tmp_path / "pred", a=cloud((1, 2, 0)), b=cloud((4, 2, 0)))
    target = save(tmp_path / "target", a=cloud((1, 6, 0)), b=EMPTY)
    assert find(pred, target).check(Workers()).diagonal_m == 5.0


def test_a_box_crops_every_cloud(tmp_path: Path) -> None:
    inside, outside = (1.0, 0.0, 0.0), (2.0, 0.0, 0.0)
    pred = save(tmp_path / "pred", a=cloud(inside, outside, outside))
    raw = save(tmp_path / "raw", a=np.array([[*outside, 0, 0], [*inside, 0, 0]]))
    pair = tiny_pair(0)
    write_frame(tmp_path / "target", pair)
    (tmp_path / "target/frames/000000.npz").rename(tmp_path / "target/frames/a.npz")
    box = CropBox.parse("0,-5,-5,2,5,5")
    folders = {PREDICTION: pred, RAW: raw}
    frames = FolderFrames.find(folders, tmp_path / "target", box, VOLUME).check(Workers())
    assert frames.diagonal_m == box.diagonal_m
    assert frames.region["crop"] == {"minimum_m": [0, -5, -5], "maximum_m": [2, 5, 5]}
    frame = frames.read("a")
    np.testing.assert_array_equal(frame.clouds["pred"], cloud(inside))
    np.testing.assert_array_equal(frame.clouds["raw"], cloud(inside)[:, :3])
    expected = pair.lidar[(pair.lidar[:, 0] < 2) & (np.abs(pair.lidar[:, 1]) < 5)]
    np.testing.assert_array_equal(frame.target, expected)
    assert 0 < len(expected) < len(pair.lidar)


def test_prepared_frames_are_cropped_to_the_volume(tmp_path: Path) -> None:
    pair = tiny_pair(0)
    write_frame(tmp_path / "data", pair)
    pred = save(tmp_path / "pred", **{pair.name: pair.lidar})
    frames = find(pred, tmp_path / "data", tmp_path / "data").check(Workers())
    assert frames.diagonal_m == VOLUME.diagonal_m
    assert frames.region["volume"]["maximum_m"] == VOLUME.maximum_m
    frame = frames.read(pair.name)
    np.testing.assert_array_equal(frame.target, pair.lidar[VOLUME.contains(pair.lidar)])
    np.testing.assert_array_equal(frame.clouds["raw"], pair.radar[VOLUME.contains(pair.radar), :3])
    assert frame.pair is not None
    assert len(frame.pair.lidar) == len(pair.lidar)


def wide_and_narrow(tmp_path: Path) -> tuple[Path, Path]:
    wide = np.random.default_rng(0).uniform(-60, 60, (200, 4)).astype(np.float32)
    wide[:, 3] = 1.0
    narrow = wide[np.abs(wide[:, :3]).max(axis=1) < 40]
    return save(tmp_path / "wide", a=wide), save(tmp_path / "narrow", a=narrow)


def test_other_crops_are_refused_on_each_side(tmp_path: Path) -> None:
    wide, narrow = wide_and_narrow(tmp_path)
    with pytest.raises(InputError, match="points of pred lie more than 5 m outside the box of tar"):
        find(wide, narrow).check(Workers())
    with pytest.raises(InputError, match="points of target lie more than 5 m outside the box of p"):
        find(narrow, wide).check(Workers())
    with pytest.raises(InputError, match="points of new lie more than 5 m outside"):
        find(narrow, narrow, None, {"new": wide}).check(Workers())


def test_raw_radar_may_have_another_crop(tmp_path: Path) -> None:
    _, narrow = wide_and_narrow(tmp_path)
    raw = save(tmp_path / "raw", a=np.full((10, 5), 200.0))
    assert find(narrow, narrow, raw).check(Workers()).read("a").clouds["raw"].shape == (10, 3)


@pytest.mark.parametrize("lacking", ["target", "raw", "other"])
def test_a_missing_partner_is_named(tmp_path: Path, lacking: str) -> None:
    pred = save(tmp_path / "pred", **PRED)
    folders = {name: save(tmp_path / name, **TARGET) for name in ("target", "raw", "other")}
    (folders[lacking] / "b.npy").unlink()
    with pytest.raises(InputError, match=rf"pred/b\.npy: has no partner named b in .*{lacking}"):
        find(pred, folders["target"], folders["raw"], {"other": folders["other"]})


def test_what_is_compared_has_the_same_frames(tmp_path: Path) -> None:
    pred = save(tmp_path / "pred", a=PRED["a"])
    target, other = save(tmp_path / "target", **TARGET), save(tmp_path / "other", **PRED)
    with pytest.raises(InputError, match=r"other/b\.npy: has no partner named b in .*pred"):
        find(pred, target, None, {"other": other})


def test_a_doubled_name_is_refused(tmp_path: Path) -> None:
    pred, target = save(tmp_path / "pred", **PRED), save(tmp_path / "target", **TARGET)
    write_cloud(target / "a.ply", EMPTY)
    with pytest.raises(InputError, match=r"target/a\.ply: shares its name with a\.npy"):
        find(pred, target)
    with pytest.raises(InputError, match="shares its name"):
        unique_names([Path("x/a.ply"), Path("y/a.ply")])


@pytest.mark.parametrize("suffix", ["npy", "npz", "ply", "pcd"])
@pytest.mark.parametrize("broken", ["pred", "target"])
def test_an_unreadable_file_is_named(tmp_path: Path, suffix: str, broken: str) -> None:
    folders = {name: save(tmp_path / name, **PRED) for name in ("pred", "target")}
    (folders[broken] / "b.npy").unlink()
    (folders[broken] / f"b.{suffix}").write_bytes(b"nothing of use")
    with pytest.raises(InputError, match=rf"{broken}/b\.{suffix}: "):
        find(folders["pred"], folders["target"]).check(Workers())


def test_missing_columns_are_named(tmp_path: Path) -> None:
    pred, target = save(tmp_path / "pred", **PRED), save(tmp_path / "target", **TARGET)
    (pred / "b.npy").unlink()
    rows = np.zeros(3, dtype=[("x", "f4"), ("y", "f4")])
    PlyData([PlyElement.describe(rows, "vertex")]).write(str(pred / "b.ply"))
    with pytest.raises(InputError, match=r"pred/b\.ply: has no column z"):
        find(pred, target).check(Workers())


def test_only_archives_with_a_sweep_are_prepared_frames(tmp_path: Path) -> None:
    write_frame(tmp_path, tiny_pair(0))
    assert is_prepared(tmp_path / "frames/000000.npz")
    write_cloud(tmp_path / "cloud.npz", EMPTY)
    np.save(tmp_path / "array.npy", EMPTY)
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 no archive")
    (tmp_path / "none.npz").write_bytes(b"")
    for name in ("cloud", "array", "broken", "none", "missing"):
        assert not is_prepared(tmp_path / f"{name}.npz")


def test_rows_to_compare_have_a_name_and_a_folder() -> None:
    words = ["new=runs/new", "old=a=b"]
    assert parse_compared(words) == {"new": Path("runs/new"), "old": Path("a=b")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["new"], "--compare new: NAME=DIR expected"),
        (["=x"], "--compare =x: NAME=DIR expected"),
        (["new="], "--compare new=: NAME=DIR expected"),
        (["new=x", "new=y"], "--compare new=y: the name new is taken"),
        (["pred=x"], "--compare pred=x: the name pred is taken"),
        (["bands=x"], "--compare bands=x: the name bands is taken"),
    ],
)
def test_rows_without_a_name_of_their_own_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_compared(words)
