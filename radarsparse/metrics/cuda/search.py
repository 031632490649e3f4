"""The nearest-neighbour search, kernel by kernel: see `kernels/nearest.cu`.

Nothing here waits for the GPU: grid sizes follow from the shapes of tensors alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from radarsparse.metrics.cuda.frames import Frames, Part
from radarsparse.metrics.cuda.loader import Kernels

Found = tuple[Tensor, Tensor]

# Fewer pairs of points than this, and trying them all is quicker than to sort. An estimate that
# no GPU has confirmed yet.
BRUTE_PAIRS_MOST = 10**8
# Enough to keep every GPU of today busy; the tiles are shared out among them.
BRUTE_BLOCKS = 1024

# The constants of kernels/nearest.cu.
_SPAN_SHIFT = 11
_THREADS = 256
_LEAF_SHIFT = 3
_ARITY_SHIFT = 2
_BOXES_LEVELS = 4
_QUERY_SHIFT = 7
_BRUTE_SHIFT = 9
_BRUTE_THREADS = 128
_TILE_POINTS = 256

_CURVE_BITS_MOST = 21
_KEY_BITS = 63


def find_nearest(kernels: Kernels, frames: Frames, queries: Part) -> Found:
    """Squared distance float32 and row int64 of the nearest point in each query's other cloud.

    Args:
        kernels: what runs the kernels, on the device of the frames.
        frames: the clouds.
        queries: `frames.first` or `frames.both`.
    """
    second_points = frames.both.points - frames.first.points
    pairs = frames.first.points * second_points // max(frames.count, 1)
    way = search_all if pairs <= BRUTE_PAIRS_MOST else search_tree
    return way(kernels, frames, queries)


def search_all(kernels: Kernels, frames: Frames, queries: Part) -> Found:
    """As `find_nearest`, by trying all pairs."""
    placed = frames.points.new_empty((len(frames.points), 4), dtype=torch.float32)
    blocks = (frames.both.blocks(_SPAN_SHIFT), 1)
    bounds = _bounds(kernels, frames)
    segments = frames.both.segments
    kernels.launch(
        "place_points", blocks, _THREADS, frames.points, frames.offsets, segments, bounds, placed
    )
    # An infinite distance above, row -1 below.
    none = 0x7F800000 << 32 | 0xFFFFFFFF
    found = torch.full((queries.points,), none, dtype=torch.int64, device=placed.device)
    across = queries.blocks(_BRUTE_SHIFT)
    tiles = -(-frames.cloud_most // _TILE_POINTS)
    down = max(min(BRUTE_BLOCKS // max(across, 1), tiles), 1)
    kernels.launch(
        "query_all", (across, down), _BRUTE_THREADS, placed, frames.offsets, segments, found
    )
    row, distance2 = found.view(torch.int32).view(-1, 2).unbind(1)
    return distance2.contiguous().view(torch.float32), row.long()


def search_tree(kernels: Kernels, frames: Frames, queries: Part) -> Found:
    """As `find_nearest`, by a tree over points sorted along a curve."""
    tree = build_tree(kernels, frames)
    distance2 = tree.slots.new_empty(queries.points)
    index = torch.empty(queries.points, dtype=torch.int64, device=distance2.device)
    blocks = (queries.blocks(_QUERY_SHIFT), 1)
    kernels.launch("query_boxes", blocks, 1 << _QUERY_SHIFT, *tree.arguments, distance2, index)
    return distance2, index


@dataclass(frozen=True)
class Tree:
    """Points of every segment along the curve, in leaves, and the boxes above them.

    Attributes:
        slots: float32 [s, 4] x, y, z, bits of the row; infinite where no point is.
        boxes: float32 [k, 8], nodes level by level.
        hints: int32 [s] how many points of the other cloud come before.
        offsets: int32 [2 b + 1] those of the frames.
    """

    slots: Tensor
    boxes: Tensor
    hints: Tensor
    offsets: Tensor

    @property
    def arguments(self) -> tuple[Tensor | int, ...]:
        """What a kernel that queries needs first."""
        return self.slots, self.boxes, self.hints, self.offsets, len(self.offsets) - 1


def build_tree(kernels: Kernels, frames: Frames) -> Tree:
    """Sort both clouds of all frames at once and build the boxes of each."""
    slots, hints = _sort(kernels, frames)
    boxes = slots.new_empty((_node_count(frames), 8))
    for level in range(0, _level_count(frames.cloud_most), _BOXES_LEVELS):
        blocks = (frames.both.blocks(_SPAN_SHIFT + _ARITY_SHIFT * level), 1)
        arguments = (slots, frames.offsets, frames.both.segments, level, boxes)
        kernels.launch("build_boxes", blocks, _THREADS, *arguments)
    return Tree(slots, boxes, hints, frames.offsets)


def _bounds(kernels: Kernels, frames: Frames) -> Tensor:
    """Boxes of the frames, int64 [b, 6], as the kernels write them."""
    most = torch.iinfo(torch.int64).max
    bounds = torch.full((frames.count, 6), most, dtype=torch.int64, device=frames.points.device)
    blocks = (frames.both.blocks(_SPAN_SHIFT), 1)
    arguments = (frames.points, frames.offsets, frames.both.segments, bounds)
    kernels.launch("frame_bounds", blocks, _THREADS, *arguments)
    return bounds


def _sort(kernels: Kernels, frames: Frames) -> Found:
    """Slots and hints of `Tree`."""
    points, offsets, segments = frames.points, frames.offsets, frames.both.segments
    total = len(points)
    bounds = _bounds(kernels, frames)
    frame_bits = max(frames.count - 1, 0).bit_length()
    bits = min(_CURVE_BITS_MOST, (_KEY_BITS - frame_bits) // 3)
    keys = torch.empty(total, dtype=torch.int64, device=points.device)
    blocks = (frames.both.blocks(_SPAN_SHIFT), 1)
    kernels.launch("curve_keys", blocks, _THREADS, points, offsets, segments, bounds, bits, keys)
    keys, order = keys.sort(stable=True)
    seconds_until = (order >= frames.first.points).cumsum(0, dtype=torch.int32)
    slot_count = frames.both.blocks(_LEAF_SHIFT) << _LEAF_SHIFT
    slots = torch.full((slot_count, 4), torch.inf, device=points.device)
    hints = seconds_until.new_empty(slot_count)
    arguments = (points, offsets, segments, bounds, bits, keys, order, seconds_until, slots, hints)
    kernels.launch("fill_slots", (-(-total // _THREADS), 1), _THREADS, *arguments)
    return slots, hints


def _level_count(cloud_most: int) -> int:
    """Levels of a tree over so many points; the topmost has at most as many nodes as siblings."""
    levels, nodes = 1, -(-cloud_most >> _LEAF_SHIFT)
    while nodes > 1 << _ARITY_SHIFT:
        levels, nodes = levels + 1, -(-nodes >> _ARITY_SHIFT)
    return levels


def _node_count(frames: Frames) -> int:
    """Where the level after the last would start: see `Tree::first_node` in the kernels."""
    levels = _level_count(frames.cloud_most)
    most = len(frames.points) // 24 + 1
    groups = most - (most >> _ARITY_SHIFT * levels) + levels * (frames.both.segments + 1)
    return groups << _ARITY_SHIFT
