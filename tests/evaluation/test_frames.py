"""Rows of a run: whose noise is whose."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from radarsparse.enhancer import SEED_MOST, Enhancer
from radarsparse.evaluation.frames import PREDICTION, frame_seed, rows_of_run
from tests.conftest import tiny_pair


def test_seeds_of_frames_differ_by_seed_and_name_and_stay() -> None:
    seeds = {frame_seed(seed, f"{number:06d}") for seed in range(3) for number in range(100)}
    assert len(seeds) == 300
    assert 0 <= min(seeds) <= max(seeds) <= SEED_MOST
    # Whoever evaluates again, on whatever machine, gets the same clouds.
    assert frame_seed(0, "000001") == 3503366491


def test_frames_of_the_same_radar_points_get_different_noise(edm_run: Path) -> None:
    pair, draw = tiny_pair(6), rows_of_run(Enhancer.load(edm_run), 0)[PREDICTION]
    first, again, other = map(draw, (pair, pair, replace(pair, name="other")))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
