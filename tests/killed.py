"""Work that is killed before each of its steps in turn and then called again: a program of its own.

`python -m tests.killed FOLDER KIND` prints how many steps there were; KIND says what stands at
`out` before (`nothing`, `folder`, `link`) or that a `file` is made.
"""

import os
import signal
import sys
from pathlib import Path

from radarsparse.errors import InputError
from radarsparse.files import Unfinished, replacing

STEPS = ("open", "os.", "shutil.", "fcntl.")
TEXTS = {"a": "1" * 5000, "deep/b": "2", "deep/c": "3"}


def assemble(results: Path) -> Path:
    """One file of all results, beside their folder."""
    made = results.with_name("made")
    with replacing(made) as part:
        part.write_text("".join((results / name).read_text() for name in TEXTS))
    return made


def work(out: Path, kind: str) -> None:
    """Add what is missing."""
    unfinished = Unfinished(out, {"seed": 0}, *([assemble] if kind == "file" else []))
    with unfinished.working() as results:
        for name, text in TEXTS.items():
            path = results / name
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                with replacing(path) as part:
                    part.write_text(text)


def call(out: Path, kind: str, steps: int | None) -> int:
    """Do the work in a process that is killed before a step; its status."""
    process = os.fork()
    if process == 0:
        if steps is not None:
            sys.addaudithook(_Killer(steps))
        try:
            work(out, kind)
        except InputError as error:
            print(error, file=sys.stderr)
            os._exit(2)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


class _Killer:
    def __init__(self, steps: int) -> None:
        self.left = steps

    def __call__(self, event: str, _: tuple[object, ...]) -> None:
        if event.startswith(STEPS):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def make_place(folder: Path, kind: str) -> Path:
    """What stands at `out` before."""
    out = folder / "out"
    folder.mkdir()
    if kind == "folder":
        out.mkdir()
    elif kind == "link":
        (folder / "elsewhere").mkdir()
        out.symlink_to("elsewhere")
    return out


def is_whole(out: Path, kind: str) -> bool:
    """Whether everything is there, and nothing else."""
    if kind == "file":
        return out.is_file() and out.read_text() == "".join(TEXTS.values())
    files = [path for path in out.rglob("*") if path.is_file()]
    return {str(path.relative_to(out)): path.read_text() for path in files} == TEXTS


def main(root: Path, kind: str) -> None:
    """Kill at every step, until there is none left."""
    steps = 0
    while True:
        steps += 1
        out = make_place(root / str(steps), kind)
        status = call(out, kind, steps)
        if status == 0:
            break
        # What is whole and has its name is refused as any folder that exists.
        expected = 2 if is_whole(out, kind) and not Unfinished(out, {}).is_begun else 0
        assert call(out, kind, None) == expected, f"step {steps}"
        assert is_whole(out, kind), f"step {steps}"
        left = {path.name for path in out.parent.iterdir()} - {"out", "elsewhere"}
        assert not left or (expected == 2 and left == {"out.partial"}), f"step {steps}: {left}"
    print(steps)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
