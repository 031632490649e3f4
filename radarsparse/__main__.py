"""The console command `radarsparse`: finds the command that is named, and runs it."""

import argparse
import ast
import sys
from collections.abc import Mapping
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import radarsparse
from radarsparse import commands
from radarsparse.cli import EXIT_INTERRUPTED, Command, run

EXAMPLES = """
radarsparse demo --out out/demo
radarsparse train --help
"""
PROGRAM = "radarsparse"


def main() -> NoReturn:
    """Run the command that the first word without a dash names, with all other words."""
    words = sys.argv[1:]
    name = next((word for word in words if not word.startswith("-")), None)
    if name not in _files():
        run(ALL, words or ["--help"], PROGRAM)
    words.remove(name)
    try:
        command = import_module(f"radarsparse.commands.{name}").COMMAND
    except KeyboardInterrupt:  # importing takes seconds
        sys.exit(EXIT_INTERRUPTED)
    run(command, words, f"{PROGRAM} {name}")


def _files() -> dict[str, Path]:
    """The file of each command."""
    folder = Path(next(iter(commands.__path__)))
    return {file.stem: file for file in sorted(folder.glob("[!_]*.py"))}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    weights = Path(next(iter(radarsparse.__path__))) / "weights" / "model.safetensors"
    digest = sha256(weights.read_bytes()).hexdigest()
    version = f"{PROGRAM} {radarsparse.__version__}, weights SHA-256 {digest}"
    parser.add_argument("--version", action="version", version=version)
    named = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, file in _files().items():
        # Read, since importing all of them would take seconds.
        about = ast.get_docstring(ast.parse(file.read_text("utf-8")))
        named.add_parser(name, help=about, add_help=False)


def _act(_: argparse.Namespace) -> Mapping[str, Any]:
    return {}


ALL = Command(PROGRAM, radarsparse.__doc__ or "", EXAMPLES, _add_arguments, _act)

if __name__ == "__main__":
    main()
