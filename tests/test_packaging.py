"""The package as others install it: the wheel, the import, the extras."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("pyproject.toml", "LICENSE", "README.md", "radarsparse", "kernels", "configs")
WHEEL_BYTES_MAX = 25e6
HEAVY = ("open3d", "tensorboard", "rosbags", "matplotlib", "torch.utils.tensorboard")


def python(
    code: str, cwd: Path = ROOT, words: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", code, *words]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, links and all, by what is installed here."""
    source = tmp_path_factory.mktemp("source")
    for name in PARTS:
        part = ROOT / name
        if part.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(part, source / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(part, source / name)
    built = python("from setuptools.build_meta import build_wheel; build_wheel('dist')", source)
    assert built.returncode == 0, built.stderr
    return next((source / "dist").glob("*.whl"))


def test_the_wheel_holds_all_that_the_package_folder_holds(wheel):
    here = {
        str(file.relative_to(ROOT))
        for folder in ("radarsparse", "radarsparse/kernels", "radarsparse/configs")
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    # Pages for readers of the kernels' sources.
    here -= {str(file.relative_to(ROOT)) for file in ROOT.glob("radarsparse/kernels/*.md")}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    unwanted = {name for name in names if not name.startswith("radarsparse/")}
    assert here - names == unwanted == set()
    assert {
        "radarsparse/py.typed",
        "radarsparse/kernels/nearest.cu",
        "radarsparse/configs/astyx_vae.yaml",
        "radarsparse/commands/train.py",
    } <= names


def test_the_wheel_is_small_and_needs_no_compiler(wheel):
    assert wheel.name.endswith("-py3-none-any.whl")
    assert wheel.stat().st_size < WHEEL_BYTES_MAX


def test_what_the_wheel_holds_works_on_its_own(wheel, tmp_path):
    installed, work = tmp_path / "installed", tmp_path / "work"
    work.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    code = (
        "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); import radarsparse.cli as cli;"
        "from radarsparse.config import load_config;"
        "print(cli.__file__, load_config(cli.config_path('demo_edm')).stage);"
        "runpy.run_module('radarsparse', run_name='__main__', alter_sys=True)"
    )
    words = ("simulate", "--out", "sim", "--frames", "3", "--seed", "0")
    result = python(code, work, [str(installed), *words])
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.splitlines()
    assert first == f"{installed / 'radarsparse/cli.py'} edm"
    assert second == "wrote 3 simulated frames (seed 0) at sim"


def loaded(statement: str) -> set[str]:
    """Which of the heavy packages a statement loads, torch among them."""
    code = f"{statement}\nimport sys; print(*sys.modules)"
    result = python(code)
    assert result.returncode == 0, result.stderr
    return {"torch", *HEAVY} & set(result.stdout.split())


def test_the_package_is_light_to_import():
    assert loaded("import radarsparse") == set()


def test_the_enhancer_is_at_hand_and_loads_what_it_needs_alone():
    assert loaded("from radarsparse import Enhancer; Enhancer.load") == {"torch"}


def test_other_names_are_missing_as_usual():
    result = python("import radarsparse; radarsparse.Enhanser")
    assert "AttributeError: module 'radarsparse' has no attribute 'Enhanser'" in result.stderr


def test_a_missing_extra_is_named():
    code = """
import sys
from pathlib import Path
for name in ("rosbags", "open3d", "spconv", "cuda"):
    sys.modules[name] = None
from radarsparse.formats.bags.recording import count_messages
from radarsparse.errors import InputError
from radarsparse.gpu.compiler import compile_kernels
from radarsparse.sparse import use_engine
from radarsparse.viewer.window import load_open3d
for use in (
    lambda: count_messages([Path("x.bag")], "/radar", ["sensor_msgs/msg/PointCloud"]),
    load_open3d,
    lambda: use_engine("spconv").__enter__(),
    lambda: compile_kernels("sm_0"),
):
    try:
        use()
    except InputError as error:
        print(error)
"""
    result = python(code)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 4
    for line, extra in zip(lines, ("ros", "view", "cu126", "cuda13"), strict=True):
        assert f"pip install 'radarsparse[{extra}]'" in line
