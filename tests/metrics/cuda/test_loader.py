"""What a machine without a GPU can tell about compiling and keeping the kernels."""

import logging
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from radarsparse.errors import InputError
from radarsparse.metrics.cuda.loader import compile_kernels

ARCHITECTURES = ("sm_80", "sm_86", "sm_89", "sm_90")
needs_nvrtc = pytest.mark.skipif(
    find_spec("cuda") is None or find_spec("cuda.core") is None,
    reason="cuda-core isn't installed; it comes with the extras cuda12 and cuda13",
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "radarsparse" / "kernels"


@needs_nvrtc
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.usefixtures("cache")
def test_nvrtc_compiles_every_kernel(architecture: str) -> None:
    cubin = compile_kernels(architecture)
    assert cubin.startswith(b"\x7fELF")
    for name in (b"frame_bounds", b"build_boxes", b"query_boxes", b"query_all", b"finish_frames"):
        assert name in cubin


@needs_nvrtc
def test_what_was_compiled_is_read_again(cache: Path) -> None:
    cubin = compile_kernels("sm_90")
    (path,) = cache.iterdir()
    assert path.read_bytes() == cubin
    path.write_bytes(b"kept")
    assert compile_kernels("sm_90") == b"kept"
    assert compile_kernels("sm_80") != b"kept"
    assert len(list(cache.iterdir())) == 2


@needs_nvrtc
def test_a_cache_that_cannot_be_written_is_said(
    cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.parent.write_text("a file in the folder's place")
    with caplog.at_level(logging.WARNING):
        assert compile_kernels("sm_90").startswith(b"\x7fELF")
    assert str(cache) in caplog.text


@pytest.mark.usefixtures("cache")
def test_without_cuda_core_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    with pytest.raises(InputError, match=r"cuda-core .* extra cuda12 or cuda13"):
        compile_kernels("sm_90")
