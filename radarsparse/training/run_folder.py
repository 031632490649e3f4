"""The run folder: what was run, with what, and how it went."""

import json
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
import yaml

from radarsparse import __version__
from radarsparse.config import Config, config_to_yaml, read_yaml
from radarsparse.errors import InputError
from radarsparse.files import replacing, to_json

CONFIG_FILE = "config.yaml"
DATA_FILE = "data.yaml"

# Weights don't depend on these, or the run is only made longer.
_FREE = (
    *("engine", "data.cache", "data.val_split"),
    *("train.samples", "train.workers", "train.validation"),
    "train.checkpoint_activations",
    *("train.checkpoint_every_samples", "train.report_every_samples"),
)


@dataclass(frozen=True)
class RunFolder:
    """A folder with settings, command, versions, `stats.jsonl`, TensorBoard's files, checkpoint."""

    path: Path

    @staticmethod
    def claim(path: Path, config: Config, data: Mapping[str, str]) -> "RunFolder":
        """Make the folder, or take up the run that it already holds.

        Args:
            path: of the run folder.
            config: of the run.
            data: fingerprint of each split that the run uses.

        Raises:
            InputError: the folder holds something else, a run of another config or of other data.
        """
        check_claim(path, config)
        check_data(path, data)
        path.mkdir(parents=True, exist_ok=True)
        run = RunFolder(path)
        run._write(DATA_FILE, yaml.safe_dump(dict(data)))
        run._write(CONFIG_FILE, config_to_yaml(config))
        run._write("command.txt", " ".join(sys.argv) + "\n")
        run._write("versions.yaml", yaml.safe_dump(_versions()))
        return run

    def record(self, entry: dict[str, float]) -> None:
        """Append one line to `stats.jsonl`; what isn't finite becomes null."""
        with (self.path / "stats.jsonl").open("a") as file:
            file.write(to_json(entry) + "\n")

    def truncate_records(self, samples: int) -> None:
        """Drop lines of that many samples and more: the run will write them again."""
        file = self.path / "stats.jsonl"
        if not file.exists():
            return
        lines = file.read_text().splitlines()
        kept = [line for line in lines if json.loads(line)["samples"] < samples]
        self._write(file.name, "".join(line + "\n" for line in kept))

    def _write(self, name: str, text: str) -> None:
        with replacing(self.path / name) as part:
            part.write_text(text)


def check_claim(path: Path, config: Config) -> None:
    """Refuse a folder that holds something else, or a run of another config.

    The length of the run may differ, a run can be made longer; so may what weights don't depend
    on: the engine, the sampling, workers, validation, how often something is written.

    Raises:
        InputError: names the folder and the first key that differs.
    """
    nearest = next(place for place in (path, *path.parents) if place.exists())
    if not nearest.is_dir():
        raise InputError(f"{nearest}: exists and is no folder")
    if not path.exists() or not any(path.iterdir()):
        return
    if not (path / CONFIG_FILE).is_file():
        raise InputError(f"{path}: exists with other contents ({next(path.iterdir()).name})")
    before = _flatten(read_yaml(path / CONFIG_FILE))
    now = _flatten(config.model_dump(mode="json"))
    for key in sorted(before.keys() | now.keys()):
        free = key in _FREE or key.startswith(("sampling.", "train.validation."))
        if not free and before.get(key) != now.get(key):
            raise InputError(
                f"{path}: holds a run of another config: {key} was {before.get(key)!r}, is now"
                f" {now.get(key)!r}; choose another --out"
            )


def check_data(path: Path, data: Mapping[str, str]) -> None:
    """Refuse a run whose frames are others than those that it began with.

    Raises:
        InputError: names the folder and the split.
    """
    if not (path / DATA_FILE).is_file():
        return
    before = read_yaml(path / DATA_FILE)
    for split, fingerprint in data.items():
        if before.get(split, fingerprint) != fingerprint:
            raise InputError(
                f"{path}: split {split!r} changed since the run began: it was {before[split]}, is"
                f" now {fingerprint}; restore the frames or choose another --out"
            )


def _flatten(block: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in block.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _versions() -> dict[str, str]:
    return {
        "radarsparse": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": numpy.__version__,
    }
