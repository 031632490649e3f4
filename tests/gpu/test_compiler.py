"""What a machine without a GPU can tell about compiling and keeping the kernels."""

import logging
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from radarsparse.errors import InputError
from radarsparse.gpu.compiler import compile_kernels
from radarsparse.gpu.signatures import SOURCES, UNITS
from tests.kernels.emulator import compile_emulator
from tests.processes import environment

ROOT = Path(__file__).parents[2]
ARCHITECTURES = ("sm_80", "sm_86", "sm_89", "sm_90")
KERNELS = tuple(
    name.encode()
    for unit in UNITS
    for name in re.findall(
        r'extern "C" __global__[^(]*\([^)]*\)\s*(\w+)\(', (SOURCES / unit).read_text()
    )
)
needs_nvrtc = pytest.mark.skipif(
    find_spec("cuda") is None or find_spec("cuda.core") is None,
    reason="cuda-core isn't installed; it comes with the extras cuda12 and cuda13",
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "radarsparse" / "kernels"


@needs_nvrtc
def test_nvrtc_compiles_every_kernel_once(cache: Path) -> None:
    cubins = {architecture: compile_kernels(architecture) for architecture in ARCHITECTURES}
    for cubin in cubins.values():
        assert cubin.startswith(b"\x7fELF")
        assert all(name in cubin for name in KERNELS)
    kept = {path: path.read_bytes() for path in cache.iterdir()}
    assert {content[32:] for content in kept.values()} == set(cubins.values())
    assert len(kept) == len(ARCHITECTURES)
    (path,) = (path for path, content in kept.items() if content[32:] == cubins["sm_90"])
    stamp = path.stat().st_mtime_ns
    assert compile_kernels("sm_90") == cubins["sm_90"]
    assert path.stat().st_mtime_ns == stamp, "it was compiled again"
    for damaged in (kept[path][:-1] + b"?", kept[path][:1000], cubins["sm_90"], b""):
        path.write_bytes(damaged)
        assert compile_kernels("sm_90") == cubins["sm_90"]
        assert path.read_bytes() == kept[path]


@needs_nvrtc
def test_a_cache_that_cannot_be_written_is_said(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.write_text("a file in the folder's place")
    with caplog.at_level(logging.WARNING):
        assert compile_kernels("sm_90").startswith(b"\x7fELF")
    assert str(cache) in caplog.text


@needs_nvrtc
@pytest.mark.skipif(torch.cuda.is_available(), reason="the real driver is tested in test_gpu.py")
def test_kernels_are_launched_as_the_driver_expects(cache: Path, tmp_path: Path) -> None:
    compile_kernels("sm_90")
    compile_emulator(tmp_path, source="driver.cpp").rename(tmp_path / "libcuda.so.1")
    variables = environment(LD_LIBRARY_PATH=str(tmp_path), XDG_CACHE_HOME=str(cache.parents[1]))
    command = [sys.executable, "-W", "error", str(ROOT / "tests" / "kernels" / "on_driver.py")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "kernels launched\n"), done.stderr


@pytest.mark.usefixtures("cache")
def test_without_cuda_core_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    with pytest.raises(InputError, match=r"cuda-core .* extra cuda12 or cuda13"):
        compile_kernels("sm_90")
