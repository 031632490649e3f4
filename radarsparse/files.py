"""Writing: a file that appears whole or not at all, and long work that goes on where it stopped."""

import json
import logging
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radarsparse.errors import InputError

_CLAIM_FILE = "made_with.json"

_log = logging.getLogger("radarsparse")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden path to write to, which takes the name `path` if the block ends without an error."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def to_json(content: Any, indent: int | None = None) -> str:
    """Nested mappings, sequences and numbers as strict JSON, NaN and infinity as null.

    Args:
        content: what is written.
        indent: spaces of each level; all on one line by default.
    """
    return json.dumps(_without_nan(content), indent=indent, allow_nan=False)


def _without_nan(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


@dataclass(frozen=True)
class Unfinished:
    """A folder `<out>.partial` in which results gather until all are there.

    Attributes:
        out: where the finished file or folder will stand.
        claim: what the results are made from and how, as plain JSON types; a folder of another
            claim is refused.
    """

    out: Path
    claim: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """What `finish` removes."""
        out = self.out.resolve()
        return out.with_name(out.name + ".partial")

    @property
    def results(self) -> Path:
        """The folder of the results, each of which must appear whole or not at all."""
        return self.folder / "results"

    @contextmanager
    def working(self) -> Iterator[None]:
        """A block that adds results; if it ends early, those that are done stay.

        Raises:
            InputError: the folder is of another claim or something else is in the way.
        """
        self._start()
        try:
            yield
        except BaseException:
            if any(self.results.iterdir()):
                _log.info(
                    "%s: keeps what is done; the same command goes on from there", self.folder
                )
            else:
                shutil.rmtree(self.folder)
            raise

    def finish(self, made: Path) -> None:
        """Move the finished file or folder to its place and remove the rest.

        Args:
            made: in `folder`.
        """
        if self.out.is_dir():
            self.out.rmdir()
        made.rename(self.out)
        shutil.rmtree(self.folder)

    def _start(self) -> None:
        claim_file = self.folder / _CLAIM_FILE
        if claim_file.is_file():
            self._compare(_read_claim(claim_file))
        elif self.folder.exists() and _holds_files(self.folder):
            raise InputError(f"{self.folder}: is in the way and no unfinished work; remove it")
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(claim_file) as part:
                part.write_text(json.dumps(self.claim, indent=1))
        self.results.mkdir(exist_ok=True)
        for path in self.results.glob(".*"):  # halves, left by a process that was killed
            path.unlink()

    def _compare(self, found: Mapping[str, Any]) -> None:
        keys = [key for key in {**found, **self.claim} if found.get(key) != self.claim.get(key)]
        if keys:
            begun = ", ".join(f"{key} {found.get(key)}" for key in keys)
            asked = ", ".join(f"{key} {self.claim.get(key)}" for key in keys)
            raise InputError(
                f"{self.folder}: was begun with {begun}; now it is {asked}; go on with the former,"
                " or remove the folder"
            )


def _holds_files(path: Path) -> bool:
    return path.is_file() or any(not each.name.startswith(".") for each in path.iterdir())


def _read_claim(path: Path) -> Mapping[str, Any]:
    try:
        claim = json.loads(path.read_text())
    except ValueError as error:
        raise InputError(f"{path}: is no JSON ({error}); remove its folder") from error
    return claim if isinstance(claim, dict) else {}
