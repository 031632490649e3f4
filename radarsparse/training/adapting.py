"""Runs that go on from trained weights on a user's own frames: their config and their checks."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from radarsparse.config import DenoiserConfig, apply_overrides, validate_config
from radarsparse.config.settings import DataSettings
from radarsparse.errors import InputError
from radarsparse.files import count_of
from radarsparse.formats.content import array_names
from radarsparse.formats.prepared import (
    FRAMES_FOLDER,
    SPLIT_FILE,
    PreparedFrames,
    Split,
    read_split,
)
from radarsparse.geometry import Volume
from radarsparse.models.weights import SHIPPED, load_diffusion, run_folder
from radarsparse.scan import ScanPair
from radarsparse.training.source_radar import tell_radar
from radarsparse.training.target_lidar import tell_lidar

HELD_BACK_SHARE = 0.15
TRAIN_FRAMES_MIN = 2
# Measured as docs/training.md says.
FEW_FRAMES = 30
FEW_LINE = (
    "{} are few: on Astyx 10 brought the Chamfer sum from 1.28 to 1.16 m and 30 to 1.04 m, all 379"
    " to 0.86 m"
)
# A run of the most takes about 20 minutes on two cores.
SAMPLES_PER_FRAME, SAMPLES_MIN, SAMPLES_MAX = 30, 2000, 6000
# As in configs/astyx_edm.yaml, with an average that suits shorter runs.
_REGRESSION_SHARE = 0.7
_TRAIN = {
    "batch_size": 2,
    "learning_rate": 1e-3,
    "ema_samples": 300,
    "checkpoint_every_samples": 250,
}
_VALIDATIONS, _PATIENCE, _VALIDATION_FRAMES = 8, 4, 16

RIG_SHIFT_MAX_M = 0.5
RIG_TURN_MAX_DEG = 5.0


class Adaptation(NamedTuple):
    """The config of a run, and lines on what was found and what to expect."""

    config: DenoiserConfig
    lines: Sequence[str]


def plan_adaptation(
    frames: Path, checkpoint: str, samples: int | None, overrides: Sequence[str]
) -> Adaptation:
    """The run that fine-tunes the denoiser of a checkpoint, whose VAE it keeps.

    Args:
        frames: folder of prepared frames. Where its splits name none to validate on, the last of
            those to train on are held back.
        checkpoint: run folder of stage `edm`, or `weights`.
        samples: length of the run; by default by the number of frames.
        overrides: texts of the form `a.b=value`.

    Raises:
        InputError: frames, checkpoint or a setting can't be used, the frames are too few, or they
            are of more than one rig.
    """
    check_prepared(frames)
    start = load_diffusion(run_folder(checkpoint))[1]
    if start.stage != "edm":
        stage = f"is of stage {start.stage!r}, needed is 'edm'"
        raise InputError(f"--checkpoint {checkpoint}: {stage}")
    raw = _take_on(start, frames, checkpoint)
    apply_overrides(raw, overrides)
    data = hold_back(_validate(raw).data)
    train, unseen = (_open(data, split) for split in (data.train_split, data.val_split))
    _check_count(train, unseen)
    raw["data"] = data.model_dump(mode="json")
    raw["train"] = _schedule(samples_for(len(train)) if samples is None else samples)
    apply_overrides(raw, [text for text in overrides if text.startswith("train.")])
    config, lidar_line = tell_lidar(_validate(raw), start.lidar.rings_deg)
    config, radar_line = tell_radar(config)
    assert isinstance(config, DenoiserConfig)
    told = filter(None, (lidar_line, radar_line))
    return Adaptation(config, [*_describe(train, unseen, config), *told])


def check_prepared(root: Path) -> None:
    """Refuse a folder that holds no prepared frames.

    Raises:
        InputError: names the folder, and the command that makes such frames.
    """
    files = sorted((root / FRAMES_FOLDER).glob("*.npz"))
    arrays = array_names(files[0]) if files else []
    # A file that can't be opened is named by who reads it.
    if not files or (arrays and "lidar" not in arrays):
        found = f"{files[0].name} holds {', '.join(arrays)}" if files else "there are none"
        raise InputError(
            f"{root}: no prepared frames of radar and LiDAR ({FRAMES_FOLDER}/000000.npz, ...):"
            f" {found}; `radarsparse prepare` makes them"
        )


def hold_back(data: DataSettings) -> DataSettings:
    """The same data with frames to validate on.

    Where no split has them, they are the last 15 % of those to train on, in order, at least one:
    neighbours are too much alike to serve both.

    Raises:
        InputError: the frames to train on can't be found, or there is only one.
    """
    splits = _splits_of(data)
    if data.val_split in splits:
        return data
    names = PreparedFrames.open(Path(data.root), data.train_split, splits).names
    numbers = sorted(map(int, names))
    held = max(1, round(HELD_BACK_SHARE * len(numbers)))
    if held == len(numbers):
        least = TRAIN_FRAMES_MIN + 1
        raise InputError(f"{data.root}: holds 1 frame; must be {least} or more, 1 is held back")
    cut, ranges = numbers[-held], splits[data.train_split]
    ours = [(first, min(last, cut - 1)) for first, last in ranges if first < cut]
    theirs = [(max(first, cut), last) for first, last in ranges if last >= cut]
    split = {data.train_split: ours, data.val_split: theirs}
    return DataSettings(**{**data.model_dump(), "split": split})


def samples_for(frames: int) -> int:
    """Length of a run by its number of frames to train on."""
    return min(max(SAMPLES_PER_FRAME * frames, SAMPLES_MIN), SAMPLES_MAX)


def check_frames(config: DenoiserConfig) -> None:
    """Read every frame once, so that what is wrong with one shows before training.

    Raises:
        InputError: a frame can't be read, has no radar or no LiDAR point in the volume, or its
            LiDAR stands elsewhere than that of the first frame.
    """
    data, volume = config.data, Volume.from_settings(config.volume)
    parts = [_open(data, split) for split in dict.fromkeys((data.train_split, data.val_split))]
    bar = tqdm(total=sum(map(len, parts)), desc="check frames", unit="frame", leave=False)
    first = parts[0][0]
    with bar:
        for part in parts:
            for pair in part:
                check_rig(first, pair)
                _check_inside(pair, volume)
                bar.update()


def check_rig(first: ScanPair, other: ScanPair) -> None:
    """Refuse two frames whose LiDAR is mounted differently.

    Raises:
        InputError: it stands more than 0.5 m or 5 deg elsewhere; names both frames.
    """
    shift_m = _shift_m(first.T_radar_lidar, other.T_radar_lidar)
    turn_deg = _turn_deg(first.T_radar_lidar, other.T_radar_lidar)
    if shift_m > RIG_SHIFT_MAX_M or turn_deg > RIG_TURN_MAX_DEG:
        raise InputError(
            f"frames of more than one rig: T_radar_lidar of frames {first.name} and {other.name}"
            f" differ by {shift_m:.2f} m and {turn_deg:.1f} deg; must be at most"
            f" {RIG_SHIFT_MAX_M:g} m and {RIG_TURN_MAX_DEG:g} deg"
        )


def _shift_m(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(one[:3, 3] - other[:3, 3]))


def _turn_deg(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The angle of the rotation from one to the other."""
    cosine = (np.trace(one[:3, :3].T @ other[:3, :3]) - 1.0) / 2.0
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _check_inside(pair: ScanPair, volume: Volume) -> None:
    for what, points in (("radar", pair.radar), ("LiDAR", pair.lidar_in_radar_frame)):
        if not volume.contains(points).any():
            box = f"{volume.minimum_m} .. {volume.maximum_m} m"
            raise InputError(
                f"frame {pair.name}: no {what} point lies in the volume ({box}); leave it out of"
                f" {SPLIT_FILE}"
            )


