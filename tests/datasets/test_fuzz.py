"""Thousands of damaged files for every reader: frames, unusable frames or an `InputError`.

`RADARSPARSE_MUTATIONS=10000 pytest tests/datasets/test_fuzz.py` damages as many.
"""

import io
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from radarsparse.datasets.astyx import open_astyx
from radarsparse.datasets.build import Source
from radarsparse.datasets.dual_radar import open_dual_radar_arbe, open_dual_radar_ars548
from radarsparse.datasets.folder import open_folder
from radarsparse.datasets.k_radar import open_k_radar
from radarsparse.datasets.msc_rad4r import open_msc_rad4r
from radarsparse.datasets.ntu4dradlm import open_ntu4dradlm
from radarsparse.datasets.snail_radar import open_snail_radar
from radarsparse.datasets.tj4dradset import read_tj4dradset_radar
from radarsparse.datasets.view_of_delft import open_view_of_delft
from radarsparse.errors import InputError
from radarsparse.formats.prepared import read_frame, write_frame
from radarsparse.scan import ScanPair
from tests.datasets import (
    test_astyx,
    test_dual_radar,
    test_folder,
    test_k_radar,
    test_msc_rad4r,
    test_snail_radar,
    test_tj4dradset,
    test_view_of_delft,
)
from tests.formats.bags import bag_files
from tests.formats.test_tables import check_frame, fuzz, mutate

MUTATIONS = int(os.environ.get("RADARSPARSE_MUTATIONS", "1000"))


class Case(NamedTuple):
    """Whole files of one data set, and a reader that fails on what may not come out of it."""

    files: Sequence[Path]
    read: Callable[[], object]


def make_case(root: Path, open_source: Callable[[Path], Source]) -> Case:
    """All files of a folder, to be opened and read from the start each time."""
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.stat().st_size)
    return Case(files, lambda: read_source(open_source(root)))


def read_source(source: Source) -> None:
    frames = list(source.read(source.names))
    assert [frame.name for frame in frames] == list(source.names)
    for frame in frames:
        if isinstance(frame, ScanPair):
            check_frame(frame)
        else:
            raise InputError(frame.reason)


def make_astyx(root: Path) -> Case:
    return make_case(test_astyx.write_native(root), open_astyx)


def make_ntu4dradlm(root: Path) -> Case:
    drive = bag_files.Drive(sweeps=4, radars=2)
    drive.write_one(root / "cp", drive.messages())
    (root / "calib").mkdir()
    (root / "calib/calib_radar_to_livox.txt").write_text("R: 1 0 0 0 1 0 0 0 1\nT: 0.3 -0.1 0\n")
    return make_case(root, open_ntu4dradlm)


def make_msc_rad4r(root: Path) -> Case:
    return make_case(test_msc_rad4r.write_native(root), open_msc_rad4r)


def make_view_of_delft(root: Path) -> Case:
    return make_case(test_view_of_delft.write_native(root), open_view_of_delft)


def make_k_radar(root: Path) -> Case:
    return make_case(test_k_radar.write_native(root), open_k_radar)


def make_dual_radar(root: Path) -> Case:
    test_dual_radar.write_native(root)
    (root / "ImageSets").mkdir()
    for number, name in enumerate(("train", "val", "test"), 12):
        (root / f"ImageSets/{name}.txt").write_text(f"{number:06d}\n")
    openers = open_dual_radar_arbe, open_dual_radar_ars548
    case = make_case(root, openers[0])
    return Case(case.files, lambda: [read_source(each(root)) for each in openers])


def make_snail_radar(root: Path) -> Case:
    test_snail_radar.write_native(root / "20240113/data5")
    return make_case(root, open_snail_radar)


def make_tj4dradset(root: Path) -> Case:
    path = test_tj4dradset.write_native(root) / "training/velodyne/070070.bin"

    def read() -> None:
        points = read_tj4dradset_radar(path)
        assert points.shape[1] == 5
        assert np.isfinite(points).all()

    return Case([path], read)


def make_folder(root: Path) -> Case:
    return make_case(
        test_folder.write_layout(test_folder.write_clouds(root, "000012")), open_folder
    )


def make_prepared(root: Path) -> Case:
    random = np.random.default_rng(0)
    radar, lidar = (random.uniform(0, 99, (7, columns)).astype("f4") for columns in (5, 4))
    write_frame(root, ScanPair("000012", radar, lidar, np.eye(4)))
    path = root / "frames/000012.npz"

    def read() -> None:
        frame = read_frame(path)
        for points, columns in ((frame.radar, 5), (frame.lidar, 4)):
            assert points.shape[1:] == (columns,)
            assert len(points) > 0
            assert np.isfinite(points).all()

    return Case([path], read)


CASES = {
    name.removeprefix("make_"): make
    for name, make in globals().items()
    if name.startswith("make_") and name != "make_case"
}


def damage(content: bytes, random: np.random.Generator) -> bytes:
    """Damage a file in one of the ways that its format makes worth while."""
    if content.startswith(b"#ROSBAG"):
        return bag_files.mutate(content, random)
    if content.startswith(b"PK") and random.random() < 0.5:
        return damage_array(content, random)
    if content.isascii() and random.random() < 0.5:
        return damage_word(content, random)
    return mutate(content, random)


def damage_word(content: bytes, random: np.random.Generator) -> bytes:
    """Put another word or number in the place of one."""
    words = (b"-1", b"nan", b"inf", b"1e300", b"9" * 400, b"1e-300", b"0", b"x", b"[]", b"")
    spans = [match.span() for match in re.finditer(rb"[\w.+-]+", content)]
    first, end = spans[random.integers(len(spans))]
    return content[:first] + words[random.integers(len(words))] + content[end:]


def damage_array(content: bytes, random: np.random.Generator) -> bytes:
    """Damage the numbers of one array of an archive and pack it anew: no checksum tells of it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chosen = sorted(members)[random.integers(len(members))]
    numbers_at = 10 + int.from_bytes(members[chosen][8:10], "little")
    header, numbers = members[chosen][:numbers_at], members[chosen][numbers_at:]
    with zipfile.ZipFile(packed := io.BytesIO(), "w") as archive:
        for name, member in (members | {chosen: header + mutate(numbers, random)}).items():
            archive.writestr(name, member)
    return packed.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_damaged_files_end_in_frames_or_input_errors(tmp_path: Path, name: str) -> None:
    files, read = CASES[name](tmp_path)
    read()
    seed = zlib.crc32(name.encode())
    read_well, refused = fuzz(files, read, MUTATIONS // len(CASES), seed, damage)
    print(f"{name}: {len(files)} files, read well {read_well}, refused {refused}")
    assert read_well > 0
    assert refused > 0
