"""What every command shares, through commands that do little, and the console command."""

import argparse
import errno
import hashlib
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from radarsparse import __version__
from radarsparse.cli import CONFIGS, Command, Parser, add_shared, config_path, parse, run
from radarsparse.config import load_config
from radarsparse.errors import InputError

ROOT = Path(__file__).parents[1]
NAMES = [file.stem for file in sorted((ROOT / "radarsparse/commands").glob("[!_]*.py"))]


def count(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--number", type=int, required=True, help="how far to count")
    parser.add_argument("--box")


def command(act) -> Command:
    return Command("count", "Count.", "radarsparse count --number 3", count, act)


def end(act, *words: str) -> object:
    """The status that a command leaves with."""
    with pytest.raises(SystemExit) as caught:
        run(command(act), words, "radarsparse count")
    return caught.value.code


def radarsparse(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "radarsparse", *map(str, words)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


def tell(arguments: argparse.Namespace) -> dict[str, object]:
    print("counting")
    return {"number": arguments.number, "shares": [0.5, float("nan")], "names": ("a",)}


def test_lines_for_a_person_are_on_stdout(capsys):
    assert end(tell, "--number", "3") == 0
    assert capsys.readouterr() == ("counting\n", "")


def test_json_is_all_of_stdout(capsys):
    assert end(tell, "--number", "3", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {"number": 3, "shares": [0.5, None], "names": ["a"]}
    assert out.count("\n") == 1
    assert err == "counting\n"


HOSTILE = """
import argparse
from radarsparse.cli import Command, run

def act(_):
    print("wrote q\\xff\\udcff\\x1b[2J \u00e9 \u96ea", end="\\n\\n")
    return {"name": "\\udcff\\x1b"}

run(Command("x", "X.", "x", lambda parser: None, act))
"""


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict"])
def test_names_that_are_no_text_do_no_harm_to_a_terminal(encoding):
    def lines(*words: str) -> list[str]:
        line, variables = [sys.executable, "-c", HOSTILE, *words], {"PYTHONIOENCODING": encoding}
        done = subprocess.run(line, capture_output=True, check=True, env=os.environ | variables)
        return [text.decode() for text in (done.stdout, done.stderr)]

    shown = r"wrote q\xff\udcff\x1b[2J \xe9 \u96ea"
    if encoding.startswith("utf-8"):
        shown = "wrote q\xff\\udcff\\x1b[2J \xe9 \u96ea"
    assert lines() == [shown + "\n\n", ""]
    assert lines("--json") == ['{"name": "\\udcff\\u001b"}\n', shown + "\n\n"]


def test_one_of_several_processes_answers(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert end(tell, "--number", "3", "--json") == 0
    assert capsys.readouterr().out == ""


def refuse(_: argparse.Namespace) -> dict[str, object]:
    raise InputError("x.npy: is empty")


def fill(_: argparse.Namespace) -> dict[str, object]:
    raise OSError(errno.ENOSPC, "No space left on device", "out/x.npy")


def test_a_mistake_is_one_line(capsys):
    assert end(refuse, "--number", "3") == 2
    assert capsys.readouterr() == ("", "error: x.npy: is empty\n")


def test_a_mistake_is_json_too(capsys):
    assert end(refuse, "--number", "3", "--json") == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": "x.npy: is empty"}
    assert err == "error: x.npy: is empty\n"


def test_verbose_shows_where_a_mistake_was_found(capsys):
    assert end(refuse, "--number", "3", "--verbose") == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "error: x.npy: is empty"


def test_a_disk_error_names_the_file(capsys):
    assert end(fill, "--number", "3") == 2
    assert capsys.readouterr().err == "error: out/x.npy: No space left on device\n"


def test_a_file_in_place_of_a_folder_is_named(capsys, tmp_path):
    (tmp_path / "file").write_text("mine")
    assert end(lambda _: (tmp_path / "file/new").mkdir(parents=True), "--number", "3") == 2
    assert capsys.readouterr().err == f"error: {tmp_path / 'file/new'}: Not a directory\n"


def test_a_fault_of_the_program_keeps_its_traceback():
    def divide(_: argparse.Namespace) -> dict[str, object]:
        return {"quotient": 1 / 0}

    with pytest.raises(ZeroDivisionError):
        run(command(divide), ["--number", "3"])


def test_an_interrupted_command_says_nothing(capsys):
    def interrupt(_: argparse.Namespace) -> dict[str, object]:
        raise KeyboardInterrupt

    assert end(interrupt, "--number", "3", "--json") == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "the following arguments are required: --number"),
        (("--number", "many"), "argument --number: invalid int value: 'many'"),
        (("--number", "3", "--letter"), "unrecognized arguments: --letter"),
    ],
)
def test_wrong_words_are_a_mistake_like_others(capsys, words, message):
    assert end(tell, *words, "--json") == 2
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": message}
    assert err.startswith("usage: radarsparse count")
    assert err.endswith(f"error: {message}\n")


def test_a_value_may_begin_with_a_minus():
    words = ["--number", "-3", "--box", "-1,-2,3", "--json"]
    found = parse(command(tell), words)
    assert (found.number, found.box, found.json) == (-3, "-1,-2,3", True)


def test_shared_options_count_before_and_after_the_name_of_a_part():
    def parts(parser: argparse.ArgumentParser) -> None:
        add_shared(parser.add_subparsers(parser_class=Parser).add_parser("part"))

    split = Command("split", "Split.", "", parts, tell)
    assert parse(split, ["--json", "part"]).json
    assert parse(split, ["part", "--json"]).json


@pytest.mark.parametrize("name", NAMES)
def test_a_command_explains_itself(capsys, name):
    module = import_module(f"radarsparse.commands.{name}")
    found = module.COMMAND
    # The console command lists the docstring.
    assert (found.name, found.about) == (name, module.__doc__)
    with pytest.raises(SystemExit):
        parse(found, ["--help"], f"radarsparse {name}")
    text = capsys.readouterr().out
    assert text.startswith(f"usage: radarsparse {name}")
    assert found.about.split()[0] in text
    examples = text[text.index("examples:\n") :].splitlines()[1:]
    assert examples
    assert all(f"radarsparse {name}" in line for line in examples)
    assert "--json" in text
    assert "--verbose" in text


@pytest.mark.parametrize("name", NAMES)
def test_a_command_is_a_tool_too(name):
    tool = (ROOT / f"tools/{name}.py").read_text()
    assert f"from radarsparse.commands.{name} import COMMAND" in tool
    assert "run(COMMAND)" in tool


def test_the_console_command_lists_all_commands_without_loading_them():
    code = (
        "import sys, radarsparse.__main__ as m\n"
        "sys.argv = ['radarsparse', '--help']\n"
        "try: m.main()\n"
        "finally: print('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    words = [sys.executable, "-c", code]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    assert result.stdout.endswith("False\n")
    assert [name for name in NAMES if f"    {name} " in result.stdout.replace("\n", " \n")] == NAMES


def test_the_console_command_says_its_version_and_that_of_the_weights():
    weights = (ROOT / "radarsparse/weights/model.safetensors").read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    expected = f"radarsparse {__version__}, weights SHA-256 {digest}\n"
    assert radarsparse("--version").stdout == expected


def test_an_unknown_command_is_answered_with_the_known_ones():
    result = radarsparse("paint", "--json")
    assert result.returncode == 2
    assert "invalid choice: 'paint'" in json.loads(result.stdout)["error"]
    assert "simulate" in result.stderr


def test_a_command_runs_from_any_folder_by_either_way(tmp_path):
    words = ("--out", "sim", "--frames", 3, "--seed", 0, "--json", "--dry-run")
    by_name = radarsparse("simulate", *words, cwd=tmp_path)
    tool = [sys.executable, str(ROOT / "tools/simulate.py"), *map(str, words)]
    by_file = subprocess.run(tool, cwd=tmp_path, capture_output=True, text=True, check=False)
    expected = {"folder": "sim", "frames": 3, "dry_run": True}
    assert json.loads(by_name.stdout) == json.loads(by_file.stdout) == expected
    assert by_name.stderr == by_file.stderr == ("would write 3 simulated frames (seed 0) at sim\n")


def test_a_config_is_a_file_or_the_name_of_one_that_ships(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_path("astyx_ect") == CONFIGS / "astyx_ect.yaml"
    # It extends others, which are found beside it.
    assert load_config(config_path("astyx_ect")).stage == "ect"
    Path("astyx_ect").write_text("mine")
    assert config_path("astyx_ect") == Path("astyx_ect")
    assert config_path("nowhere/astyx_vae") == Path("nowhere/astyx_vae")
    assert config_path("astyx_vae.yaml") == Path("astyx_vae.yaml")
    with pytest.raises(argparse.ArgumentTypeError, match=r"astyx_vea: .*astyx_vae"):
        config_path("astyx_vea")
