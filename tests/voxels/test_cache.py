import math
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from radarsparse.config import AugmentSettings
from radarsparse.errors import InputError
from radarsparse.formats.prepared import PreparedFrames, read_frame, write_frame, write_split
from radarsparse.geometry import Volume, pose
from radarsparse.scan import ScanPair
from radarsparse.voxels import cache
from radarsparse.voxels.augment import augment
from radarsparse.voxels.batch import Batch, make_batch, voxelize_frame
from radarsparse.voxels.cache import VOXELS_VERSION, VoxelCache
from radarsparse.voxels.scene import BEAM_FEATURES, POSITION_FEATURES
from tests.conftest import TINY_VOLUME, tiny_pair
from tests.processes import small_disk

BOX = (tuple(TINY_VOLUME["minimum_m"]), tuple(TINY_VOLUME["maximum_m"]))
VOLUME = Volume(*BOX, 0.2, math.radians(60))
BEAM_COLUMNS = slice(POSITION_FEATURES, POSITION_FEATURES + BEAM_FEATURES)
COARSE = Volume(*BOX, 0.4, math.radians(60))


def entries(folder: Path) -> dict[str, int]:
    """Names of what a folder holds; a file that is written anew gets another number."""
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def assert_equal(one: Batch, other: Batch) -> None:
    for name in ("radar", "lidar", "cells"):
        x, y = getattr(one, name), getattr(other, name)
        assert torch.equal(x.coords, y.coords)
        assert torch.equal(x.feats, y.feats)
        assert x.feats.dtype == y.feats.dtype
        assert (x.support.stride, x.batch_size) == (y.support.stride, y.batch_size)
    for name in ("rings_rad", "T_lidar_voxels"):
        assert torch.equal(getattr(one.beams, name), getattr(other.beams, name))
    assert torch.equal(one.observed, other.observed)
    assert one.volume == other.volume


@pytest.fixture
def kept(frames: Path, tmp_path: Path) -> VoxelCache:
    return VoxelCache(tmp_path / "voxels", PreparedFrames.open_all(frames))


@pytest.mark.parametrize("volume", [VOLUME, COARSE])
def test_a_batch_from_the_cache_is_the_one_that_is_made_anew(kept: VoxelCache, volume: Volume):
    numbers = [5, 0, 3]
    anew = make_batch([kept.frames[number] for number in numbers], volume)
    assert_equal(kept.make_batch(numbers, volume), anew)
    before = entries(kept.folder)
    assert len(before) == 3
    again = kept.make_batch(numbers, volume)
    assert_equal(again, anew)
    assert entries(kept.folder) == before
    assert [pair.name for pair in again.pairs] == ["000005", "000000", "000003"]
    assert_equal(make_batch(again.pairs, volume), anew)


def test_beams_from_the_cache_are_those_of_each_frame_however_it_was_moved(tmp_path: Path):
    settings = AugmentSettings(mirror=1.0, yaw_max_deg=30.0, shift_std_m=0.3, quarter_turn=0.0)
    mount = pose(np.radians((20.0, -4.0, 3.0)), (-0.2, 0.1, 0.4))
    for index in range(3):
        pair = replace(tiny_pair(index), T_radar_lidar=mount)
        moved = augment(pair, settings, VOLUME, np.random.default_rng(index))
        assert not np.array_equal(moved.T_radar_lidar, mount)
        # A mirrored transform lies in memory column by column.
        write_frame(tmp_path, replace(moved, T_radar_lidar=np.asfortranarray(moved.T_radar_lidar)))
    kept = VoxelCache(tmp_path / "voxels", PreparedFrames.open_all(tmp_path))
    for rings_deg in ((), (-9.0, -3.0, 1.0)):
        anew = make_batch([kept.frames[number] for number in (2, 0, 1)], VOLUME, rings_deg)
        for _ in range(2):
            found = kept.make_batch([2, 0, 1], VOLUME, rings_deg)
            assert_equal(found, anew)
        assert bool(found.cells.feats[:, BEAM_COLUMNS].any()) == bool(rings_deg)
    assert len(entries(kept.folder)) == 3


def write(root: Path, shift_m: float) -> PreparedFrames:
    """One frame, not compressed, so that its size says nothing of its points."""
    pair = tiny_pair(0)
    (root / "frames").mkdir(parents=True, exist_ok=True)
    radar = pair.radar + np.array([shift_m, 0, 0, 0, 0], np.float32)
    path = root / "frames" / "000000.npz"
    np.savez(path, radar=radar, lidar=pair.lidar, T_radar_lidar=pair.T_radar_lidar)
    os.utime(path, (1e9, 1e9))
    write_split(root, {"train": [[0, 0]]})
    return PreparedFrames.open(root, "train")


def test_a_replaced_frame_of_the_same_size_and_age_is_never_served_stale(tmp_path: Path):
    kept = VoxelCache(tmp_path / "voxels", write(tmp_path, 0.0))
    first, status = kept.make_batch([0], VOLUME), os.stat(tmp_path / "frames" / "000000.npz")
    write(tmp_path, 0.7)
    replaced = os.stat(tmp_path / "frames" / "000000.npz")
    assert (replaced.st_size, replaced.st_mtime) == (status.st_size, status.st_mtime)
    second = kept.make_batch([0], VOLUME)
    assert not torch.equal(first.radar.coords, second.radar.coords)
    assert_equal(second, make_batch([kept.frames[0]], VOLUME))
    assert len(entries(kept.folder)) == 2


