"""Writing: what appears whole or not at all, and long work that goes on where it stopped."""

import errno
import fcntl
import json
import logging
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from radarsparse.errors import InputError

_CLAIM_FILE, _LOCK_FILE = "made_with.json", ".lock"
_PROBE_BYTES = 2**16

_log = logging.getLogger("radarsparse")


def count_of(count: int, noun: str) -> str:
    """A number of things in words, such as `1 frame` and `2 frames`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


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


def check_file(path: Path) -> None:
    """Make sure, before long work, that `replacing` will be able to write a file.

    Raises:
        InputError: its folder is missing or closed, its name is too long or that of something else.
    """
    with _naming(path):
        part = _part_of(path)
        if path.is_dir():
            raise InputError(f"{path}: is a folder, a file expected")
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is no file that could be replaced")
        part.touch()
        part.unlink()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden path to write to, which takes the name `path` if the block ends without an error.

    Raises:
        InputError: its folder is missing, or the file can't be written, as when the disk is full.
    """
    part = _part_of(path)
    try:
        yield part
        part.replace(path)
    except InputError:
        raise
    except Exception as error:
        if reason := _why_unwritten(part, error):
            raise InputError(f"{path}: can't be written ({reason})") from error
        raise
    finally:
        with suppress(OSError):
            part.unlink()


def _part_of(path: Path) -> Path:
    if not path.parent.is_dir():
        raise InputError(f"{path}: no such folder: {path.parent}")
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def is_left_over(path: Path, *names: str) -> bool:
    """Whether a process that was killed left it: an empty lock, or a file that was half written.

    Args:
        path: any.
        names: of the files that it was going to write; any name if none is given.
    """
    if path.is_symlink() or not path.is_file():
        return False
    if path.name == _LOCK_FILE:
        return path.stat().st_size == 0
    half = re.fullmatch(r"\.(.+)\.\d+\.part", path.name, re.DOTALL)
    return half is not None and (not names or half[1] in names)


def _why_unwritten(part: Path, error: Exception) -> str | None:
    """What the system said against a file; None where something else went wrong."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename in (None, str(part), part) else None
    # Libraries swallow the reason; who writes some more is told again.
    try:
        with part.open("ab") as stream:
            stream.write(bytes(_PROBE_BYTES))
    except OSError as found:
        return found.strerror
    return None


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: can't be written ({reason})") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A block in which no other process gets the lock of a folder; it ends with the process.

    Args:
        folder: that exists; holds the file `.lock` meanwhile.

    Raises:
        InputError: another process has the lock, or a file of another program has its name.
    """
    path = folder / _LOCK_FILE
    with ExitStack() as stack:
        with _naming(folder):
            stream = stack.enter_context(path.open("ab"))
            if os.fstat(stream.fileno()).st_size:
                raise InputError(f"{path}: is another program's, a lock is empty; move it away")
            if _is_taken(stream.fileno()):
                raise InputError(f"{folder}: another process is writing there")
        try:
            yield
        finally:
            # Else it went with its folder, and what stands there is another's.
            if os.fstat(stream.fileno()).st_nlink:
                path.unlink()


def _is_taken(file: int) -> bool:
    try:
        # Not `flock`, whose locks children inherit and keep when their parent was killed.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Otherwise a file system that knows no locks.
        return error.errno in (errno.EAGAIN, errno.EACCES)
    return os.fstat(file).st_nlink == 0  # removed by the process that had it until just now


