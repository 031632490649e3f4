"""The public functions of `radarsparse.metrics.cuda`, cuda-core and all, on the driver of tests.

Needs a cubin for sm_90 in the cache, since NVRTC asks more of a driver than this one knows.
"""

import ctypes
from contextlib import nullcontext
from types import SimpleNamespace
from unittest.mock import patch

import torch

from radarsparse.metrics import cuda, nearest_both
from radarsparse.metrics.cuda import loader, search
from radarsparse.metrics.statistics import summarize_distances

DEVICE = torch.device("cuda", 0)
# The default stream and another one.
STREAMS = (0, 0x1234)


def main() -> None:
    kernels = loader.load_kernels(DEVICE)
    generator = torch.Generator().manual_seed(0)
    clouds = [torch.rand(n, 3, generator=generator) for n in (500, 700)]
    offsets = [torch.tensor([0, n]) for n in (500, 700)]
    expected = nearest_both(*clouds)
    asked = ((0.05, 0.1), (0.5, 0.95))
    last_stream = ctypes.c_void_p.in_dll(ctypes.CDLL("libcuda.so.1"), "last_stream")
    with patch.object(cuda, "load_kernels", lambda _: kernels):
        for most, stream in zip((10**8, 0), STREAMS, strict=True):
            current = SimpleNamespace(cuda_stream=stream)
            with (
                patch.object(search, "BRUTE_PAIRS_MOST", most),
                patch.object(torch.cuda, "current_stream", lambda _, current=current: current),
            ):
                found = cuda.nearest_both_cuda(*clouds, *offsets)
                result = cuda.summarize_distances_cuda(found[0], offsets[0], *asked)
            assert (last_stream.value or 0) == stream
            assert torch.equal(found[1], expected[1])
            assert torch.equal(found[3], expected[3])
            reference = summarize_distances(found[0], offsets[0], *asked)
            for name, value in vars(reference).items():
                torch.testing.assert_close(vars(result)[name], value, rtol=1e-13, atol=0.0)


if __name__ == "__main__":
    # What a torch without CUDA can't say.
    with patch.multiple(
        torch.cuda,
        get_device_capability=lambda _: (9, 0),
        device=lambda _: nullcontext(),
    ):
        main()
    print("kernels launched")
