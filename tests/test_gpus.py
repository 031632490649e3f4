"""Which tests see GPUs, and what those that do can do without."""

import os
import subprocess
import sys

import pytest
import torch

from tests.processes import ROOT, environment

# What machines with GPUs were seen to lack.
LACKED = ("hypothesis", "lzf", "plyfile", "pykdtree", "pypcd4", "rosbags", "sklearn")
WITHOUT = f"""
import sys
from importlib.machinery import PathFinder
find = PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda _, name, *more: None if name.partition(".")[0] in {LACKED} else find(name, *more)
)
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""
# As they are outside tests: this file is read before the first one.
SEEN = torch.cuda.is_available, torch.cuda.device_count, os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.fixture(scope="session")
def devices_of_shared_fixtures() -> str | None:
    """Which GPUs a fixture of the session and its processes may use."""
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_a_test_sees_no_gpu_and_neither_do_its_processes() -> None:
    assert not torch.cuda.is_available()
    assert torch.cuda.device_count() == 0
    assert environment()["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.cuda
def test_a_marked_test_sees_what_there_is(devices_of_shared_fixtures: str | None) -> None:
    devices = os.environ.get("CUDA_VISIBLE_DEVICES")
    assert (torch.cuda.is_available, torch.cuda.device_count, devices) == SEEN
    assert devices_of_shared_fixtures == ""


def test_processes_import_this_checkout_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert environment(A="1").items() >= {"PYTHONPATH": f"{ROOT}:/elsewhere", "A": "1"}.items()
    monkeypatch.delenv("PYTHONPATH")
    assert environment()["PYTHONPATH"] == str(ROOT)


def test_marked_tests_are_collected_where_other_packages_are_missing() -> None:
    plugins = [word for name in ("hypothesispytest", "xdist") for word in ("-p", f"no:{name}")]
    words = [sys.executable, "-c", WITHOUT, "--collect-only", "-q", "-m", "cuda", *plugins, "tests"]
    result = subprocess.run(
        words, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout
    for name in ("test_gpus.py::", "test_enhancer.py::", "test_gpu.py::", "test_engines_cuda.py::"):
        assert name in result.stdout
