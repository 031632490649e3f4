"""What every command shares: its form, `--json` and `--verbose`, and errors as exit statuses."""

import argparse
import io
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from radarsparse.errors import EXIT_INPUT_ERROR, InputError, printable
from radarsparse.files import to_json

if TYPE_CHECKING:
    from radarsparse.formats.columns import Fields

# Read when torch is loaded, after this module: its profiler, which measures memory on the CPU,
# would write lines of its own to stderr.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")


EXIT_INTERRUPTED = 130

# A link to configs/, so that they are found in a checkout and in a wheel alike.
CONFIGS = Path(__file__).parent / "configs"
CONFIG_HELP = "YAML file of settings, or the name of one that ships, such as astyx_vae"


@dataclass(frozen=True)
class Command:
    """A command that is typed in a shell.

    Attributes:
        name: the word after `radarsparse`.
        about: what it does, in one sentence.
        examples: commands as they are typed, one per line.
        add_arguments: adds its arguments to a parser.
        act: does the work and prints lines for a person; returns the result as plain JSON types.
    """

    name: str
    about: str
    examples: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    act: Callable[[argparse.Namespace], Mapping[str, Any]]


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are `InputError`s and whose help ends with examples.

    Args:
        examples: commands as they are typed, one per line.
        options: of `argparse.ArgumentParser`.
    """

    def __init__(self, *, examples: str = "", **options: Any) -> None:
        if examples:
            lines = (f"  {line}" for line in examples.strip().splitlines())
            options["epilog"] = "\n".join(("examples:", *lines))
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        """Say how the command is used, then what is wrong."""
        self.print_usage(sys.stderr)
        raise InputError(message)


def add_shared(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes; a command with sub-parsers adds it to each of these, too."""
    # Without a default, since that of a sub-parser would hide what stood before its name.
    add = partial(parser.add_argument, action="store_true", default=argparse.SUPPRESS)
    add("--json", help="the result as one JSON object on stdout, all else on stderr")
    add("--verbose", help="a traceback of an error, too")


def add_fields(parser: argparse.ArgumentParser) -> None:
    """Add what the columns are, and the numbers of files that don't say it themselves."""
    text = (
        "names of x, y, z, Doppler and power in radar clouds (default: by their usual names); of"
        " all columns in order for .bin and .npy (default: these five)"
    )
    parser.add_argument("--fields", metavar="NAME,NAME,...", help=text)
    text = "numbers of .bin files of radar clouds (default: float32)"
    parser.add_argument("--bin-type", choices=("float32", "float64"), help=text)


def add_lidar(parser: argparse.ArgumentParser) -> None:
    """Add which LiDAR the clouds of weights shall look like."""
    text = (
        "LiDAR that is imitated: vlp16, hdl64, os1-128, or a YAML file with rings_deg and, where it"
        " isn't that of the weights, its mount (default: that of the weights)"
    )
    parser.add_argument("--lidar", metavar="NAME", help=text)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add how many processes make frames."""
    text = "processes that make frames side by side (default: 1); the frames are the same"
    parser.add_argument("--workers", type=int, default=1, metavar="N", help=text)


def read_fields(arguments: argparse.Namespace) -> "Fields":
    """What was said of them.

    Raises:
        InputError: a name is empty.
    """
    # Here, since NumPy takes time that help and complaints don't need.
    from radarsparse.formats.columns import Fields  # noqa: PLC0415

    said = Fields() if arguments.fields is None else Fields.parse(arguments.fields)
    return replace(said, bin_type=arguments.bin_type or said.bin_type)


def parse(command: Command, words: Sequence[str], program: str | None = None) -> argparse.Namespace:
    """Read the words that follow a command's name.

    Args:
        command: whose.
        words: as the shell gives them.
        program: what the help calls the command (default: the name of the script).

    Raises:
        InputError: a word is unknown or missing, or a value has another type.
    """
    parser = Parser(prog=program, description=command.about, examples=command.examples)
    command.add_arguments(parser)
    add_shared(parser)
    return parser.parse_args(join_negative(words))


def run(
    command: Command, words: Sequence[str] | None = None, program: str | None = None
) -> NoReturn:
    """Run a command and leave the process with its exit status.

    Args:
        command: what to run.
        words: what follows its name (default: those of this process).
        program: what its help calls it (default: the name of the script).
    """
    words = sys.argv[1:] if words is None else words
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_Lines())
    logging.basicConfig(handlers=[lines])
    logging.getLogger("radarsparse").setLevel(logging.INFO)
    flags = _read_shared(words)
    try:
        with redirect_stdout(_Escaping(sys.stderr if flags.json else sys.stdout)):
            result = command.act(parse(command, words, program))
        _answer(flags.json, result)
    except (InputError, OSError) as error:
        if flags.verbose:
            traceback.print_exc()
        message = describe_error(error)
        print(f"error: {message}", file=sys.stderr)
        with suppress(OSError):
            _answer(flags.json, {"error": message})
        sys.exit(EXIT_INPUT_ERROR)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0)


def describe_error(error: InputError | OSError) -> str:
    """One line that names what can't be used and why."""
    if not isinstance(error, OSError):
        return str(error)
    reason = error.strerror or str(error) or type(error).__name__
    return printable(f"{error.filename}: {reason}" if error.filename is not None else reason)


class _Lines(logging.Formatter):
    """Messages alone, in one line each."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(record.getMessage())


class _Escaping(io.TextIOBase):
    """A stream for lines, in which names of files can't hide commands to a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        shown = "\n".join(map(printable, text.split("\n")))
        code = self._stream.encoding or "utf-8"
        return self._stream.write(shown.encode(code, "backslashreplace").decode(code))

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()


def config_path(text: str) -> Path:
    """The config that a word names: a file, or else one that ships, by its bare name.

    Args:
        text: a path, or a name without folder and ending.

    Raises:
        argparse.ArgumentTypeError: a bare name is neither.
    """
    path, shipped = Path(text), CONFIGS / f"{text}.yaml"
    if path.exists() or path.name != text or path.suffix:
        return path
    if not shipped.is_file():
        names = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.yaml")))
        raise argparse.ArgumentTypeError(f"{text}: no such file, nor a config that ships ({names})")
    return shipped


def join_negative(words: Sequence[str]) -> list[str]:
    """Make `--crop -1,...` one word, since argparse takes what starts with a dash for an option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1].startswith("--") and re.match(r"-\.?\d", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _read_shared(words: Sequence[str]) -> argparse.Namespace:
    """The shared options alone, which are needed also where the other words are wrong."""
    parser = argparse.ArgumentParser(add_help=False)
    add_shared(parser)
    found = argparse.Namespace(json=False, verbose=False)
    return parser.parse_known_args(words, found)[0]


def _answer(wanted: bool, result: Mapping[str, Any]) -> None:
    # Of the processes that torchrun starts, one speaks.
    if wanted and os.environ.get("RANK", "0") == "0":
        print(to_json(result), flush=True)
