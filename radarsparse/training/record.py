"""The run folder: what was run, with what, and how it went."""

import json
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
import yaml

from radarsparse import __version__
from radarsparse.config import Config, config_to_yaml, read_yaml
from radarsparse.errors import InputError
from radarsparse.files import replacing

CONFIG_FILE = "config.yaml"


@dataclass(frozen=True)
class RunFolder:
    """A folder with `config.yaml`, `command.txt`, `versions.yaml`, `stats.jsonl`, checkpoint."""

    path: Path

    @staticmethod
    def claim(path: Path, config: Config) -> "RunFolder":
        """Make the folder, or take up the run that it already holds.

        Raises:
            InputError: the folder holds something else, or a run of another config.
        """
        check_claim(path, config)
        path.mkdir(parents=True, exist_ok=True)
        run = RunFolder(path)
        run._write(CONFIG_FILE, config_to_yaml(config))
        run._write("command.txt", " ".join(sys.argv) + "\n")
        run._write("versions.yaml", yaml.safe_dump(_versions()))
        return run

    def record(self, entry: dict[str, float]) -> None:
        """Append one line to `stats.jsonl`."""
        with (self.path / "stats.jsonl").open("a") as file:
            file.write(json.dumps(entry) + "\n")

    def truncate_records(self, samples: int) -> None:
        """Drop lines that lie after the checkpoint from which the run goes on."""
        file = self.path / "stats.jsonl"
        if not file.exists():
            return
        lines = file.read_text().splitlines()
        kept = [line for line in lines if json.loads(line)["samples"] <= samples]
        self._write(file.name, "".join(line + "\n" for line in kept))

    def _write(self, name: str, text: str) -> None:
        with replacing(self.path / name) as part:
            part.write_text(text)


def check_claim(path: Path, config: Config) -> None:
    """Refuse a folder that holds something else, or a run of another config.

    The length of the run may differ, a run can be made longer; so may the engine and the
    sampling, which weights don't depend on.

    Raises:
        InputError: names the folder and the first key that differs.
    """
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: exists and is no folder")
    if not path.exists() or not any(path.iterdir()):
        return
    if not (path / CONFIG_FILE).is_file():
        raise InputError(f"{path}: exists with other contents ({next(path.iterdir()).name})")
    before = _flatten(read_yaml(path / CONFIG_FILE))
    now = _flatten(config.model_dump(mode="json"))
    for key in sorted(before.keys() | now.keys()):
        free = key in ("engine", "train.samples") or key.startswith("sampling.")
        if not free and before.get(key) != now.get(key):
            raise InputError(
                f"{path}: holds a run of another config: {key} was {before.get(key)!r}, is now"
                f" {now.get(key)!r}; choose another --out"
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
