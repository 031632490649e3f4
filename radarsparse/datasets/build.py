"""Build a folder of prepared frames from a source, going on where an earlier build stopped."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from radarsparse.config import read_yaml
from radarsparse.errors import InputError
from radarsparse.formats.prepared import (
    CARD_FILE,
    FRAMES_FOLDER,
    DatasetCard,
    Split,
    frame_names,
    holds_card,
    write_dataset_card,
    write_frame,
    write_split,
    write_yaml,
)
from radarsparse.scan import ScanPair

SKIPPED_FILE = "skipped.yaml"


class Unusable(NamedTuple):
    """A frame that can't be made.

    Attributes:
        name: of the frame.
        reason: names the file and what is wrong with it.
    """

    name: str
    reason: str


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
    """

    target: Path
    source: Source
    skip_unusable: bool = False

    @property
    def partial(self) -> Path:
        """Where the folder is built before it is renamed."""
        resolved = self.target.resolve()
        return resolved.with_name(resolved.name + ".partial")

    def is_built(self) -> bool:
        """Whether the target already holds exactly this.

        Raises:
            InputError: the target holds something else.
        """
        if not self.target.exists():
            return False
        if not self.target.is_dir():
            raise InputError(f"{self.target}: is a file; a new or empty folder is needed")
        if not any(self.target.iterdir()):
            return False
        if not (holds_card(self.target, self.source.card) and self._is_complete()):
            raise InputError(
                f"{self.target}: exists with other contents; remove it or name a new folder"
            )
        return True

    def _is_complete(self) -> bool:
        return {*frame_names(self.target), *read_skipped(self.target)} == set(self.source.names)


def read_each(
    make: Callable[[str], ScanPair], names: Sequence[str]
) -> Iterator[ScanPair | Unusable]:
    """Frames that are made one by one, each from files of its own.

    Args:
        make: gives the frame of a name; raises `InputError` where it can't.
        names: of the frames.
    """
    return (_try(make, name) for name in names)


def _try(make: Callable[[str], ScanPair], name: str) -> ScanPair | Unusable:
    try:
        return make(name)
    except InputError as error:
        return Unusable(name, str(error))


def read_skipped(folder: Path) -> dict[str, str]:
    """Names of the frames that were left out of a folder, and why.

    Raises:
        InputError: the list can't be read.
    """
    path = folder / SKIPPED_FILE
    return dict(read_yaml(path)) if path.is_file() else {}


def build_prepared(plan: PreparedPlan) -> dict[str, str]:
    """Build the planned folder beside its target, resuming an interrupted build, and rename it.

    Args:
        plan: what to build.

    Returns:
        Names of the frames that were left out, and why.

    Raises:
        InputError: a frame can't be made, or a folder or file can't be written.
    """
    try:
        _start_partial(plan)
        _add_frames(plan)
        skipped = read_skipped(plan.partial)
        if len(skipped) == len(plan.source.names):
            raise InputError(f"{plan.target}: none of {len(skipped)} frames is usable")
        plan.partial.replace(plan.target)
    except OSError as error:
        raise InputError(f"{plan.target}: can't be written ({error})") from error
    return skipped


def _add_frames(plan: PreparedPlan) -> None:
    skipped, names = read_skipped(plan.partial), plan.source.names
    present = {*frame_names(plan.partial), *skipped}
    missing = [name for name in names if name not in present]
    done, title = len(names) - len(missing), plan.target.name
    with tqdm(total=len(names), initial=done, desc=title, unit="frame", disable=None) as bar:
        for frame in plan.source.read(missing):
            if isinstance(frame, ScanPair):
                write_frame(plan.partial, frame)
            elif plan.skip_unusable:
                skipped[frame.name] = frame.reason
                write_yaml(plan.partial / SKIPPED_FILE, skipped)
            else:
                raise InputError(f"{frame.reason}; --skip-unusable leaves such frames out")
            bar.update()


def _start_partial(plan: PreparedPlan) -> None:
    """Empty what an interrupted run of another plan left, so that no foreign frame is kept."""
    partial, source = plan.partial, plan.source
    if partial.exists() and not holds_card(partial, source.card):
        if any(partial.iterdir()) and not (partial / CARD_FILE).is_file():
            raise InputError(f"{partial}: is in the way and no interrupted build; remove it")
        shutil.rmtree(partial)
    (partial / FRAMES_FOLDER).mkdir(parents=True, exist_ok=True)
    write_dataset_card(partial, source.card)
    write_split(partial, source.split)
