"""What stands far from a road, across it and over it."""

from collections.abc import Iterator

from radarsparse.simulator.road import Road
from radarsparse.simulator.roadside import WALL, fence, grass, leaves, tree
from radarsparse.simulator.world import Part

WOOD_PATH_M = (2.0, 6.0)
FIELDS_M = (20.0, 60.0)


def background(road: Road, side: float) -> Iterator[Part]:
    """What stands behind the roadside: fields, halls and houses, fences, a wood or a barrier."""
    if road.rng.random() < 0.5:
        width_m = road.uniform(FIELDS_M)
        yield from grass(road, side * (road.half_width_m + 20.0 + 0.5 * width_m), width_m)
    for along_m in road.stations(0.0, (15.0, road.uniform((30.0, 150.0)))):
        yield from _building(road, along_m, side)
    for along_m in road.stations(0.0, (20.0, road.uniform((50.0, 200.0)))):
        left_m = side * (road.half_width_m + road.uniform((8.0, 50.0)))
        yield from fence(road, along_m, left_m, road.uniform((10.0, 50.0)))
    for along_m in road.stations(0.0, (8.0, road.uniform((15.0, 100.0)))):
        yield from tree(road, along_m, side * (road.half_width_m + road.uniform((10.0, 50.0))))
    if road.rng.random() < 0.35:
        yield from _edge(road, side)


def _building(road: Road, along_m: float, side: float) -> Iterator[Part]:
    """A house or a hall, its front 10 to 45 m from the road."""
    lowest, highest = (7.0, 7.0, 3.0), (40.0, 20.0, 9.0)
    size_m = tuple(road.rng.uniform(lowest, highest).tolist())
    left_m = side * (road.half_width_m + road.uniform((10.0, 45.0)) + 0.5 * size_m[1])
    yield road.box(along_m, left_m, size_m, WALL)


def _edge(road: Road, side: float) -> Iterator[Part]:
    """A wood or a noise barrier."""
    start_m, length_m = road.uniform((0, 40)), road.uniform((30, 110))
    near_m = road.half_width_m + road.uniform((8, 35))
    if road.rng.random() < 0.7:
        size_m = (length_m, road.uniform((6.0, 15.0)), road.uniform((4.0, 14.0)))
        stuff = leaves(road, WOOD_PATH_M)
    else:
        size_m, stuff = (length_m, 0.5, road.uniform((2.0, 4.5))), WALL
    yield from road.row(start_m, side * (near_m + 0.5 * size_m[1]), size_m, stuff)


def across(road: Road) -> Iterator[Part]:
    """A house at the end of the road, as at a bend or a junction; signs and a bridge over it."""
    if road.rng.random() < 0.35:
        size_m = (10.0, road.uniform((15, 50)), road.uniform((3.0, 10)))
        yield road.box(road.uniform((35, 100)), 0.0, size_m, WALL)
    if road.rng.random() < 0.08:
        yield from _gantry(road)
    if road.rng.random() < 0.05:
        yield from _bridge(road)


def _gantry(road: Road) -> Iterator[Part]:
    """A sign over the road on two posts."""
    along_m, half_m = road.uniform((20, 80)), road.half_width_m + 1.0
    for left_m in (-half_m, half_m):
        yield road.post(along_m, left_m, 0.15, 7.0)
    yield road.hanging(along_m, 0.0, (0.2, 2.0 * half_m, 0.5), 6.5)
    size_m = (0.15, road.uniform((3.0, 2.0 * road.half_width_m)), road.uniform((1.0, 2.0)))
    yield road.hanging(along_m, 0.0, size_m, 5.0)


def _bridge(road: Road) -> Iterator[Part]:
    """A bridge over the road, between abutments."""
    along_m, width_m = road.uniform((25, 100)), road.uniform((6, 14))
    yield road.hanging(along_m, 0.0, (width_m, 80.0, 1.2), 4.7)
    half_m = road.half_width_m + road.uniform((1.0, 4.0))
    for left_m in (-half_m - 1.0, half_m + 1.0):
        yield road.box(along_m, left_m, (width_m, 2.0, 4.8), WALL)
