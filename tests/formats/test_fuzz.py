"""Damaged files for every reader of a format: points, or an `InputError` of one line.

`RADARSPARSE_MUTATIONS=10000 pytest tests/formats/test_fuzz.py` damages as many of each format.
"""

import io
import os
import re
import resource
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pypcd4.pypcd4 import Encoding

from radarsparse.errors import InputError
from radarsparse.formats.clouds import read_probable_rows, read_radar, write_cloud
from radarsparse.formats.columns import Fields
from radarsparse.formats.prepared import read_frame, write_frame
from radarsparse.scan import ScanPair
from tests.formats.test_tables import fuzz, mutate, write_pcd, write_ply

MUTATIONS = int(os.environ.get("RADARSPARSE_MUTATIONS", "150"))
SECONDS_MAX, GROWTH_MAX_KB = 10, 2**20
HEADER_BYTES = 400
WORDS = (
    *(b"0", b"-1", b"2", b"5", b"1000000000", b"4294967296", b"9" * 30, b"9" * 5000),
    *(b"nan", b"inf", b"1e300", b"x", b"_", b"[]", b"", b"\xff", b"ascii", b"list", b"double"),
)

RADAR = np.random.default_rng(0).normal((20, 0, 0, 0, 50), (9, 5, 1, 3, 9), (40, 5)).astype("f4")
NAMES = ("x", "y", "z", "doppler", "power")


def write_txt(path: Path) -> None:
    rows = "\n".join(" ".join(map(str, row)) for row in RADAR.tolist())
    path.write_text(f"X Y Z V_r Mag\n{rows}\n")


def write_npz(path: Path) -> None:
    write_cloud(path, RADAR[:, :4], np.linspace(0, 1, len(RADAR)))


def write_prepared(path: Path) -> None:
    write_frame(path.parent, ScanPair("a", RADAR, np.abs(RADAR[:, :4]), np.eye(4), 0.02))


def read_prepared(path: Path) -> None:
    frame = read_frame(path.parent / "frames/a.npz")
    for points, columns in ((frame.radar, 5), (frame.lidar, 4)):
        assert points.shape[1:] == (columns,)
        assert len(points) > 0
        assert np.isfinite(points).all()


def read_cloud(path: Path) -> None:
    points, probability = read_probable_rows(path)
    assert points.shape[1] in (3, 4)
    assert probability is None or probability.shape == (len(points),)


def read_points(path: Path) -> None:
    read_named(path, None)


def read_named(path: Path, fields: Fields | None = Fields.parse("x,y,z,v,snr")) -> None:  # noqa: B008
    radar = read_radar(path, fields)
    assert radar.shape[1] == 5
    assert len(radar) > 0
    assert np.isfinite(radar).all()
    assert np.abs(radar).max() <= 1000


CASES: dict[str, tuple[Callable[[Path], None], Callable[[Path], None]]] = {
    "ascii.pcd": (lambda p: write_pcd(p, RADAR, NAMES, Encoding.ASCII), read_points),
    "binary.pcd": (lambda p: write_pcd(p, RADAR, NAMES, Encoding.BINARY), read_points),
    "packed.pcd": (lambda p: write_pcd(p, RADAR, NAMES, Encoding.BINARY_COMPRESSED), read_points),
    "ascii.ply": (lambda p: write_ply(p, RADAR, NAMES, text=True), read_points),
    "binary.ply": (lambda p: write_ply(p, RADAR, NAMES), read_points),
    "cloud.ply": (write_npz, read_cloud),
    "array.npy": (lambda p: np.save(p, RADAR), read_points),
    "cloud.npy": (lambda p: np.save(p, RADAR[:, :3]), read_cloud),
    "cloud.npz": (write_npz, read_cloud),
    "frame.npz": (write_prepared, read_prepared),
    "rows.bin": (RADAR.tofile, read_points),
    "named.bin": (RADAR.tofile, read_named),
    "rows.txt": (write_txt, read_points),
}


def damage(content: bytes, random: np.random.Generator) -> bytes:
    """Damage a file as its format makes worth while: words of its header, members of an archive."""
    kind = random.random()
    if content.startswith(b"PK") and kind < 0.8:
        return damage_member(content, random)
    if kind < 0.5:
        return damage_word(content, random)
    return mutate(content, random)


def damage_word(content: bytes, random: np.random.Generator) -> bytes:
    """Put another word into the place of one of the header, or a line away or twice."""
    spans = [match.span() for match in re.finditer(rb"[\w.+-]+", content[:HEADER_BYTES])]
    lines = content.split(b"\n")
    if not spans or random.random() < 0.2:
        chosen = int(random.integers(min(len(lines), 12)))
        return b"\n".join(lines[:chosen] + lines[chosen + 1 :] + lines[chosen : chosen + 1])
    first, end = spans[random.integers(len(spans))]
    return content[:first] + WORDS[random.integers(len(WORDS))] + content[end:]


def damage_member(content: bytes, random: np.random.Generator) -> bytes:
    """Damage one array of an archive and pack it anew: no checksum tells of it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chosen = sorted(members)[random.integers(len(members))]
    change = damage_word if random.random() < 0.6 else mutate
    members[chosen] = change(members[chosen], random)
    with zipfile.ZipFile(packed := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return packed.getvalue()


def check_message(message: str, file: Path) -> None:
    assert str(file) in message
    assert "\n" not in message
    assert not re.search(r"pickle|numpy|Error\b|Traceback|object at 0x", message)


@pytest.mark.parametrize("name", CASES)
def test_damaged_files_end_in_points_or_one_line(tmp_path: Path, name: str) -> None:
    write, read = CASES[name]
    path = tmp_path / name
    write(path)
    (file,) = [each for each in tmp_path.rglob("*") if each.is_file()]
    slowest_s = 0.0

    def read_one() -> None:
        nonlocal slowest_s
        begin = time.perf_counter()
        try:
            read(path)
        except InputError as error:
            check_message(str(error), file)
            raise
        finally:
            slowest_s = max(slowest_s, time.perf_counter() - begin)

    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read_one()
    read_well, refused = fuzz([file], read_one, MUTATIONS, zlib.crc32(name.encode()), damage)
    growth_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    print(f"{name}: well {read_well}, refused {refused}, {slowest_s:.2f} s, {growth_kb} KB")
    assert read_well > 0
    assert refused > 0
    assert slowest_s < SECONDS_MAX
    assert growth_kb < GROWTH_MAX_KB
