"""Public functions of `radarsparse.metrics.nearest.cuda` and cuda-core, on the driver of tests.

Needs a cubin for sm_90 in the cache, since NVRTC asks more of a driver than this one knows.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from unittest.mock import patch

import torch
from torch import Tensor

from radarsparse.gpu import compiler
from radarsparse.metrics import nearest_both
from radarsparse.metrics.nearest import cuda
from radarsparse.metrics.nearest.cuda import search
from radarsparse.metrics.statistics import Statistics, summarize_both, summarize_distances

DEVICE = torch.device("cuda", 0)
# The default stream and another one.
STREAMS = (0, 0x1234)
ASKED = ((0.05, 0.1), (0.5, 0.95))


class _Event:
    def record(self) -> None: ...

    def synchronize(self) -> None: ...


@contextmanager
def driver_of_tests() -> Iterator[None]:
    """What a torch without CUDA can't say, and CPU tensors in the place of a GPU's."""
    kernels = compiler.load_kernels
    with (
        patch.multiple(
            torch.cuda,
            get_device_capability=lambda _: (9, 0),
            device=lambda _: nullcontext(),
            current_stream=lambda _: SimpleNamespace(cuda_stream=STREAMS[0]),
            Event=_Event,
        ),
        patch.object(cuda, "load_kernels", lambda _: kernels(DEVICE)),
    ):
        yield


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.rand(n, 3, generator=generator) for n in (500, 700))
    expected = nearest_both(first, second)
    last_stream = ctypes.c_void_p.in_dll(ctypes.CDLL("libcuda.so.1"), "last_stream")
    for most, stream in zip((10**8, 0), STREAMS, strict=True):
        current = SimpleNamespace(cuda_stream=stream)
        with (
            patch.object(search, "BRUTE_PAIRS_MOST", most),
            patch.object(torch.cuda, "current_stream", lambda _, current=current: current),
        ):
            check(first, second, expected)
        assert (last_stream.value or 0) == stream


def check(first: Tensor, second: Tensor, expected: tuple[Tensor, ...]) -> None:
    with cuda.FiniteCheck(first.device) as finite:
        cuda.nearest_both_cuda(first, second * torch.inf, check=finite)
    assert not finite.passed
    with cuda.FiniteCheck(first.device) as finite:
        found = cuda.nearest_both_cuda(first, second, check=finite)
    assert finite.passed
    assert torch.equal(found[1], expected[1])
    assert torch.equal(found[3], expected[3])
    offsets = torch.tensor([0, 500])
    result = cuda.summarize_distances_cuda(found[0], offsets, *ASKED)
    assert_close(result, summarize_distances(found[0], offsets, *ASKED))
    result = cuda.summarize_both_cuda(found[0], found[2], *ASKED)
    assert_close(result, summarize_both(found[0], found[2], *ASKED))


def assert_close(result: Statistics, reference: Statistics) -> None:
    for name, value in vars(reference).items():
        torch.testing.assert_close(vars(result)[name], value, rtol=1e-13, atol=0.0)


if __name__ == "__main__":
    with driver_of_tests():
        main()
    print("kernels launched")
