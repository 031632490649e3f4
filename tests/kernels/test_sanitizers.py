"""A small batch through every kernel, watched for bad addresses, undefined behaviour and races."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernels.emulator import KERNELS, compile_emulator
from tests.processes import environment

FLAGS = ("-O1", "-g", "-fno-sanitize-recover=all")


def _run(library: Path, runtime: str) -> subprocess.CompletedProcess[str]:
    """Run the small case with the library of a sanitizer loaded before everything else."""
    found = subprocess.run(
        ["g++", f"-print-file-name={runtime}"], check=True, capture_output=True, text=True
    ).stdout.strip()
    variables = environment(
        LD_PRELOAD=found,
        ASAN_OPTIONS="detect_leaks=0",
        TSAN_OPTIONS="halt_on_error=1",
        OMP_NUM_THREADS="1",
    )
    command = [sys.executable, str(Path(__file__).with_name("small_case.py")), str(library)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if "kernels start" not in done.stdout:
        pytest.skip(f"{runtime} doesn't start Python here: {done.stderr[-200:]}")
    return done


def test_addresses_and_undefined_behaviour(tmp_path: Path) -> None:
    library = compile_emulator(tmp_path, *FLAGS, "-fsanitize=address,undefined")
    done = _run(library, "libasan.so")
    assert done.returncode == 0, done.stderr


def test_races(tmp_path: Path) -> None:
    library = compile_emulator(tmp_path, *FLAGS, "-fsanitize=thread")
    done = _run(library, "libtsan.so")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("fault", "sanitizer", "runtime", "message"),
    [
        (
            ("        __syncthreads();\n        float low", "        float low"),
            "thread",
            "libtsan.so",
            "data race",
        ),
        (
            ("slots[slot] = ", "slots[slot + 900] = "),
            "address",
            "libasan.so",
            "heap-buffer-overflow",
        ),
    ],
    ids=["barrier left out", "write past the end"],
)
def test_a_planted_fault_is_found(
    tmp_path: Path, fault: tuple[str, str], sanitizer: str, runtime: str, message: str
) -> None:
    faulty = tmp_path / "kernels"
    shutil.copytree(KERNELS, faulty)
    source = faulty / "nearest.cu"
    text = source.read_text()
    assert text.count(fault[0]) == 1
    source.write_text(text.replace(*fault))
    library = compile_emulator(tmp_path, *FLAGS, f"-fsanitize={sanitizer}", kernels=faulty)
    done = _run(library, runtime)
    assert done.returncode != 0
    assert message in done.stderr
