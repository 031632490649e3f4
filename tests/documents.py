"""The commands that README, CONTRIBUTING, docs/, kernels/ and the helps of commands hold."""

import re
import shlex
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from radarsparse.cli import Command

ROOT = Path(__file__).parents[1]
FILES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("kernels/*.md")]),
]
NAMES = [file.stem for file in sorted((ROOT / "radarsparse/commands").glob("[!_]*.py"))]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(`+)([^`]+)\1")
OPTION = re.compile(r"\[(--[^\]]*)\]")
TOOL = re.compile(r"(?:\S*/)?tools/(\w+)\.py")
LAUNCHERS = ("", "python", ".venv/bin/python", "python -m")
TORCHRUN = ("torchrun", ".venv/bin/torchrun")

# What stands for a number, a name or a setting. What stands for a path is a path of `place`.
SENSORS = {"--radar NAME": "--radar ars548", "--lidar NAME": "--lidar hdl-64"}
FILLS = {
    **{"KEY=VALUE": "model.split_balance=0", "NAME=CLOUDS": "other=B"},
    **{"BOX": "0,-6,-2,12,6,2", "N": "3", "S": "0", "K": "2", "SEED": "0", "HOST": "localhost"},
    **{"LAYOUT": "astyx", "NAME": "train", "YAML": "astyx_vae", "my.yaml": "astyx_vae"},
}
FILLED = re.compile(rf"(?<![\w.-])({'|'.join(map(re.escape, FILLS))})(?!\w)")


class Call(NamedTuple):
    """A command of ours as a document calls it."""

    place: str
    launcher: tuple[str, ...]
    name: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.place, self.name, *self.words))


def command(name: str) -> Command:
    return import_module(f"radarsparse.commands.{name}").COMMAND


def fences(text: str) -> Iterator[tuple[int, str, str]]:
    """First line, language and text of every block between fences."""
    for found in FENCE.finditer(text):
        yield text[: found.start(2)].count("\n") + 1, found[1], found[2]


def prose(text: str) -> str:
    """The text with empty lines for blocks between fences."""
    return FENCE.sub(lambda found: "\n" * found[0].count("\n"), text)


def spans(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of every piece of code inside a paragraph."""
    first = 1
    for paragraph in prose(text).split("\n\n"):
        for found in SPAN.finditer(paragraph):
            line = first + paragraph[: found.start()].count("\n")
            yield line, " ".join(found[2].split())
        first += paragraph.count("\n") + 2


def joined_lines(first: int, text: str) -> Iterator[tuple[int, str]]:
    """Number and text of every line; lines that a backslash continues are one."""
    start, whole = first, ""
    for number, line in enumerate(text.splitlines(), first):
        whole += line.removesuffix("\\").strip() + " "
        if not line.endswith("\\"):
            yield start, whole.strip()
            start, whole = number + 1, ""


def code_lines() -> Iterator[tuple[str, str]]:
    """Place and text of all that may be a command."""
    for file in FILES:
        text, name = file.read_text(), file.relative_to(ROOT)
        for first, language, block in fences(text):
            for number, line in joined_lines(first, block) if language in ("", "bash") else ():
                yield f"{name}:{number}", line
        yield from ((f"{name}:{number}", span) for number, span in spans(text))
    for name in NAMES:
        for number, line in joined_lines(1, command(name).examples.strip()):
            yield f"{name} --help:{number}", line


def readings(text: str) -> list[str]:
    """A line with all options in brackets and with none, placeholders filled in."""
    for form, filled in SENSORS.items():
        text = text.replace(form, filled)
    text = FILLED.sub(lambda found: FILLS[found[1]], text)
    return list(dict.fromkeys((OPTION.sub(r"\1", text), OPTION.sub("", text))))


def find_call(place: str, words: Sequence[str]) -> Call | None:
    """The command of ours that words call, if they do."""
    for at, word in enumerate(words):
        launcher, tool = tuple(words[:at]), TOOL.fullmatch(word)
        if tool or word == "radarsparse":
            named = [tool[1]] if tool else words[at + 1 : at + 2]
            rest = words[at + 1 :] if tool else words[at + 2 :]
            known = " ".join(launcher) in LAUNCHERS or launcher[0] in TORCHRUN
            return Call(place, launcher, named[0], tuple(rest)) if known and named else None
    return None


def calls() -> Iterator[Call]:
    """Every command of ours, once for each way to read it."""
    for place, text in code_lines():
        for reading in readings(text) if "radarsparse" in text or "tools/" in text else ():
            call = find_call(place, shlex.split(reading, comments=True))
            if call:
                yield call
