"""What of torch, Lightning and the project is replaced while a CUDA device is pretended."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any, Protocol
from unittest.mock import patch

import torch
from lightning_fabric.accelerators import cuda as accelerator
from torch import Tensor
from torch.optim import optimizer
from torch.utils import _foreach_utils, checkpoint

from radarsparse.sparse import engines
from tests.pretended import graphs
from tests.pretended.autocast import cuda_autocast
from tests.pretended.tensor import CUDA, CudaTensor, move


class Device(graphs.Recorder, Protocol):
    """The device, as what is patched sees it."""

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any: ...

    def pin(self, tensor: Tensor) -> Tensor: ...

    def is_pinned(self, tensor: Tensor) -> bool: ...


Enter = Callable[[], AbstractContextManager[Any]]


@contextmanager
def patched(device: Device, enter: Enter) -> Iterator[None]:
    """Replace all that asks for a CUDA device, and put everything back.

    Args:
        device: the pretended one.
        enter: makes what a thread must enter to see the device.
    """
    with ExitStack() as stack:
        stack.callback(_clear_caches)
        _clear_caches()
        for owner in (CudaTensor, graphs.CUDAGraph, graphs.Event):
            name = "runner" if owner is CudaTensor else "device"
            stack.enter_context(patch.object(owner, name, device, create=True))
        replaced = [*_of_torch(device), *_of_projects(enter)]
        replaced += [(torch.cuda, name, value) for name, value in _of_cuda(device).items()]
        for owner, name, value in replaced:
            stack.enter_context(patch.object(owner, name, value))
        stack.enter_context(cuda_autocast())
        stack.enter_context(_keeping_parameters())
        yield


def _of_torch(device: Device) -> list[tuple[Any, str, Any]]:
    types = _foreach_utils._foreach_supported_types
    group = torch._C._group_tensors_by_device_and_dtype

    def group_by_device(lists: Any, with_indices: bool = False) -> Any:
        found = group(lists, with_indices)
        return {(kept[0][0][0].device, dtype): kept for (_, dtype), kept in found.items()}

    def on_device(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def make_and_move(data: Any, *, device: Any = None, **kwargs: Any) -> Tensor:
            return make(data, **kwargs) if device is None else make(data, **kwargs).to(device)

        return make_and_move

    answers = {
        **{"is_available": True, "current_accelerator": CUDA, "current_device_index": 0},
        **{"set_device_index": None, "current_stream": graphs.Stream()},
    }

    def pin_memory(tensor: Tensor, *_args: Any) -> Tensor:
        return device.pin(tensor.clone())

    return [
        (torch, "tensor", on_device(torch.tensor)),
        (torch, "as_tensor", on_device(torch.as_tensor)),
        (torch.Tensor, "to", move),
        (torch.Tensor, "cuda", lambda tensor, *_args, **_kwargs: tensor.to(CUDA)),
        (torch.Tensor, "pin_memory", pin_memory),
        (torch.Tensor, "is_pinned", lambda tensor, *_args: device.is_pinned(tensor)),
        (torch._C, "_group_tensors_by_device_and_dtype", group_by_device),
        (_foreach_utils, "_foreach_supported_types", [*types, CudaTensor]),
        (optimizer, "_foreach_supported_types", [*optimizer._foreach_supported_types, CudaTensor]),
        *((torch.accelerator, name, _answer(value)) for name, value in answers.items()),
        (torch.cuda.amp.common, "amp_definitely_not_available", lambda: False),
        (checkpoint.DefaultDeviceType, "_default_device_type", CUDA.type),
    ]


def _of_projects(enter: Enter) -> list[tuple[Any, str, Any]]:
    run = threading.Thread.run

    def run_on_device(thread: threading.Thread) -> None:
        with enter():
            run(thread)

    return [
        (threading.Thread, "run", run_on_device),
        (accelerator, "_check_cuda_matmul_precision", lambda _device: None),
        (accelerator, "_clear_cuda_memory", lambda: None),
        (engines, "spconv_obstacle", lambda: "is not asked for"),
    ]


def _of_cuda(device: Device) -> dict[str, Any]:
    """Attributes of `torch.cuda`."""
    stream = graphs.Stream()

    about = SimpleNamespace(name="pretended", total_memory=1 << 36, multi_processor_count=132)
    nothing = "_lazy_init set_device empty_cache manual_seed manual_seed_all set_stream"
    return {
        **dict.fromkeys([*nothing.split(), "reset_peak_memory_stats"], _answer(None)),
        **dict.fromkeys(["is_available", "is_initialized", "is_bf16_supported"], _answer(True)),
        **dict.fromkeys(["memory_allocated", "max_memory_allocated"], _answer(0)),
        **dict.fromkeys(["current_stream", "default_stream"], _answer(stream)),
        **dict.fromkeys(["device", "stream"], lambda *_args: nullcontext()),
        **{"current_device": _answer(0), "device_count": _answer(1)},
        "_is_in_bad_fork": _answer(False),
        "get_device_capability": _answer((9, 0)),
        "get_device_name": _answer(about.name),
        "get_device_properties": _answer(about),
        "mem_get_info": _answer((about.total_memory, about.total_memory)),
        "get_rng_state": lambda *_args: torch.get_rng_state(),
        "set_rng_state": lambda state, *_args: torch.set_rng_state(state),
        "synchronize": lambda *_args: device.wait("torch.cuda.synchronize"),
        "is_current_stream_capturing": lambda: device.capturing is not None,
        "graph_pool_handle": _answer((0, 0)),
        **{name: getattr(graphs, name) for name in ("CUDAGraph", "graph", "Stream", "Event")},
    }


def _answer(value: Any) -> Callable[..., Any]:
    return lambda *_args, **_kwargs: value


@contextmanager
def _keeping_parameters() -> Iterator[None]:
    """A network's parameters stay the same objects as it moves, as on a GPU."""
    future = torch.__future__
    before = future.get_swap_module_params_on_conversion()
    future.set_swap_module_params_on_conversion(True)
    try:
        yield
    finally:
        future.set_swap_module_params_on_conversion(before)


def _clear_caches() -> None:
    """Forget what the project remembers between calls: it may lie on the pretended device."""
    for name, module in list(sys.modules.items()):
        if name.startswith("radarsparse"):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
