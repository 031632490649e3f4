"""Folders of consecutive radar scans, dealt to clips by their names."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from numpy import float32
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.files import count_of
from radarsparse.formats.clouds import list_clouds, read_radar, unique_names
from radarsparse.formats.columns import Fields

CLIP_SCANS_LEAST = 3
POSES_FILE = "poses.npz"

_NUMBERED = re.compile(r"(.*?)(\d+)(\D*)")


@dataclass(frozen=True)
class Clip:
    """Scans that follow each other without a gap.

    Attributes:
        name: prefix, first and last number, such as `drive_002-020`.
        scans: names, in the order of time.
    """

    name: str
    scans: tuple[str, ...]


@dataclass(frozen=True)
class ScanFolder:
    """Radar scans of a folder.

    Attributes:
        files: of the scans, by name.
        clips: of `CLIP_SCANS_LEAST` scans or more.
        left_out: clips that are shorter.
        fields: what the columns of the scans are.
    """

    files: Mapping[str, Path]
    clips: tuple[Clip, ...]
    left_out: tuple[Clip, ...]
    fields: Fields

    @staticmethod
    def find(folder: Path, fields: Fields) -> "ScanFolder":
        """List the scans without opening them.

        Raises:
            InputError: the folder is missing or holds no scan, two scans share a name or a number,
                a name has no number, or no clip is long enough.
        """
        paths = [path for path in list_clouds(folder) if path.name != POSES_FILE]
        files = unique_names(paths)
        clips = split_clips(files, f"{folder}")
        long = tuple(clip for clip in clips if len(clip.scans) >= CLIP_SCANS_LEAST)
        if not long:
            raise InputError(
                f"{folder}: {count_of(len(files), 'scan')} in {count_of(len(clips), 'clip')}, none"
                f" of {CLIP_SCANS_LEAST} or more scans whose numbers follow each other"
            )
        short = tuple(clip for clip in clips if clip not in long)
        return ScanFolder(files, long, short, fields)

    @property
    def names(self) -> list[str]:
        """Of the scans of all clips that are long enough, in their order."""
        return [name for clip in self.clips for name in clip.scans]

    def read(self, name: str) -> NDArray[float32]:
        """The radar points of a scan, [n, 5], radar frame.

        Raises:
            InputError: the file can't be read or holds no usable point.
        """
        return read_radar(self.files[name], self.fields)


def split_clips(names: Iterable[str], source: str) -> list[Clip]:
    """Deal scans to clips: a gap in the last number of their names, or another prefix, ends one.

    Args:
        names: in any order.
        source: what to call the scans' folder in errors.

    Raises:
        InputError: a name has no number, or two scans of a prefix share one.
    """
    clips: list[list[str]] = []
    before = None
    for prefix, number, suffix, name in sorted(_take_apart(name, source) for name in names):
        if before == (prefix, number, suffix):
            raise InputError(f"{source}: scans {clips[-1][-1]} and {name} have the same number")
        if before == (prefix, number - 1, suffix):
            clips[-1].append(name)
        else:
            clips.append([name])
        before = prefix, number, suffix
    return [Clip(_name_clip(scans), tuple(scans)) for scans in clips]


def _take_apart(name: str, source: str) -> tuple[str, int, str, str]:
    found = _NUMBERED.fullmatch(name)
    if not found:
        raise InputError(f"{source}: scan {name} has no number in its name, which tells its time")
    return found[1], int(found[2]), found[3], name


def _name_clip(scans: list[str]) -> str:
    last = _NUMBERED.fullmatch(scans[-1])
    return scans[0] if len(scans) == 1 or not last else f"{scans[0]}-{last[2]}"
