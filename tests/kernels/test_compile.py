"""What ptxas says of every kernel: nothing in slow memory that isn't asked for."""

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kernels.emulator import KERNELS

ARCHITECTURES = ("sm_80", "sm_86", "sm_89", "sm_90")
UNITS = tuple(sorted(path.name for path in KERNELS.glob("*.cu")))
REGISTERS_MOST = 64
# The stack of the tree's search, eight bytes per entry; nothing else is indexed at run time.
STACK_BYTES = {"query_boxes": 43 * 8}

needs_nvcc = pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc isn't installed")


def _report(unit: str, architecture: str, folder: Path) -> str:
    command = ["nvcc", "-std=c++17", f"-arch={architecture}", "-cubin", "-Xptxas", "-v"]
    target = folder / f"{unit}.{architecture}.cubin"
    command += ["-Werror", "all-warnings", f"-I{KERNELS}", str(KERNELS / unit), "-o", str(target)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


@needs_nvcc
def test_registers_and_spills(tmp_path: Path) -> None:
    cases = [(unit, architecture) for unit in UNITS for architecture in ARCHITECTURES]
    with ThreadPoolExecutor(2) as pool:
        reports = list(pool.map(lambda case: _report(*case, tmp_path), cases))
    seen = 0
    for report in reports:
        for name, text in re.findall(
            r"Compiling entry function '(\w+)'(.*?Used \d+ registers)", report, re.DOTALL
        ):
            stack, stores, loads, registers = map(
                int,
                re.search(
                    r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
                    r".*Used (\d+) registers",
                    text,
                    re.DOTALL,
                ).groups(),
            )
            assert (stores, loads) == (0, 0), name
            assert registers <= REGISTERS_MOST, name
            assert stack == STACK_BYTES.get(name, 0), name
            seen += 1
    kernels = sum((KERNELS / unit).read_text().count('extern "C" __global__') for unit in UNITS)
    assert seen == kernels * len(ARCHITECTURES)
