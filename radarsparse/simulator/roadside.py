"""What bounds a road: houses and gardens, or rails and green, with posts, signs and trees."""

from collections.abc import Iterator

import numpy as np

from radarsparse.simulator.road import PIECE_M, ROAD_END_M, ROAD_START_M, Road, Stuff
from radarsparse.simulator.world import Box, Cylinder, Material, Part

KERB_HEIGHT_M = 0.12
RAIL_HEIGHT_M = 0.6
PAVEMENT, WALL = Stuff(Material.ROAD), Stuff(Material.BUILDING)

# How far light goes in leaves on average. Hedges are cut, crowns are loose.
HEDGE_PATH_M, BUSH_PATH_M, CROWN_PATH_M = (0.2, 0.8), (0.4, 2.0), (1.0, 4.0)
GRASS_PATH_M = (1.0, 4.0)
# Through wire netting so thick light goes every third or fourth time.
NETTING_M, NETTING_PATH_M = 0.05, 0.04


def leaves(road: Road, free_path_m: tuple[float, float]) -> Stuff:
    """Some leaves."""
    return Stuff(Material.VEGETATION, road.uniform(free_path_m))


def roadside(road: Road, side: float) -> Iterator[Part]:
    """What bounds the road on one side: a kerb and houses, or a rail and green."""
    if road.rng.random() < 0.5:
        middle_m = side * (road.half_width_m + 0.5 * road.pavement_m)
        size_m = (ROAD_END_M - ROAD_START_M, road.pavement_m, KERB_HEIGHT_M)
        yield from road.row(ROAD_START_M, middle_m, size_m, PAVEMENT)
        yield from _houses(road, side)
    else:
        yield from _green(road, side)


def _houses(road: Road, side: float) -> Iterator[Part]:
    """House fronts on the pavement, or behind gardens."""
    edge_m, garden_m = road.half_width_m + road.pavement_m, 0.0
    if road.rng.random() < 0.7:
        garden_m = road.uniform((3.0, 12.0))
        yield from _garden(road, side, garden_m)
    along_m, gap_m = ROAD_START_M, road.uniform((3.0, 15.0))
    while along_m < ROAD_END_M:
        size_m = (road.uniform((7, 24)), 10.0, road.uniform((3.0, 11)))
        front_m = edge_m + garden_m + road.uniform((0.0, 3.0))
        center_m = along_m + 0.5 * size_m[0]
        yield road.box(center_m, side * (front_m + 0.5 * size_m[1]), size_m, WALL)
        along_m += size_m[0] + road.rng.exponential(gap_m)


def _garden(road: Road, side: float, garden_m: float) -> Iterator[Part]:
    """Hedges, fences and walls along the pavement, grass, trees and shrubs behind them."""
    edge_m = road.half_width_m + road.pavement_m
    along_m = ROAD_START_M
    while along_m < ROAD_END_M:
        length_m = road.uniform((6, 25))
        yield from _boundary(road, along_m, side * (edge_m + 0.4), length_m)
        along_m += length_m + road.rng.exponential(5.0)
    yield from grass(road, side * (edge_m + 0.5 * garden_m), garden_m)
    for along_m in road.stations(3.0, (6.0, 30.0)):
        left_m = side * (edge_m + road.uniform((0.3, 1)) * garden_m)
        yield from tree(road, along_m, left_m)


def _boundary(road: Road, along_m: float, left_m: float, length_m: float) -> list[Box]:
    """A hedge, a fence or a low wall."""
    kind = road.rng.random()
    if kind < 0.5:
        size_m = (length_m, road.uniform((0.5, 1.2)), road.uniform((0.8, 2.2)))
        return road.row(along_m, left_m, size_m, leaves(road, HEDGE_PATH_M))
    if kind < 0.8:
        return fence(road, along_m, left_m, length_m)
    return road.row(along_m, left_m, (length_m, 0.25, road.uniform((0.6, 1.5))), WALL)