@dataclass(frozen=True)
class Unfinished:
    """A folder in which results gather until all are there: what is made appears whole.

    It stands beside `out` and is called `<out>.partial`; in an empty folder that exists already,
    which may be a mount or a link, it is `.partial`. It goes away with the last result.

    Attributes:
        out: where the finished file or folder will stand.
        claim: what the results are made from and how, as plain JSON types; a folder of another
            claim is refused.
        assemble: makes the file that will stand at `out` from the folder of results, beside it or
            in a folder of its own there; without it, the folder itself will stand there.
    """

    out: Path
    claim: Mapping[str, Any]
    assemble: Callable[[Path], Path] | None = None

    @cached_property
    def folder(self) -> Path:
        """Holds the results and what they are made with."""
        beside = Path(f"{self._place}.partial")
        if self.assemble or beside.exists() or not self._place.is_dir():
            return beside
        return self._place / ".partial"

    @property
    def is_begun(self) -> bool:
        """Whether an earlier call left work."""
        return (self.folder / _CLAIM_FILE).is_file()

    @property
    def _place(self) -> Path:
        return Path(os.path.realpath(self.out))

    def check(self) -> None:
        """Make sure that the work can begin or go on; nothing is written.

        Raises:
            InputError: something else is in the way, or unfinished work of another claim.
        """
        with _naming(self.out):
            with suppress(FileNotFoundError):
                self.out.stat()  # else a link to itself would count as missing
            claim, moved = self._read_claim()
            if claim is not None:
                self._compare(claim)
            elif _is_of_others(self.folder):
                raise InputError(
                    f"{self.folder}: is in the way and no unfinished work of this command;"
                    " move it elsewhere"
                )
            if not moved and not self._is_free():
                raise InputError(f"{self.out}: exists with other contents; choose another name")

    def _is_free(self) -> bool:
        if self.assemble or not self.out.is_dir():
            return not self.out.exists()
        return all(each == self.folder for each in self._place.iterdir())

    def _read_claim(self) -> tuple[Mapping[str, Any] | None, bool]:
        """The claim of an earlier call, and whether its results are done and on their way."""
        if not self.is_begun or self.folder.is_symlink():
            return None, False
        path = self.folder / _CLAIM_FILE
        try:
            found = json.loads(path.read_text())
            return dict(found["claim"]), bool(found["moved"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"{path}: can't be read by this version; remove its folder") from error

    def _write_claim(self, moved: bool) -> None:
        with replacing(self.folder / _CLAIM_FILE) as part:
            part.write_text(json.dumps({"moved": moved, "claim": self.claim}, indent=1))

    def _compare(self, found: Mapping[str, Any]) -> None:
        claim = json.loads(json.dumps(self.claim))
        keys = [key for key in {**found, **claim} if found.get(key) != claim.get(key)]
        if keys:
            begun, asked = (
                ", ".join(f"{key} {each.get(key)}" for key in keys) for each in (found, claim)
            )
            raise InputError(
                f"{self.folder}: was begun with {begun}; now it is {asked}; go on with the former,"
                " or remove the folder"
            )

    @contextmanager
    def working(self) -> Iterator[Path]:
        """A block that adds what its folder of results lacks, each file whole or not at all.

        If it ends without an error, `out` appears; otherwise, what is done stays.

        Yields:
            The folder of results.

        Raises:
            InputError: see `check`; the folder can't be made, or another process is writing there.
        """
        self.check()
        with _naming(self.out):
            self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder):
            self.check()
            results = self._take_up()
            try:
                yield results
                self._finish(results)
            except BaseException:
                if results.is_dir() and not any(results.iterdir()):
                    self._remove()
                else:
                    text = "%s: keeps what is done; the same command goes on from there"
                    _log.info(text, self.folder)
                raise

    def _take_up(self) -> Path:
        results, (_, moved) = self.folder / "results", self._read_claim()
        with _naming(self.folder):
            if moved and self._place.is_dir():
                # An earlier call was stopped while it moved its results.
                if results.exists():
                    self._move(results)
                return self._place
            self._write_claim(moved)
            results.mkdir(exist_ok=True)
            for half in filter(is_left_over, results.rglob(".*.part")):
                half.unlink()
        return results

    def _finish(self, results: Path) -> None:
        with _naming(self.out):
            made = self.assemble(results) if self.assemble else results
            self._write_claim(moved=True)
            if made != self._place:
                self._move(made)
            if self.assemble:
                shutil.rmtree(results)
            self._remove()

    def _move(self, made: Path) -> None:
        if self.folder.parent != self._place:
            made.rename(self._place)
            return
        for each in list(made.iterdir()):
            each.rename(self._place / each.name)

    def _remove(self) -> None:
        """The claim at last, so that the same command can go on from here, too."""
        claim_file, lock_file = self.folder / _CLAIM_FILE, self.folder / _LOCK_FILE
        for path in set(self.folder.iterdir()) - {lock_file}:
            if is_left_over(path):
                path.unlink()
            elif path.is_dir():
                with suppress(OSError):
                    path.rmdir()  # if nothing is in it
        if set(self.folder.iterdir()) - {claim_file, lock_file}:
            _log.info("%s: holds other files, which stay there", self.folder)
            claim_file.unlink()
            return
        lock_file.unlink()
        claim_file.unlink()
        self.folder.rmdir()


def _is_of_others(path: Path) -> bool:
    """Whether it holds more than what a call leaves that is killed before it wrote its claim."""
    if path.is_symlink() or path.is_file():
        return True
    return path.exists() and not all(is_left_over(each, _CLAIM_FILE) for each in path.iterdir())
