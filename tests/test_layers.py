"""Imports point down only: the layers of the package are the tuple below; none go in a circle."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A place may import itself and the rows before its own, never another place of its own row.
LAYERS = (
    ("config/", "errors.py", "files.py", "__init__.py"),
    ("geometry.py", "gpu/", "parallel.py"),
    ("scan.py", "sparse/", "diffusion/"),
    ("formats/", "metrics/"),
    ("voxels/", "simulator/", "datasets/"),
    ("models/",),
    ("enhancer.py",),
    ("training/",),
    ("viewer/",),
    ("evaluation/", "benchmark/"),
    ("cli.py",),
    ("commands/",),
    ("tools/", "__main__.py"),
)
LAYER_OF = {place: layer for layer, places in enumerate(LAYERS) for place in places}
LEAVES = ("errors.py", "__init__.py")  # imported by anyone, also within layer 0
# `from radarsparse import Enhancer`: found when it is asked for, so that layer 0 stays light.
LAZY = ("__init__.py", "enhancer.py")
NO_TORCH = LAYERS[0]


def place_of(root: Path, target: tuple[str, ...]) -> str | None:
    """The row entry that a dotted name belongs to; None outside the project."""
    if target[0] == "tools":
        return "tools/"
    if target[0] != "radarsparse":
        return None
    name = target[1] if len(target) > 1 else "__init__"
    if (root / "radarsparse" / name).is_dir():
        return f"{name}/"
    # `from radarsparse import __version__` names no module
    return f"{name}.py" if (root / "radarsparse" / f"{name}.py").is_file() else "__init__.py"


def imported_names(path: Path, root: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Line and absolute dotted name of everything that a file imports."""
    package = path.relative_to(root).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = tuple(node.module.split(".")) if node.module else ()
            for alias in node.names:
                yield node.lineno, (*base, *module, alias.name)


def faults_of_import(place: str, target: tuple[str, ...], root: Path) -> Iterator[str]:
    if target[0] == "torch" and place in NO_TORCH:
        yield "imports torch, which layer 0 must do without"
    other = place_of(root, target)
    if other is None or other == place or other in LEAVES or (place, other) == LAZY:
        return
    if other not in LAYER_OF:
        yield f"imports {other}, which belongs to no layer"
    elif LAYER_OF[other] >= LAYER_OF[place]:
        yield f"imports {other} (layer {LAYER_OF[other]}) from layer {LAYER_OF[place]}"


def faults(root: Path) -> list[str]:
    """Every breach of the layers under `radarsparse/` and `tools/`, as `file:line: what`."""
    found = []
    paths = [*root.glob("radarsparse/**/*.py"), *root.glob("tools/**/*.py")]
    for path in sorted(paths):
        name = path.relative_to(root)
        place = place_of(root, name.with_suffix("").parts)
        if place not in LAYER_OF:
            found.append(f"{name}:1: {place} belongs to no layer")
            continue
        for line, target in imported_names(path, root):
            found += [f"{name}:{line}: {fault}" for fault in faults_of_import(place, target, root)]
    return found


def test_imports_point_down_only() -> None:
    assert faults(ROOT) == []


def file_imports(root: Path) -> dict[str, set[str]]:
    """Files of the package that each of them imports, by dotted name."""
    paths = {
        ".".join(path.relative_to(root).with_suffix("").parts): path
        for path in root.glob("radarsparse/**/*.py")
    }
    return {
        name: {
            ".".join(part)
            for _, target in imported_names(path, root)
            # `from package import name` means a file of that name, if there is one
            for part in (target, target[:-1])
            if ".".join(part) in paths
        }
        for name, path in paths.items()
    }


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Files that import one another all the way round; none where there is no circle."""
    left = set(imports)

    def is_end(name: str) -> bool:
        imported = any(name in imports[other] for other in left)
        return not (imported and imports[name] & left)

    while ends := set(filter(is_end, left)):
        left -= ends
    return sorted(left)


def test_no_file_is_in_a_circle() -> None:
    assert circle(file_imports(ROOT)) == []


def test_a_circle_is_found(toy: Path) -> None:
    (toy / "radarsparse/sparse/tensor.py").write_text("from .engines.torch import run")
    found = circle(file_imports(toy))
    assert found == ["radarsparse.sparse.engines.torch", "radarsparse.sparse.tensor"]


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A package with one legal import of each kind."""
    legal = {
        "__init__.py": "from importlib.metadata import version",
        "errors.py": "",
        "config/__init__.py": "from radarsparse.errors import InputError",
        "geometry.py": "import torch\nfrom . import config, __version__",
        "sparse/tensor.py": "from ..geometry import Volume",
        "sparse/engines/torch.py": "import torch\nfrom radarsparse.sparse.tensor import T",
        "metrics/point.py": "from radarsparse import geometry",
        "formats/clouds.py": "",
        "diffusion/losses.py": "from .schedule import sigmas",
        "models/vae.py": "from ..sparse.engines import torch",
    }
    for name, text in legal.items():
        path = tmp_path / "radarsparse" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_legal_imports_pass(toy: Path) -> None:
    assert faults(toy) == []


@pytest.mark.parametrize(
    ("file", "line", "expected"),
    [
        ("geometry.py", "from radarsparse.models.vae import Vae", "imports models/"),
        ("geometry.py", "import radarsparse.models.vae", "imports models/"),
        ("geometry.py", "from radarsparse import models", "imports models/"),
        ("geometry.py", "from .models import vae", "imports models/"),
        ("geometry.py", "def late():\n    from . import models", "imports models/"),
        ("metrics/point.py", "from radarsparse.formats import clouds", "imports formats/"),
        ("diffusion/losses.py", "from ..sparse import tensor", "imports sparse/"),
        ("sparse/engines/torch.py", "from ...models import vae", "imports models/"),
        ("models/vae.py", "from tools.train import main", "imports tools/"),
        ("errors.py", "import radarsparse.config", "imports config/"),
        ("errors.py", "import torch", "imports torch"),
        ("config/__init__.py", "from torch.nn import Module", "imports torch"),
        ("stray.py", "", "stray.py belongs to no layer"),
        ("stray/deep.py", "", "stray/ belongs to no layer"),
    ],
)
def test_a_planted_fault_is_found(toy: Path, file: str, line: str, expected: str) -> None:
    path = toy / "radarsparse" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(line)
    found = faults(toy)
    assert len(found) == 1
    assert found[0].startswith(f"radarsparse/{file}:")
    assert expected in found[0]


def test_config_loads_without_torch() -> None:
    code = "import sys, radarsparse.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_enhancing_loads_nothing_of_training() -> None:
    code = (
        "import sys, radarsparse.commands.enhance, radarsparse.enhancer;"
        "sys.exit(any(name.startswith('radarsparse.training') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
