"""The nearest-neighbour search, kernel by kernel: see `kernels/nearest.cu`.

Nothing here waits for the GPU: grid sizes follow from the shapes of tensors alone.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from radarsparse.gpu.compiler import Kernels
from radarsparse.metrics.nearest.cuda.packed import PackedClouds, Prefix

Found = tuple[Tensor, Tensor]

# Fewer pairs of points than this, and trying them all is quicker than to sort: measured on an H200,
# see kernels/BENCHMARK.md.
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
_JOIN_SHIFT = 9
_CODE_BITS = 30
# A sort by 32 bits takes the GPU and the host half as long as one by 64; one bit is the sign.
_KEY_BITS = 31


def find_nearest(kernels: Kernels, packed: PackedClouds, queries: Prefix) -> Found:
    """Squared distance float32 and row int64 of the nearest point in each query's other cloud.

    Args:
        kernels: what runs the kernels, on the device of the clouds.
        packed: the clouds.
        queries: `packed.first` or `packed.both`.
    """
    second_points = packed.both.points - packed.first.points
    pairs = packed.first.points * second_points // max(packed.frames, 1)
    way = search_all if pairs <= BRUTE_PAIRS_MOST else search_tree
    return way(kernels, packed, queries)


def search_all(kernels: Kernels, packed: PackedClouds, queries: Prefix) -> Found:
    """As `find_nearest`, by trying all pairs."""
    points, offsets, bounds = _lay_out(kernels, packed)
    placed = points.new_empty((packed.both.points, 4), dtype=torch.float32)
    found = points.new_empty(queries.points, dtype=torch.int64)
    batch = offsets, packed.both.segments
    blocks = (packed.both.blocks(_SPAN_SHIFT), 1)
    arguments = (points, *batch, bounds, queries.points, placed, found)
    kernels.launch("place_points", blocks, _THREADS, *arguments)
    across = queries.blocks(_BRUTE_SHIFT)
    tiles = -(-packed.cloud_most // _TILE_POINTS)
    down = max(min(BRUTE_BLOCKS // max(across, 1), tiles), 1)
    kernels.launch("query_all", (across, down), _BRUTE_THREADS, placed, *batch, found)
    distance2, index = _empty_found(placed, queries.points)
    blocks = (-(-queries.points // _THREADS), 1)
    kernels.launch("unpack_found", blocks, _THREADS, found, queries.points, distance2, index)
    return distance2, index


def search_tree(kernels: Kernels, packed: PackedClouds, queries: Prefix) -> Found:
    """As `find_nearest`, by a tree over points sorted along a curve."""
    tree = build_tree(kernels, packed)
    distance2, index = _empty_found(tree.slots, queries.points)
    blocks = (queries.blocks(_QUERY_SHIFT), 1)
    kernels.launch("query_boxes", blocks, 1 << _QUERY_SHIFT, *tree.arguments, distance2, index)
    return distance2, index


class Tree(NamedTuple):
    """Points of every segment along the curve, in leaves, and the boxes above them.

    Attributes:
        slots: float32 [s, 4] x, y, z, bits of the row; infinite in the rest of a segment's last
            leaf.
        boxes: float32 [k, 8], nodes level by level.
        hints: int32 [s] how many points of the other cloud come before.
        offsets: int32 [2 b + 1] where the segments, one per cloud, start.
    """

    slots: Tensor
    boxes: Tensor
    hints: Tensor
    offsets: Tensor

    @property
    def arguments(self) -> tuple[Tensor | int, ...]:
        """What a kernel that queries needs first."""
        return *self, self.offsets.size(0) - 1


def build_tree(kernels: Kernels, packed: PackedClouds) -> Tree:
    """Sort both clouds of all frames at once and build the boxes of each."""
    slots, hints, offsets = _sort(kernels, packed)
    boxes = slots.new_empty((_node_count(packed), 8))
    for level in range(0, _level_count(packed.cloud_most), _BOXES_LEVELS):
        blocks = (packed.both.blocks(_SPAN_SHIFT + _ARITY_SHIFT * level), 1)
        arguments = (slots, offsets, packed.both.segments, level, boxes)
        kernels.launch("build_boxes", blocks, _THREADS, *arguments)
    return Tree(slots, boxes, hints, offsets)


def _empty_found(placed: Tensor, queries: int) -> Found:
    return placed.new_empty(queries), placed.new_empty(queries, dtype=torch.int64)


def _lay_out(kernels: Kernels, packed: PackedClouds) -> tuple[Tensor, Tensor, Tensor]:
    """Points float64 [n, 3], offsets int32 [2 b + 1], boxes of the frames int64 [b, 6]."""
    total, segments = packed.both
    points = packed.clouds[0].new_empty((total, 3), dtype=torch.float64)
    offsets = points.new_empty(segments + 1, dtype=torch.int32)
    bounds = points.new_empty((packed.frames, 6), dtype=torch.int64)
    blocks = (packed.both.blocks(_SPAN_SHIFT), 1)
    # Few points per block, for it only waits for memory.
    joining = (packed.both.blocks(_JOIN_SHIFT), 1)
    nonfinite = None if packed.check is None else packed.check.nonfinite
    arguments = (*packed.arguments, points, offsets, bounds, nonfinite)
    kernels.launch("join_clouds", joining, _THREADS, *arguments)
    if packed.check is not None:
        packed.check.begun()
    kernels.launch("frame_bounds", blocks, _THREADS, points, offsets, segments, bounds)
    return points, offsets, bounds


def _sort(kernels: Kernels, packed: PackedClouds) -> tuple[Tensor, Tensor, Tensor]:
    """Slots, hints and offsets of `Tree`."""
    points, offsets, bounds = _lay_out(kernels, packed)
    total, segments = packed.both
    code_bits = min(_CODE_BITS, _KEY_BITS - max(segments - 1, 0).bit_length())
    keys = offsets.new_empty(total)
    blocks = (packed.both.blocks(_SPAN_SHIFT), 1)
    batch = (points, offsets, segments, bounds, code_bits)
    kernels.launch("curve_keys", blocks, _THREADS, *batch, keys)
    keys, order = keys.sort(stable=True)
    slot_count = packed.both.blocks(_LEAF_SHIFT) << _LEAF_SHIFT
    slots = points.new_empty((slot_count, 4), dtype=torch.float32)
    hints = offsets.new_empty(slot_count)
    blocks = (-(-total // _THREADS), 1)
    kernels.launch("fill_slots", blocks, _THREADS, *batch, keys, order, slots, hints)
    return slots, hints, offsets


def _level_count(cloud_most: int) -> int:
    """Levels of a tree over so many points; the topmost has at most as many nodes as siblings."""
    levels, nodes = 1, -(-cloud_most >> _LEAF_SHIFT)
    while nodes > 1 << _ARITY_SHIFT:
        levels, nodes = levels + 1, -(-nodes >> _ARITY_SHIFT)
    return levels


def _node_count(packed: PackedClouds) -> int:
    """Where the level after the last would start: see `Tree::first_node` in the kernels."""
    levels = _level_count(packed.cloud_most)
    most = packed.both.points // 24 + 1
    groups = most - (most >> _ARITY_SHIFT * levels) + levels * (packed.both.segments + 1)
    return groups << _ARITY_SHIFT
