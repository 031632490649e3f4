import numpy as np
import pytest

from radarsparse.config import VolumeSettings
from radarsparse.errors import InputError
from radarsparse.geometry import Volume
from radarsparse.training.planning.dry_run import (
    count_voxels,
    find_voxel_size,
    whole_voxel_sizes,
)
from tests.conftest import TINY_VOLUME, tiny_pair

SETTINGS = VolumeSettings(
    minimum_m=(0.0, -6.4, -1.6), maximum_m=(12.8, 6.4, 1.6), azimuth_max_deg=60.0
)


def _occupied(index: int, size_m: float) -> int:
    """Voxels that hold a LiDAR point, counted one by one."""
    volume = Volume.from_settings(SETTINGS.at(size_m))
    cells = set()
    for x, y, z, _ in tiny_pair(index).lidar.astype(np.float64):
        inside = 0 <= x < 12.8 and -6.4 <= y < 6.4 and -1.6 <= z < 1.6
        if inside and abs(np.degrees(np.arctan2(y, x))) <= 60.0:
            cells.add(tuple(np.floor(((x, y + 6.4, z + 1.6)) / np.float64(volume.voxel_size_m))))
    return len(cells)


def test_voxels_are_counted_per_level():
    volume = Volume.from_settings(SETTINGS)
    assert TINY_VOLUME["voxel_size_m"] == SETTINGS.voxel_size_m
    counts = count_voxels(tiny_pair(0), volume)
    for stride in (1, 2, 4, 8):
        cells = volume.voxel_index(tiny_pair(0).lidar[volume.contains(tiny_pair(0).lidar)])
        assert counts[f"LiDAR at stride {stride}"] == len(np.unique(cells // stride, axis=0))
    assert counts["LiDAR at stride 1"] == _occupied(0, 0.2)
    assert counts["lattice"] == len(volume.lattice(8))
    assert 0 < counts["radar"] <= 40


@pytest.mark.parametrize(
    ("minimum_m", "maximum_m", "sizes_m"),
    [
        ((0.0, -25.6, -3.2), (51.2, 25.6, 3.2), [0.8, 0.4, 0.8 / 3, 0.2, 0.16]),
        ((0.0, -40.0, -4.8), (80.0, 40.0, 4.8), [0.4, 0.2, 0.4 / 3, 0.1]),
        ((0.0, -0.3, 0.0), (0.6, 0.3, 0.7), []),
    ],
)
def test_sizes_fill_the_box_with_whole_lattice_cells(minimum_m, maximum_m, sizes_m):
    # As if read from a file that was not checked, since the last box holds no whole cell at 0.2 m.
    box = VolumeSettings.model_construct(minimum_m=minimum_m, maximum_m=maximum_m)
    found = list(whole_voxel_sizes(box))
    assert found[: len(sizes_m)] == pytest.approx(sizes_m)
    for size_m in found:
        box.at(size_m)  # is checked


def test_no_size_that_fills_the_box_is_left_out():
    found = list(whole_voxel_sizes(SETTINGS))
    for cells_along_z in range(1, 9):
        size_m = 3.2 / cells_along_z / 8
        try:
            SETTINGS.at(size_m)
        except ValueError:
            assert size_m not in found
        else:
            assert any(size_m == pytest.approx(other) for other in found) or size_m < 0.05


@pytest.mark.parametrize("budget", [385, 420, 480, 10_000])
def test_the_finest_size_within_the_budget_is_found(budget):
    pairs = [tiny_pair(index) for index in range(5)]
    most = {size: max(_occupied(i, size) for i in range(5)) for size in whole_voxel_sizes(SETTINGS)}
    size_m, count = find_voxel_size(pairs, SETTINGS, budget)
    assert count == most[size_m] <= budget
    assert all(most[finer] > budget for finer in most if finer < size_m)


def test_a_budget_below_the_coarsest_voxels_is_refused():
    with pytest.raises(InputError, match="--voxel-budget 3: too small"):
        find_voxel_size([tiny_pair(0)], SETTINGS, 3)
