from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData, PlyElement

from radarsparse.errors import InputError
from radarsparse.formats.clouds import write_cloud
from radarsparse.formats.prepared import read_frame, write_frame
from radarsparse.scan import ScanPair
from radarsparse.viewer.shown import ShownFrames

SHIFT = np.array([[1, 0, 0, 10], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=np.float64)


def write_cloud_at(folder: Path, name: str, points: list[list[float]]) -> None:
    folder.mkdir(exist_ok=True)
    write_cloud(folder / name, np.array(points, dtype=np.float32))


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Two frames: a radar point 3 m before the only LiDAR point, which lies at x = 11."""
    for name in ("000001", "000002"):
        radar = np.array([[8, 0, 1, -2, 50]], dtype=np.float32)
        lidar = np.array([[1, 0, 1, 200]], dtype=np.float32)
        write_frame(tmp_path / "prepared", ScanPair(name, radar, lidar, SHIFT))
    return tmp_path / "prepared"


def test_prepared_frames_give_radar_and_lidar_in_the_radar_frame(prepared: Path):
    frames = ShownFrames.find({"radar": prepared, "lidar": prepared})
    assert frames.names == ("000001", "000002")
    radar, lidar = frames.read("000002").layers
    np.testing.assert_allclose(lidar.points, [[11, 0, 1]])
    assert {name: values.tolist() for name, values in radar.values.items()} == {
        "height": [1.0],
        "doppler": [-2.0],
        "power": [50.0],
        "error": [3.0],
    }
    assert {name: values.tolist() for name, values in lidar.values.items()} == {
        "height": [1.0],
        "intensity": [200.0],
    }


def test_layers_are_ordered_and_only_frames_with_all_of_them_are_shown(
    prepared: Path, tmp_path: Path
):
    enhanced = tmp_path / "enhanced"
    write_cloud_at(enhanced, "000002.pcd", [[11, 0, 2, 7]])
    write_cloud_at(enhanced, "000009.pcd", [[11, 0, 2, 7]])
    frames = ShownFrames.find({"lidar": prepared, "enhanced": enhanced, "radar": prepared})
    assert frames.names == ("000002",)
    layers = frames.read("000002").layers
    assert [layer.name for layer in layers] == ["radar", "enhanced", "lidar"]
    assert layers[1].values["error"].tolist() == [1.0]
    assert layers[1].values["intensity"].tolist() == [7.0]


def write_ply(path: Path, probability: np.ndarray) -> None:
    names = ("x", "y", "z", "intensity", "probability")
    rows = np.zeros(len(probability), dtype=[(name, "f4") for name in names])
    rows["probability"] = probability
    rows["x"] = [1.0, np.nan, 2.0]
    PlyData([PlyElement.describe(rows, "vertex")]).write(str(path))


def write_npz(path: Path, probability: np.ndarray) -> None:
    points = np.zeros((3, 4), dtype=np.float32)
    points[:, 0] = [1.0, np.nan, 2.0]
    np.savez(path, points=points, probability=probability)


@pytest.mark.parametrize(("suffix", "write"), [("ply", write_ply), ("npz", write_npz)])
def test_the_probability_stays_with_its_point(tmp_path: Path, suffix: str, write):
    path = tmp_path / f"a.{suffix}"
    write(path, np.array([0.1, 0.5, 0.9], dtype=np.float32))
    frames = ShownFrames.find({"enhanced": path})
    (layer,) = frames.read("a").layers
    assert layer.points[:, 0].tolist() == [1.0, 2.0]
    np.testing.assert_allclose(layer.values["probability"], [0.1, 0.9])


def test_single_files_belong_together_whatever_their_names(prepared: Path, tmp_path: Path):
    write_cloud_at(tmp_path / "one", "mine.npz", [[1, 2, 3, 4]])
    files = {
        "enhanced": tmp_path / "one" / "mine.npz",
        "lidar": prepared / "frames" / "000001.npz",
    }
    frames = ShownFrames.find(files)
    assert frames.names == ("mine + 000001",)
    assert len(frames.read(frames.names[0]).layers) == 2


def test_frames_are_read_when_they_are_asked_for(prepared: Path):
    frames = ShownFrames.find({"radar": prepared})
    (prepared / "frames" / "000001.npz").write_bytes(b"broken")
    assert frames.only("000002").read("000002").name == "000002"
    assert frames.first(1).names == ("000001",)
    with pytest.raises(InputError, match=r"000001\.npz"):
        frames.read("000001")


def test_the_whole_frame_is_shown(prepared: Path):
    pair = read_frame(prepared / "frames" / "000001.npz")
    (layer,) = ShownFrames.find({"radar": prepared}).read("000001").layers
    np.testing.assert_array_equal(layer.points, pair.radar[:, :3])


def test_what_cannot_be_shown_is_refused(prepared: Path, tmp_path: Path):
    write_cloud_at(tmp_path / "other", "000009.ply", [[1, 2, 3, 4]])
    with pytest.raises(InputError, match="nothing to show"):
        ShownFrames.find({})
    with pytest.raises(InputError, match="share no file name"):
        ShownFrames.find({"radar": prepared, "enhanced": tmp_path / "other"})
    with pytest.raises(InputError, match="no such file or folder"):
        ShownFrames.find({"radar": tmp_path / "missing"})
    with pytest.raises(InputError, match="frame 7: not among the 2 frames 000001 to 000002"):
        ShownFrames.find({"radar": prepared}).only("7")


def test_an_empty_enhanced_cloud_is_a_result(prepared: Path, tmp_path: Path):
    (tmp_path / "enhanced").mkdir()
    np.savez(tmp_path / "enhanced" / "000001.npz", points=np.empty((0, 4), dtype=np.float32))
    frames = ShownFrames.find({"enhanced": tmp_path / "enhanced", "lidar": prepared})
    assert [len(layer.points) for layer in frames.read("000001").layers] == [0, 1]
