"""The run folder: what was run, with what, and how it went."""

import json
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

from radarsparse import __version__
from radarsparse.config import Config, config_to_yaml, read_yaml, to_yaml
from radarsparse.errors import InputError
from radarsparse.files import is_left_over, locked, replacing, to_json
from radarsparse.models.weights import MODEL_FILE
from radarsparse.training.checkpoint import STATE_FILE
from radarsparse.training.devices import Rank, gather, refuse_together

CONFIG_FILE = "config.yaml"
DATA_FILE = "data.yaml"
# What is written whole or not at all.
_FILES = (
    *(CONFIG_FILE, DATA_FILE, "command.txt", "versions.yaml"),
    *("stats.jsonl", MODEL_FILE, STATE_FILE),
)

# Weights don't depend on these, or the run is only made longer.
_FREE = (
    *("engine", "data.cache", "data.val_split"),
    *("train.samples", "train.workers", "train.validation"),
    "train.checkpoint_activations",
    *("train.checkpoint_every_samples", "train.report_every_samples"),
)


class RunFolder:
    """What a run leaves in its folder beside checkpoints: `stats.jsonl` and TensorBoard's files.

    What an earlier process wrote beyond the samples `seen` goes.
    """

    def __init__(self, path: Path, seen: int) -> None:
        self._stats = path / "stats.jsonl"
        lines = self._stats.read_text(errors="replace").splitlines() if self._stats.exists() else []
        kept = [line for line in lines if seen and self._samples_of(line) <= seen]
        if kept != lines:
            _write(self._stats, "".join(line + "\n" for line in kept))
        self._board = SummaryWriter(str(path / "tensorboard"), purge_step=seen)

    def record(self, entry: dict[str, float]) -> None:
        """Append one line to `stats.jsonl`, where what isn't finite becomes null, and show it."""
        with self._stats.open("a") as file:
            file.write(to_json(entry) + "\n")
        for name, value in entry.items():
            if name != "samples":
                self._board.add_scalar(name, value, round(entry["samples"]))

    def show_picture(self, picture: NDArray[np.uint8], samples: int) -> None:
        """Show a picture [height, width, 3] of the validation."""
        self._board.add_image("val", picture, samples, dataformats="HWC")
        self._board.flush()

    def close(self) -> None:
        """Write what TensorBoard has yet to be told."""
        self._board.close()

    def _samples_of(self, line: str) -> float:
        try:
            return float(json.loads(line)["samples"])
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"{self._stats}: {line!r:.60} is no record; delete it") from error


@contextmanager
def claimed(path: Path, config: Config, data: Mapping[str, str], rank: Rank) -> Iterator[None]:
    """A block in which the folder is this run's, and no process of another run writes there.

    It is made, or the run that it holds is taken up; what a killed process left half done goes.
    The first process claims it for all. `data` has the fingerprint of each split that is used.

    Raises:
        InputError: the folder holds something else, a run of another config or of other data, or
            another process writes there.
    """
    faults: list[str] = []
    with ExitStack() as stack:
        if rank.number == 0:
            try:
                check_claim(path, config, data)
                path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(path))
                check_claim(path, config, data)  # for what came before the lock
                _begin(path, config, data)
            except InputError as error:
                faults.append(str(error))
        if faults := gather(faults, rank):
            refuse_together(faults[0], rank)
        yield


def _begin(path: Path, config: Config, data: Mapping[str, str]) -> None:
    for part in path.glob(".*.part"):
        if is_left_over(part, *_FILES):
            part.unlink()
    # First of all, since without it the rest is something else's.
    _write(path / CONFIG_FILE, config_to_yaml(config))
    _write(path / DATA_FILE, to_yaml(dict(data)))
    _write(path / "command.txt", " ".join(sys.argv) + "\n")
    versions = {"radarsparse": __version__, "python": platform.python_version()}
    versions |= {"torch": str(torch.__version__), "numpy": np.__version__}
    _write(path / "versions.yaml", to_yaml(versions))


def check_claim(path: Path, config: Config, data: Mapping[str, str]) -> None:
    """Refuse a folder that holds something else, a run of another config or of other frames.

    The length of the run may differ, a run can be made longer; so may what weights don't depend
    on: the engine, the sampling, workers, validation, how often something is written.

    Raises:
        InputError: names the folder and the first key or split that differs.
    """
    _check_place(path)
    found = path.iterdir() if path.exists() else ()
    names = sorted(file.name for file in found if not is_left_over(file, *_FILES))
    if not names:
        return
    if CONFIG_FILE not in names:
        raise InputError(f"{path}: exists with other contents ({names[0]})")
    before = _flatten(read_yaml(path / CONFIG_FILE))
    now = _flatten(config.model_dump(mode="json"))
    for key in sorted(before.keys() | now.keys()):
        free = key in _FREE or key.startswith(("sampling.", "train.validation."))
        if not free and before.get(key) != now.get(key):
            raise InputError(
                f"{path}: holds a run of another config: {key} was {before.get(key)!r:.60}, is now"
                f" {now.get(key)!r:.60}; choose another --out"
            )
    frames = read_yaml(path / DATA_FILE) if DATA_FILE in names else {}
    for split, fingerprint in data.items():
        if frames.get(split, fingerprint) != fingerprint:
            raise InputError(
                f"{path}: split {split!r} changed since the run began: it was"
                f" {frames[split]!s:.100}, is now {fingerprint}; restore the frames or choose"
                " another --out"
            )


def _check_place(path: Path) -> None:
    if str(path) != str(path).encode(errors="replace").decode():
        raise InputError(f"{path}: is no UTF-8, as TensorBoard needs; choose another name")
    nearest = next(place for place in (path, *path.parents) if place.exists())
    if not nearest.is_dir():
        raise InputError(f"{nearest}: exists and is no folder")


def _write(file: Path, text: str) -> None:
    with replacing(file) as part:
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


def _flatten(block: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in block.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
