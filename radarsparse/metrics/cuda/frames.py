"""Two clouds per frame, laid out as the kernels read them."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from radarsparse.errors import InputError

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


class Part(NamedTuple):
    """The leading points of an array, and the segments that they make up."""

    points: int
    segments: int

    def blocks(self, shift: int) -> int:
        """Blocks of at most 2^shift points, none of which has points of two segments."""
        return (self.points >> shift) + self.segments


@dataclass(frozen=True)
class Frames:
    """A batch: the first cloud of every frame, then the second cloud of every frame.

    Attributes:
        points: float64 [n, 3] metres.
        offsets: int32 [2 b + 1] where the segments, one per cloud, start.
        first: the first clouds.
        both: all clouds.
        cloud_most: points that one cloud has at most, as far as shapes tell.
    """

    points: Tensor
    offsets: Tensor
    first: Part
    both: Part
    cloud_most: int

    @staticmethod
    def join(
        first: Tensor, second: Tensor, first_offsets: Tensor, second_offsets: Tensor
    ) -> "Frames":
        """Lay out a batch of pairs of clouds.

        Args:
            first: [n, 3] metres.
            second: [m, 3] metres, same device.
            first_offsets: int64 [b + 1].
            second_offsets: int64 [b + 1].

        Raises:
            InputError: there are too many points or clouds.
        """
        total = len(first) + len(second)
        clouds = 2 * (len(first_offsets) - 1)
        check_size(total, clouds)
        offsets = torch.cat([first_offsets, second_offsets[1:] + len(first)])
        return Frames(
            torch.cat([first, second]).detach().double(),
            offsets.int(),
            Part(len(first), clouds // 2),
            Part(total, clouds),
            max(len(first), len(second)),
        )

    @property
    def count(self) -> int:
        """Number of frames."""
        return self.first.segments