def fence(road: Road, along_m: float, left_m: float, length_m: float) -> list[Box]:
    """Wire netting or boards with gaps."""
    size_m = (length_m, NETTING_M, road.uniform((0.9, 2.0)))
    material = Material.METAL if road.rng.random() < 0.5 else Material.BUILDING
    path_m = NETTING_PATH_M * road.uniform((0.5, 2.0))
    return road.row(along_m, left_m, size_m, Stuff(material, path_m))


def grass(road: Road, left_m: float, width_m: float) -> list[Box]:
    """A strip of grass or crops along the road."""
    height_m = min(road.uniform((0.05, 0.2)) + road.rng.exponential(0.1), 0.8)
    size_m = (ROAD_END_M - ROAD_START_M, width_m, height_m)
    return road.row(ROAD_START_M, left_m, size_m, leaves(road, GRASS_PATH_M))


def _green(road: Road, side: float) -> Iterator[Part]:
    """Grass, a guard rail, bushes and trees."""
    if road.rng.random() < 0.4:
        yield from _rail(road, side)
    width_m = road.uniform((3.0, 20.0))
    yield from grass(road, side * (road.half_width_m + 1.0 + 0.5 * width_m), width_m)
    for along_m in road.stations(0.0, (4.0, road.uniform((8.0, 40.0)))):
        size_m = tuple(road.rng.uniform((1.5, 1.0, 0.7), (9.0, 3.0, 2.8)).tolist())
        left_m = side * (road.half_width_m + 2.0 + road.rng.exponential(5.0) + 0.5 * size_m[1])
        yield road.box(along_m, left_m, size_m, leaves(road, BUSH_PATH_M))
    for along_m in road.stations(3.0, (5.0, road.uniform((8.0, 50.0)))):
        left_m = side * (road.half_width_m + 2.0 + road.rng.exponential(6.0))
        yield from tree(road, along_m, left_m)


def _rail(road: Road, side: float) -> Iterator[Part]:
    """A guard rail on posts."""
    left_m, start_m = side * (road.half_width_m + 0.5), road.uniform((0, 30))
    for along_m in np.arange(start_m, start_m + road.uniform((30, 90)), PIECE_M).tolist():
        yield road.hanging(
            along_m + 0.5 * PIECE_M, left_m, (PIECE_M, 0.1, 0.35), RAIL_HEIGHT_M - 0.175
        )
        yield road.post(along_m, left_m, 0.06, RAIL_HEIGHT_M)


def posts(road: Road, side: float) -> Iterator[Part]:
    """Lamp posts, signs and trees at the road's edge."""
    trees = road.uniform((0.0, 0.8))
    for along_m in road.stations(5.0, (8.0, road.uniform((20.0, 50.0)))):
        left_m = side * (road.half_width_m + 0.7 + road.rng.exponential(0.5))
        if road.rng.random() < trees:
            yield from tree(road, along_m, left_m)
        else:
            radius_m, top_m = road.rng.uniform((0.04, 2.5), (0.15, 8.0)).tolist()
            yield road.post(along_m, left_m, radius_m, top_m)
            if top_m < 4.0:
                size_m = (0.05, *road.rng.uniform((0.4, 0.4), (1.2, 1.0)).tolist())
                yield road.hanging(along_m - radius_m, left_m, size_m, top_m - size_m[2])


def tree(road: Road, along_m: float, left_m: float) -> Iterator[Cylinder]:
    """A trunk and a crown that light gets into."""
    x, y, ground_m = road.place(along_m, left_m)
    lowest, highest = (0.1, 0.9, 1.5, 3.5), (0.3, 3.2, 3.0, 14.0)
    trunk_m, crown_m, bottom_m, top_m = road.rng.uniform(lowest, highest).tolist()
    crown_from_m, path_m = ground_m + bottom_m, road.uniform(CROWN_PATH_M)
    yield Cylinder((x, y), trunk_m, ground_m, crown_from_m, Material.VEGETATION)
    yield Cylinder((x, y), crown_m, crown_from_m, ground_m + top_m, Material.VEGETATION, path_m)
