"""What one pair of clouds asks of the host; as a script, the lines of BENCHMARK.md.

Times are those of Python and of torch on CPU tensors of a few points, on a driver that does
nothing: what the host spends besides the driver and torch's own launches.
"""

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from radarsparse.gpu import compiler
from radarsparse.metrics.nearest import cuda
from radarsparse.metrics.nearest.cuda import search
from tests.kernels.emulator import compile_emulator
from tests.kernels.on_driver import driver_of_tests
from tests.processes import environment

ASKED = ((0.1, 0.2, 0.3, 0.5, 1.0, 2.0), (0.5, 0.95))
CALLS = 50
TURNS = 100


class Operations(TorchDispatchMode):
    """Counts torch's operations by name."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


def one_pair() -> Callable[[], object]:
    """Check, search both ways and statistics of both, as `nearest_both` and its callers do."""
    first, second = torch.rand(2, 64, 3).unbind(0)

    def call() -> None:
        with cuda.FiniteCheck(first.device) as check:
            there2, _, back2, _ = cuda.nearest_both_cuda(first, second, check=check)
        # Without kernels there is nothing to tell.
        _ = check.passed
        cuda.summarize_both_cuda(there2, back2, *ASKED)

    return call


def _microseconds(call: Callable[[], object]) -> float:
    """Of one call, the fastest of many turns."""
    turns = []
    for _ in range(TURNS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        turns.append((time.perf_counter() - start) / CALLS)
    return min(turns) * 1e6


def _measure() -> None:
    call = one_pair()
    for name, most in (("all pairs", 10**8), ("tree", 0)):
        with driver_of_tests(), patch.object(search, "BRUTE_PAIRS_MOST", most):
            call()
            cuda = compiler.CudaKernels
            with (
                patch.object(cuda, "launch", autospec=True, side_effect=cuda.launch) as up,
                Operations() as operations,
            ):
                call()
            counts = f"{up.call_count} launches, {operations.counts.total()} operations of torch"
            print(f"{name}: {counts}, {_microseconds(call):.0f} us")
            print(f"  {dict(operations.counts)}")


def main() -> None:
    compiler.compile_kernels("sm_90")
    with tempfile.TemporaryDirectory() as folder:
        driver = compile_emulator(Path(folder), "-DRUNS=false", source="driver.cpp")
        driver.rename(Path(folder) / "libcuda.so.1")
        variables = environment(LD_LIBRARY_PATH=folder)
        subprocess.run([sys.executable, __file__, "measure"], env=variables, check=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        _measure()
    else:
        main()
