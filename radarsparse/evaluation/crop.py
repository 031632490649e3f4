"""Boxes along the axes, and the rule that both sides of a comparison fill the same one."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radarsparse.errors import InputError
from radarsparse.evaluation.workers import Workers

Cloud = NDArray[np.floating]
Vector3 = tuple[float, float, float]

# Sides count as cropped alike if hardly a point of one lies well outside the other's box.
OUTSIDE_M = 5.0
OUTSIDE_SHARE_MAX = 0.05


@dataclass(frozen=True)
class CropBox:
    """What lies between two corners, in metres: the lower one counts, the upper one doesn't."""

    minimum_m: Vector3
    maximum_m: Vector3

    @staticmethod
    def parse(text: str) -> "CropBox":
        """Read `x0,y0,z0,x1,y1,z1`.

        Raises:
            InputError: these aren't six finite numbers, or a lower one isn't below its upper one.
        """
        try:
            x0, y0, z0, x1, y1, z1 = values = [float(word) for word in text.split(",")]
        except ValueError:
            raise InputError(
                f"--crop {text}: six numbers x0,y0,z0,x1,y1,z1 in metres expected"
            ) from None
        if not np.isfinite(values).all():
            raise InputError(f"--crop {text}: must be finite")
        for axis, low, high in (("x", x0, x1), ("y", y0, y1), ("z", z0, z1)):
            if low >= high:
                raise InputError(f"--crop {text}: {axis}0 {low:g} must be below {axis}1 {high:g}")
        return CropBox((x0, y0, z0), (x1, y1, z1))

    @staticmethod
    def around(points: Cloud) -> "CropBox | None":
        """The box that finite points span; None where there is no such point."""
        xyz = points[np.isfinite(points[:, :3]).all(axis=1), :3].astype(np.float64)
        return CropBox._of(xyz.min(axis=0), xyz.max(axis=0)) if len(xyz) else None

    @staticmethod
    def joined(boxes: Iterable["CropBox"]) -> "CropBox":
        """The smallest box that covers all of them, at least one."""
        low, high = zip(*((box.minimum_m, box.maximum_m) for box in boxes), strict=True)
        return CropBox._of(np.min(low, axis=0), np.max(high, axis=0))

    @staticmethod
    def _of(low: Cloud, high: Cloud) -> "CropBox":
        (x0, y0, z0), (x1, y1, z1) = low.tolist(), high.tolist()
        return CropBox((x0, y0, z0), (x1, y1, z1))

    @property
    def diagonal_m(self) -> float:
        """Distance between its corners."""
        return float(np.linalg.norm(np.subtract(self.maximum_m, self.minimum_m)))

    def grown(self, margin_m: float) -> "CropBox":
        """The box with its sides moved outwards."""
        return CropBox._of(np.subtract(self.minimum_m, margin_m), np.add(self.maximum_m, margin_m))

    def contains(self, points: Cloud) -> NDArray[np.bool_]:
        """Which of [n, 3 or more] points lie inside."""
        xyz = points[:, :3].astype(np.float64)
        within = (xyz >= self.minimum_m) & (xyz < self.maximum_m)
        return np.all(within, axis=1)

    def covers(self, other: "CropBox") -> bool:
        """Whether another box lies inside."""
        corners = np.array([other.minimum_m, other.maximum_m])
        return bool(self.contains(corners).all())

    def __str__(self) -> str:
        low, high = (
            "({:.1f}, {:.1f}, {:.1f})".format(*c) for c in (self.minimum_m, self.maximum_m)
        )
        return f"{low} .. {high} m"


@dataclass(frozen=True)
class Side:
    """One side of a comparison, and where its points lie.

    Attributes:
        title: what errors call it.
        read: gives the cloud of a frame.
        boxes: around each frame's points, without the frames that have none.
        points: of all frames.
    """

    title: str
    read: Callable[[str], Cloud]
    boxes: Mapping[str, CropBox]
    points: int

    @staticmethod
    def measure(
        title: str, read: Callable[[str], Cloud], names: Sequence[str], workers: Workers
    ) -> "Side":
        """Read every frame once."""

        def measure_frame(name: str) -> tuple[CropBox | None, int]:
            points = read(name)
            return CropBox.around(points), len(points)

        found = workers.map(measure_frame, names, f"extent of {title}")
        boxes = {name: box for name, (box, _) in zip(names, found, strict=True) if box}
        return Side(title, read, boxes, sum(points for _, points in found))


def check_same_crop(one: Side, two: Side, workers: Workers) -> None:
    """Make sure that the clouds of two sides were cropped alike, all frames taken together.

    Raises:
        InputError: more than `OUTSIDE_SHARE_MAX` of one side's points lie more than `OUTSIDE_M`
            outside the box that the other side's points span.
    """
    if not (one.boxes and two.boxes):
        return
    for side, other in ((one, two), (two, one)):
        box, other_box = (CropBox.joined(each.boxes.values()) for each in (side, other))
        outside = _count_outside(side, other_box.grown(OUTSIDE_M), workers)
        if outside > OUTSIDE_SHARE_MAX * side.points:
            raise InputError(
                f"{side.title} and {other.title} were cropped differently:"
                f" {outside / side.points:.0%} of the points of {side.title} lie more than"
                f" {OUTSIDE_M:g} m outside the box of {other.title}, at most"
                f" {OUTSIDE_SHARE_MAX:.0%} may; {side.title} spans {box}, {other.title}"
                f" {other_box}; give --crop x0,y0,z0,x1,y1,z1 to score both in one box"
            )


def _count_outside(side: Side, box: CropBox, workers: Workers) -> int:
    """Reads only the frames that stick out."""
    names = [name for name, own in side.boxes.items() if not box.covers(own)]

    def count(name: str) -> int:
        points = side.read(name)
        finite = np.isfinite(points).all(axis=1)
        return int((finite & ~box.contains(points)).sum())

    return sum(workers.map(count, names, f"crop of {side.title}")) if names else 0
