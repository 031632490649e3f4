"""Agreement of clouds with neighbouring radar scans, a measure that needs no LiDAR."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.evaluation.crop import Cloud
from radarsparse.evaluation.ego_motion import StaticScan, chain_steps, find_static
from radarsparse.evaluation.frames import PREDICTION, RAW, crop
from radarsparse.evaluation.scans import Clip, ScanFolder
from radarsparse.evaluation.score import BANDS, Scores
from radarsparse.evaluation.workers import Workers
from radarsparse.geometry import Volume, transform_points
from radarsparse.metrics.consistency import consistency_scores

# Scans before and after the one that is asked about.
NEIGHBOURS = 5

CHANCE = "chance"
RAW_CHANCE = "raw_chance"
RANGE_EDGES_M = BANDS[0][2]

Steps = Sequence[NDArray[np.float64]]
Move = Callable[[Clip, Sequence[StaticScan]], Steps]
"""Gives [4, 4] to the frame of each scan of a clip but the last from that of the next."""


@dataclass(frozen=True)
class MovingClip:
    """The scans of a clip and how the radar moved.

    Attributes:
        clip: names of the scans.
        scans: in their order.
        T_first_scans: of each, [4, 4] to the frame of the clip's first scan.
    """

    clip: Clip
    scans: Sequence[StaticScan]
    T_first_scans: Steps

    def held_out(self, at: int, volume: Volume) -> NDArray[np.floating]:
        """Static points of the neighbours of a scan inside a volume, [m, 3], the scan's frame.

        Args:
            at: number of the scan in the clip; it is left out, and what repeats it.
            volume: in the scan's frame.
        """
        T_scan_first = np.linalg.inv(self.T_first_scans[at])
        near = range(max(0, at - NEIGHBOURS), min(len(self.scans), at + NEIGHBOURS + 1))
        moved = [
            transform_points(T_scan_first @ self.T_first_scans[i], self.scans[i].static_points)
            for i in near
            if i != at and not self.scans[i].repeats(self.scans[at])
        ]
        points_m = np.concatenate([np.zeros((0, 3)), *moved])
        return points_m[volume.contains(points_m)]


@dataclass(frozen=True)
class ScanScores:
    """What is kept of one scan.

    Attributes:
        name: of the scan.
        clip: whose it is.
        rows: scores by row of the table.
        bands: by row and range band.
    """

    name: str
    clip: str
    rows: Mapping[str, Scores]
    bands: Mapping[str, Mapping[str, Scores]]


def read_clips(folder: ScanFolder, move: Move, workers: Workers) -> list[MovingClip]:
    """Read all scans, fit their velocities and find how the radar moved.

    Raises:
        InputError: a scan can't be read or tells no velocity, or the motion isn't known.
    """

    def read(name: str) -> StaticScan:
        return find_static(name, folder.read(name))

    scans = dict(zip(folder.names, workers.map(read, folder.names, "read"), strict=True))

    def follow(clip: Clip) -> MovingClip:
        of_clip = [scans[name] for name in clip.scans]
        return MovingClip(clip, of_clip, chain_steps(move(clip, of_clip)))

    return workers.map(follow, folder.clips, "move")


def score_clips(
    clips: Sequence[MovingClip],
    make_cloud: Callable[[StaticScan], Cloud],
    volume: Volume,
    workers: Workers,
) -> list[ScanScores]:
    """Score every scan of all clips, raw and by its cloud, beside clouds of other places.

    Args:
        clips: at least one.
        make_cloud: gives the cloud that belongs to a scan, [n, 3 or 4], its frame.
        volume: all clouds are cropped to it.
        workers: share the work.

    Raises:
        InputError: a cloud can't be made, or a scan has no point in the volume.
    """
    scans = [scan for clip in clips for scan in clip.scans]
    raw = [crop(scan.radar, volume, f"scan {scan.name}")[:, :3] for scan in scans]
    made = workers.map(partial(_make_inside, make_cloud, volume), scans, "enhance")
    places = [(clip, at) for clip in clips for at in range(len(clip.scans))]
    others = other_places([len(clip.scans) for clip in clips])

    def score(number: int) -> ScanScores:
        other, (clip, at) = others[number], places[number]
        clouds = {
            **{RAW: raw[number], RAW_CHANCE: raw[other]},
            **{PREDICTION: made[number], CHANCE: made[other]},
        }
        return _score_scan(clip, at, clouds, volume)

    return workers.map(score, range(len(scans)), "score")


def other_places(lengths: Sequence[int]) -> list[int]:
    """For each scan of all clips, laid in a row, the number of one of another place.

    It is the scan as far into the next clip, after the last the first; of a single clip, the one
    half the clip away.

    Args:
        lengths: of the clips, in scans.
    """
    if len(lengths) == 1:
        count = lengths[0]
        return [(at + count // 2) % count for at in range(count)]
    starts = np.concatenate([[0], np.cumsum(lengths)]).tolist()
    numbers = []
    for clip, count in enumerate(lengths):
        other = (clip + 1) % len(lengths)
        numbers += [starts[other] + at * lengths[other] // count for at in range(count)]
    return numbers


def _make_inside(
    make_cloud: Callable[[StaticScan], Cloud], volume: Volume, scan: StaticScan
) -> Cloud:
    cloud = make_cloud(scan)[:, :3]
    # What isn't finite lies nowhere; it stays, to be counted.
    finite = np.isfinite(cloud).all(axis=1)
    inside = volume.contains(np.where(finite.reshape(-1, 1), cloud, 0.0))
    return cloud[inside | ~finite]


def _score_scan(
    clip: MovingClip, at: int, clouds: Mapping[str, Cloud], volume: Volume
) -> ScanScores:
    name, held_out = clip.scans[at].name, clip.held_out(at, volume)
    try:
        found = {
            row: consistency_scores(cloud, held_out, RANGE_EDGES_M) for row, cloud in clouds.items()
        }
    except InputError as error:
        raise InputError(f"scan {name}: {error}") from error
    rows = {row: whole for row, (whole, _) in found.items()}
    bands = {row: by_band for row, (_, by_band) in found.items()}
    return ScanScores(name, clip.clip.name, rows, bands)
