"""Boxes along the axes, and the rule that both sides of a comparison fill the same one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.evaluation.workers import Workers

Cloud = NDArray[np.floating]
ReadSides = Callable[[str], Mapping[str, Cloud]]
TARGET = "target"

# Sides count as cropped alike if hardly a point of one lies well outside the other's box.
OUTSIDE_M = 5.0
OUTSIDE_SHARE_MAX = 0.05


class CropBox(NamedTuple):
    """A box that clouds are cropped to, or that they fill.

    Attributes:
        minimum_m: [3] x, y, z of the corner that lies inside.
        maximum_m: [3] x, y, z of the corner that lies outside.
    """

    minimum_m: Cloud
    maximum_m: Cloud

    @staticmethod
    def parse(text: str) -> "CropBox":
        """Read `x0,y0,z0,x1,y1,z1`.

        Raises:
            InputError: these aren't six finite numbers, or a lower one isn't below its upper one.
        """
        try:
            box = CropBox(*np.array(text.split(","), dtype=np.float64).reshape(2, 3))
        except ValueError:
            raise InputError(
                f"--crop {text}: six numbers x0,y0,z0,x1,y1,z1 in metres expected"
            ) from None
        if not np.isfinite(box).all():
            raise InputError(f"--crop {text}: must be finite")
        for axis, low, high in zip("xyz", *box, strict=True):
            if low >= high:
                raise InputError(f"--crop {text}: {axis}0 {low:g} must be below {axis}1 {high:g}")
        return box

    @staticmethod
    def around(points: Cloud) -> "CropBox | None":
        """The box that finite points span; None where there is no such point."""
        xyz = points[np.isfinite(points[:, :3]).all(axis=1), :3].astype(np.float64)
        return CropBox(xyz.min(axis=0), xyz.max(axis=0)) if len(xyz) else None

    @staticmethod
    def joined(boxes: Iterable["CropBox | None"]) -> "CropBox | None":
        """The smallest box that covers all that are there; None where none is."""
        corners = [corner for box in boxes if box for corner in box]
        return CropBox.around(np.array(corners).reshape(-1, 3))

    @property
    def diagonal_m(self) -> float:
        """Distance between its corners."""
        return float(np.linalg.norm(self.maximum_m - self.minimum_m))

    def contains(self, points: Cloud) -> NDArray[np.bool_]:
        """Which of [n, 3 or more] points lie inside."""
        xyz = points[:, :3].astype(np.float64)
        return np.all((xyz >= self.minimum_m) & (xyz < self.maximum_m), axis=1)

    def __str__(self) -> str:
        return " .. ".join("({:.1f}, {:.1f}, {:.1f})".format(*corner) for corner in self) + " m"


Extents = Mapping[str, tuple[CropBox | None, int]]
"""Of each side of one frame: the box around its points, and how many they are."""


def check_crops(names: Sequence[str], read: ReadSides, workers: Workers) -> CropBox | None:
    """Make sure that every side was cropped like the target, all frames taken together.

    Args:
        names: of the frames, at least one.
        read: gives the clouds of a frame by side; one of them is `TARGET`.
        workers: who reads.

    Returns:
        The box around all points of all sides; None where there is no point.

    Raises:
        InputError: more than `OUTSIDE_SHARE_MAX` of one side's points lie more than `OUTSIDE_M`
            outside the box that the other side's points span.
    """

    def measure(name: str) -> Extents:
        return {side: (CropBox.around(cloud), len(cloud)) for side, cloud in read(name).items()}

    found = dict(zip(names, workers.map(measure, names, "extents"), strict=True))
    for side in [side for side in found[names[0]] if side != TARGET]:
        _check_fits(side, TARGET, found, read, workers)
        _check_fits(TARGET, side, found, read, workers)
    return CropBox.joined(box for extents in found.values() for box, _ in extents.values())


def _check_fits(
    side: str, other: str, found: Mapping[str, Extents], read: ReadSides, workers: Workers
) -> None:
    own, others = ([extents[key] for extents in found.values()] for key in (side, other))
    box, other_box = (CropBox.joined(each for each, _ in boxes) for boxes in (own, others))
    if not (box and other_box):
        return
    wide = CropBox(other_box.minimum_m - OUTSIDE_M, other_box.maximum_m + OUTSIDE_M)

    def count(name: str) -> int:
        points = read(name)[side]
        finite = np.isfinite(points).all(axis=1)
        return int((finite & ~wide.contains(points)).sum())

    # Only the frames that stick out are read again.
    out = [
        name
        for name, (box_of, _) in zip(found, own, strict=True)
        if box_of and not wide.contains(np.array(box_of)).all()
    ]
    outside = sum(workers.map(count, out, f"crop of {side}")) if out else 0
    share = outside / sum(points for _, points in own)
    if share > OUTSIDE_SHARE_MAX:
        raise InputError(
            f"{side} and {other} were cropped differently: {share:.0%} of the points of {side} lie"
            f" more than {OUTSIDE_M:g} m outside the box of {other}, at most"
            f" {OUTSIDE_SHARE_MAX:.0%} may; {side} spans {box}, {other} {other_box}; give"
            " --crop x0,y0,z0,x1,y1,z1 to score both in one box"
        )