def test_equal_frames_share_an_entry_whatever_they_are_called(tmp_path: Path):
    for index in (0, 1):
        write_frame(tmp_path, replace(tiny_pair(0), name=f"{index:06d}"))
    kept = VoxelCache(tmp_path / "voxels", PreparedFrames.open_all(tmp_path))
    kept.make_batch([0, 1], VOLUME)
    assert len(entries(kept.folder)) == 1


@pytest.mark.parametrize(
    "other",
    [
        Volume(*BOX, 0.2, math.radians(50)),
        Volume(*BOX, 0.1, math.radians(60)),
        Volume((0.0, -6.4, -1.6), (12.8, 6.4, 3.2), 0.2, math.radians(60)),
    ],
)
def test_every_side_of_a_volume_counts(kept: VoxelCache, other: Volume):
    kept.make_batch([0], VOLUME)
    assert_equal(kept.make_batch([0], other), make_batch([kept.frames[0]], other))
    assert len(entries(kept.folder)) == 2


def test_another_version_makes_entries_anew(kept: VoxelCache, monkeypatch: pytest.MonkeyPatch):
    kept.make_batch([0], VOLUME)
    before = entries(kept.folder)
    monkeypatch.setattr(cache, "VOXELS_VERSION", VOXELS_VERSION + 1)
    kept.make_batch([0], VOLUME)
    assert len(entries(kept.folder)) == 2
    assert before.items() <= entries(kept.folder).items()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _swap(path: Path) -> None:
    other = next(entry for entry in path.parent.iterdir() if entry != path)
    path.write_bytes(other.read_bytes())


@pytest.mark.parametrize("damage", [_cut, _empty, _flip, _swap])
def test_a_damaged_entry_is_found_and_made_anew(
    damage, kept: VoxelCache, caplog: pytest.LogCaptureFixture
):
    anew = kept.make_batch([0], VOLUME)
    (name,) = entries(kept.folder)
    kept.make_batch([1], VOLUME)
    path = kept.folder / name
    sound = path.read_bytes()
    damage(path)
    assert_equal(kept.make_batch([0], VOLUME), anew)
    assert path.read_bytes() == sound
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: is damaged and made anew"
    ]


def test_a_full_disk_is_told_with_the_folder_and_leaves_no_half_of_an_entry(kept: VoxelCache):
    kept.folder.mkdir()
    message = r"voxels: can't be written \(.+needs \d+ kB"
    with small_disk(1000), pytest.raises(InputError, match=message):
        kept.make_batch([0], VOLUME)
    assert entries(kept.folder) == {}


def test_a_folder_that_is_none_is_told(kept: VoxelCache):
    kept.folder.write_text("")
    with pytest.raises(InputError, match=r"data\.cache: .+voxels.+ \(Not a directory\)"):
        kept.make_batch([0], VOLUME)


def test_a_frame_that_is_gone_or_can_not_be_used_is_named(tmp_path: Path):
    kept = VoxelCache(tmp_path / "voxels", write(tmp_path, 50.0))
    with pytest.raises(InputError, match="frame 000000: radar: none of 40 points lies in the box"):
        kept.make_batch([0], VOLUME)
    (tmp_path / "frames" / "000000.npz").unlink()
    with pytest.raises(InputError, match=r"000000.npz: can't be read \(No such file"):
        kept.make_batch([0], VOLUME)
    assert not kept.folder.exists()


def _checksum(values: np.ndarray) -> int:
    # Other processors round the last digits otherwise.
    return zlib.crc32(np.rint(values * 1000.0).astype(np.int32).tobytes())


def test_voxels_of_version_5_stay_as_they_are(tmp_path: Path):
    """Whoever changes the numbers raises the version: what users keep would be stale."""
    assert VOXELS_VERSION == 5
    number = np.arange(600)
    xyz = np.c_[0.5 + number * 37 % 115 / 10, number * 53 % 121 / 10 - 6, number * 29 % 31 / 10 - 1]
    columns = number * 41 % 201 / 10 - 10, number * 17 % 256
    lidar = np.c_[xyz + 0.03, columns[1]]
    radar = np.c_[xyz[::7] + 0.01, columns[0][::7], 40.0 + columns[1][::7] / 6]
    pose = np.array([[1.0, 0, 0, -0.12], [0, 0.8, -0.6, 0.05], [0, 0.6, 0.8, 0.1], [0, 0, 0, 1]])
    write_frame(tmp_path, ScanPair("000000", radar, lidar, pose))
    voxels = voxelize_frame(read_frame(tmp_path / "frames" / "000000.npz"), VOLUME)
    found = {
        "radar": (_checksum(voxels.radar.index), _checksum(voxels.radar.feats)),
        "lidar": (_checksum(voxels.lidar.index), _checksum(voxels.lidar.feats)),
        "cells": (_checksum(voxels.observed), _checksum(voxels.footprint)),
    }
    assert 0.1 < voxels.observed.mean() < 0.9
    assert found == {
        "radar": (2530781007, 2448038175),
        "lidar": (3622336055, 82212923),
        "cells": (132053213, 3977195866),
    }
