"""Counts of radar points, where a config doesn't say them: those of the training data."""

import numpy as np

from radarsparse.config import Config, validate_config
from radarsparse.files import count_of
from radarsparse.geometry import Volume
from radarsparse.training.loader import open_splits
from radarsparse.training.target_lidar import Told
from radarsparse.training.validate import choose_frames

FRAMES_MAX = 200
# So that single odd frames don't count.
_PERCENT = (1.0, 99.0)


def tell_radar(config: Config) -> Told:
    """The config with the counts of radar points in view of the training data, odd frames aside.

    They are those before augmentation, of `FRAMES_MAX` frames spread over the split. What the
    config says itself stays.

    Raises:
        InputError: the data can't be used.
    """
    if "points" in config.radar.model_fields_set:
        return Told(config)
    frames = open_splits(config)[config.data.train_split]
    volume = Volume.from_settings(config.volume)
    chosen = choose_frames(frames, FRAMES_MAX)
    counts = [int(volume.contains(frames[number].radar).sum()) for number in chosen]
    low, high = np.percentile(counts, _PERCENT)
    points = [max(int(np.floor(low)), 1), max(int(np.ceil(high)), 1)]
    raw = {**config.model_dump(mode="json", exclude_unset=True), "radar": {"points": points}}
    source = count_of(len(chosen), "frame")
    line = f"radar: {points[0]:,} to {points[1]:,} points in view, of {source}"
    return Told(validate_config(raw, "radar.points"), line)
