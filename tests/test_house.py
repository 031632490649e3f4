"""House rules that no linter knows: short functions, short files, one version."""

import ast
import re
from pathlib import Path

import radarsparse

ROOT = Path(__file__).parents[1]
FUNCTION_LINES = 50
FILE_LINES = 400
TOOL_LINES = 120


def long_functions(source: str) -> list[str]:
    """Functions of more than `FUNCTION_LINES` lines, as `line: name (lines)`."""
    functions = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = {node: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    return [
        f"{node.lineno}: {node.name} ({length} lines)"
        for node, length in lengths.items()
        if length > FUNCTION_LINES
    ]


def sources() -> dict[str, str]:
    """Text of every Python file of the package and the tools, by path."""
    paths = sorted([*ROOT.glob("radarsparse/**/*.py"), *ROOT.glob("tools/**/*.py")])
    return {str(path.relative_to(ROOT)): path.read_text() for path in paths}


def test_functions_are_short() -> None:
    assert [
        f"{name}:{fault}" for name, text in sources().items() for fault in long_functions(text)
    ] == []


def test_files_are_short() -> None:
    lengths = {name: len(text.splitlines()) for name, text in sources().items()}
    limits = {name: TOOL_LINES if name.startswith("tools/") else FILE_LINES for name in lengths}
    assert {name: length for name, length in lengths.items() if length > limits[name]} == {}


def test_a_long_function_is_found() -> None:
    body = "    pass\n" * FUNCTION_LINES
    assert long_functions(f"def fits():\n{body[:-9]}") == []
    assert long_functions(f"class A:\n  def long(self):\n{body}") == ["2: long (51 lines)"]


def test_versions_agree() -> None:
    for file, line in (
        ("pyproject.toml", '^version = "(.+)"$'),
        ("CITATION.cff", "^version: (.+)$"),
    ):
        found = re.findall(line, (ROOT / file).read_text(), re.MULTILINE)
        assert found == [radarsparse.__version__], file
    assert f"## [{radarsparse.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
