"""Two clouds per frame, packed as the kernels read them."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from radarsparse.errors import InputError
from radarsparse.gpu.signatures import Argument
from radarsparse.metrics.nearest.cuda.finite import FiniteCheck

# Kernels count in 32 bits. Slots and nodes grow with points, and by at most 64 with every cloud.
POINTS_MOST = 2**30
POINTS_PER_CLOUD = 64


def check_size(points: int, clouds: int) -> None:
    """Refuse what 32 bits can't count.

    Raises:
        InputError: there are too many points or clouds.
    """
    if points + POINTS_PER_CLOUD * clouds > POINTS_MOST:
        raise InputError(
            f"{points} points in {clouds} clouds: points and {POINTS_PER_CLOUD} times clouds must"
            f" not exceed {POINTS_MOST}"
        )


class Prefix(NamedTuple):
    """The leading points of an array, and the segments that they make up."""

    points: int
    segments: int

    def blocks(self, shift: int) -> int:
        """Blocks of at most 2^shift points, none of which has points of two segments."""
        return (self.points >> shift) + self.segments


@dataclass(frozen=True)
class PackedClouds:
    """The first clouds of many frames one after another, and so the second ones.

    Attributes:
        clouds: [n, 3] and [m, 3] metres, of one dtype, float32 or float64; the values of a row
            follow each other.
        starts: int64 [b + 1] where the clouds of each frame start; None for one frame.
        first: the first clouds.
        both: all clouds, first and then second ones.
        cloud_most: points that one cloud has at most, as far as shapes tell.
        check: of the coordinates, if one is wanted.
    """

    clouds: tuple[Tensor, Tensor]
    starts: tuple[Tensor | None, Tensor | None]
    first: Prefix
    both: Prefix
    cloud_most: int
    check: FiniteCheck | None

    @staticmethod
    def join(
        first: Tensor,
        second: Tensor,
        first_starts: Tensor | None = None,
        second_starts: Tensor | None = None,
        check: FiniteCheck | None = None,
    ) -> "PackedClouds":
        """Two packed clouds of either dtype, on one device, and their `starts`.

        Raises:
            InputError: there are too many points or clouds.
        """
        points = first.size(0), second.size(0)
        frames = 1 if first_starts is None else first_starts.size(0) - 1
        check_size(sum(points), 2 * frames)
        if first.dtype != second.dtype:
            first, second = first.double(), second.double()
        return PackedClouds(
            (_rows(first), _rows(second)),
            (_contiguous(first_starts), _contiguous(second_starts)),
            Prefix(points[0], frames),
            Prefix(sum(points), 2 * frames),
            max(points),
            check,
        )

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.first.segments

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """How a kernel takes the clouds and where they start."""
        first, second = self.clouds
        doubles = int(first.dtype == torch.float64)
        # Sizes not by `len`, which takes the host 2 us.
        numbers = (first.stride(0), second.stride(0), doubles, first.size(0), second.size(0))
        return first, second, *numbers, *self.starts, self.frames


def _rows(cloud: Tensor) -> Tensor:
    return cloud if cloud.stride(1) == 1 else cloud.contiguous()


def _contiguous(starts: Tensor | None) -> Tensor | None:
    return None if starts is None else starts.contiguous()
