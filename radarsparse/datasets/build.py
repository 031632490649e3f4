"""Build a folder of prepared frames from a source, going on where an earlier build stopped."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from radarsparse.config import check_whole, read_yaml
from radarsparse.errors import InputError
from radarsparse.files import Unfinished, count_of
from radarsparse.formats.prepared import (
    DatasetCard,
    Split,
    frame_names,
    holds_card,
    write_dataset_card,
    write_frame,
    write_split,
    write_yaml,
)
from radarsparse.parallel import in_processes
from radarsparse.scan import ScanPair

SKIPPED_FILE = "skipped.yaml"
WORKERS_MAX = 1024


class Unusable(NamedTuple):
    """A frame that can't be made; the reason names the file and what is wrong with it."""

    name: str
    reason: str


@dataclass(frozen=True)
class EachFrame:
    """Frames that are made one by one, each from files of its own, by any process.

    Attributes:
        make: gives the frame of a name; raises `InputError` where it can't.
    """

    make: Callable[[str], ScanPair]

    def __call__(self, names: Sequence[str]) -> Iterator[ScanPair | Unusable]:
        """The frames of some names, in their order."""
        return map(self.make_or_say, names)

    def make_or_say(self, name: str) -> ScanPair | Unusable:
        """The frame of a name, or why there is none."""
        try:
            return self.make(name)
        except InputError as error:
            return Unusable(name, str(error))


@dataclass(frozen=True)
class Source:
    """A data set in its own layout.

    Attributes:
        card: its `dataset.yaml`.
        split: its `split.yaml`, ranges over the numbers that `names` are.
        names: its frames, ascending, six digits each.
        read: gives the frames of some of the names, in their order, one by one.
    """

    card: DatasetCard
    split: Split
    names: tuple[str, ...]
    read: Callable[[Sequence[str]], Iterable[ScanPair | Unusable]]


@dataclass(frozen=True)
class PreparedPlan:
    """A folder of prepared frames that is to be built.

    Attributes:
        target: where the finished folder will stand.
        source: what it is made from.
        skip_unusable: leave out frames that can't be made, and say which; otherwise the first of
            them ends the build.
        root: where the source lies, if it is a folder.
        workers: processes that make frames side by side; 1 for this one.
    """

    target: Path
    source: Source
    skip_unusable: bool = False
    root: Path | None = None
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuse workers that can't be had.

        Raises:
            InputError: there is less than one, or several for frames that come one after another.
        """
        check_whole("--workers", self.workers, 1, WORKERS_MAX)
        if self.workers > 1 and not isinstance(self.source.read, EachFrame):
            raise InputError(
                f"--workers {self.workers}: must be 1 for {self.source.card.name}, whose bags are"
                " read from start to end"
            )

    @property
    def unfinished(self) -> Unfinished:
        """The folder that is built before it stands at the target."""
        card, names = self.source.card, self.source.names
        digest = hashlib.sha256(" ".join(names).encode()).hexdigest()[:8]
        frames = f"{len(names)} ({names[0]} .. {names[-1]}, {digest})" if names else "0"
        source = {"source": str(self.root.resolve())} if self.root else {}
        claim = {"data_set": card.name, **source, **card.provenance, "frames": frames}
        return Unfinished(self.target, claim)

    def is_built(self) -> bool:
        """Whether the target already holds exactly this.

        Raises:
            InputError: the target holds something else, or another build isn't finished.
        """
        unfinished = self.unfinished
        if not unfinished.is_begun and holds_card(self.target, self.source.card):
            found = {*frame_names(self.target), *read_skipped(self.target)}
            if found == set(self.source.names):
                return True
        unfinished.check()
        return False


def read_skipped(folder: Path) -> dict[str, str]:
    """Names of the frames that were left out of a folder, and why.

    Raises:
        InputError: the list can't be read.
    """
    path = folder / SKIPPED_FILE
    # Written here, with a line for every frame: it may be longer than what people write.
    return dict(read_yaml(path, 2 * path.stat().st_size)) if path.is_file() else {}


def build_prepared(plan: PreparedPlan) -> dict[str, str]:
    """Build the planned folder; a build that was stopped goes on.

    Args:
        plan: what to build.

    Returns:
        Names of the frames that were left out, and why.

    Raises:
        InputError: a frame can't be made, or a folder or file can't be written.
    """
    with plan.unfinished.working() as folder:
        skipped = _add_frames(plan, folder)
        if len(skipped) == len(plan.source.names):
            raise InputError(f"{plan.target}: none of {count_of(len(skipped), 'frame')} is usable")
        if skipped:
            write_yaml(folder / SKIPPED_FILE, skipped)
        write_split(folder, plan.source.split)
        write_dataset_card(folder, plan.source.card)
    return skipped


def _add_frames(plan: PreparedPlan, folder: Path) -> dict[str, str]:
    names, present = plan.source.names, set(frame_names(folder))
    missing, skipped = [name for name in names if name not in present], {}
    done, title = len(names) - len(missing), plan.target.name
    with (
        tqdm(total=len(names), initial=done, desc=title, unit="frame", disable=None) as bar,
        _added(plan, folder, missing) as frames,
    ):
        for unusable in frames:
            if unusable and not plan.skip_unusable:
                raise InputError(f"{unusable.reason}; --skip-unusable leaves such frames out")
            if unusable:
                skipped[unusable.name] = unusable.reason
            bar.update()
    return skipped


@contextmanager
def _added(
    plan: PreparedPlan, folder: Path, names: Sequence[str]
) -> Iterator[Iterator[Unusable | None]]:
    """A block in which frames are made and written; yields what of each can't be made."""
    read = plan.source.read
    if plan.workers > 1 and isinstance(read, EachFrame):
        with in_processes(partial(_add_frame, folder, read), names, plan.workers) as frames:
            yield frames
    else:
        yield (_write_usable(folder, frame) for frame in read(names))


def _add_frame(folder: Path, read: EachFrame, name: str) -> Unusable | None:
    return _write_usable(folder, read.make_or_say(name))


def _write_usable(folder: Path, frame: ScanPair | Unusable) -> Unusable | None:
    if isinstance(frame, Unusable):
        return frame
    write_frame(folder, frame)
    return None