def _take_on(start: DenoiserConfig, frames: Path, checkpoint: str) -> dict[str, Any]:
    """What stays as the checkpoint has it, and what its new data and schedule replace."""
    raw = start.model_dump(mode="json", exclude={"data", "lidar", "radar", "train"})
    lidar = {"azimuth_step_deg": start.lidar.azimuth_step_deg}
    # A network that was never told of beams has nothing to understand them with.
    told = lidar if start.lidar.rings_deg else {"rings_deg": []}
    raw |= {"init": checkpoint, "data": {"root": str(frames)}, "lidar": told}
    raw["train"] = _schedule(SAMPLES_MAX)
    raw["diffusion"] |= {"regression_share": _REGRESSION_SHARE}
    if checkpoint == SHIPPED:
        raw["model"] |= {"vae": SHIPPED}
    return raw


def _schedule(samples: int) -> dict[str, Any]:
    every = max(1, samples // _VALIDATIONS)
    return {
        **_TRAIN,
        "samples": samples,
        "validation": {
            "every_samples": every,
            "frames": _VALIDATION_FRAMES,
            "patience_samples": _PATIENCE * every,
        },
    }


def _validate(raw: Mapping[str, Any]) -> DenoiserConfig:
    config = validate_config(raw, "the adapted config")
    if not isinstance(config, DenoiserConfig) or config.stage != "edm":
        raise InputError(f"--set stage={config.stage}: must stay 'edm'")
    return config


def _splits_of(data: DataSettings) -> Split:
    root = Path(data.root)
    if data.split is not None:
        return data.split
    if (root / SPLIT_FILE).is_file():
        return read_split(root)
    numbers = [int(name) for name in PreparedFrames.open_all(root).names]
    return {data.train_split: [(min(numbers), max(numbers))]}


def _open(data: DataSettings, split: str) -> PreparedFrames:
    return PreparedFrames.open(Path(data.root), split, data.split)


def _check_count(train: PreparedFrames, unseen: PreparedFrames) -> None:
    if len(train) < TRAIN_FRAMES_MIN:
        raise InputError(
            f"{train.root}: leaves {count_of(len(train), 'frame')} to train on beside"
            f" {len(unseen)} held back; must be {TRAIN_FRAMES_MIN} or more"
        )


def _describe(train: PreparedFrames, unseen: PreparedFrames, config: DenoiserConfig) -> list[str]:
    data, settings = config.data, config.train
    held = f"{unseen.names[0]} to {unseen.names[-1]}"
    why = "" if data.split is None else f", since {data.val_split!r} is no split of the folder"
    lines = [
        f"{count_of(len(train), 'frame')} to train on for {settings.samples:,} samples,"
        f" {len(unseen)} held back ({held}{why})"
    ]
    if len(train) < FEW_FRAMES:
        lines.append(FEW_LINE.format(count_of(len(train), "frame")))
    return lines
