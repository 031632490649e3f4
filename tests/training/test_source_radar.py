"""Counts of radar points that a run knows: those of its config, else of the training data."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radarsparse.config import validate_config
from radarsparse.errors import InputError
from radarsparse.formats.prepared import write_frame, write_split
from radarsparse.training.source_radar import tell_radar
from tests.conftest import tiny_config, tiny_pair

COUNTS = (7, 31, 12, 40, 22, 35)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Frames with known counts in view, as many again out of it, and one that isn't trained on."""
    for index, count in enumerate((*COUNTS, 1)):
        pair = tiny_pair(index)
        seen = pair.radar[:count]
        out = seen + np.float32([100, 0, 0, 0, 0])
        write_frame(tmp_path, replace(pair, radar=np.concatenate([seen, out])))
    write_split(tmp_path, {"train": [[0, 5]], "val": [[6, 6]]})
    return tmp_path


def test_the_counts_are_those_in_view_of_the_frames_to_train_on(data: Path) -> None:
    config, line = tell_radar(tiny_config(data, "vae"))
    # The 1st and 99th percentile, interpolated: 7 + 0.05 * 5 and 35 + 0.95 * 5, rounded outwards.
    assert config.radar.points == (7, 40)
    assert line == "radar: 7 to 40 points in view, of 6 frames"
    assert tell_radar(config) == (config, None)


def test_one_odd_frame_of_many_does_not_count(tmp_path: Path) -> None:
    for index in range(150):
        pair = tiny_pair(index % 5)
        count = {0: 1, 1: 2}.get(index, 20)
        write_frame(tmp_path, replace(pair, name=f"{index:06d}", radar=pair.radar[:count]))
    write_split(tmp_path, {"train": [[0, 149]]})
    assert tell_radar(tiny_config(tmp_path, "vae"))[0].radar.points == (10, 20)


def test_what_the_config_says_stays(data: Path) -> None:
    raw = tiny_config(data, "vae").model_dump(mode="json") | {"radar": {"points": [3, 9]}}
    assert tell_radar(validate_config(raw, "test")) == (validate_config(raw, "test"), None)
    with pytest.raises(InputError, match=r"points = \[9, 3\]: must ascend"):
        validate_config(raw | {"radar": {"points": [9, 3]}}, "test")
