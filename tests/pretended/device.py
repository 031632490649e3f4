"""A pretended CUDA device, for machines without one.

Its tensors say `cuda:0` and are computed on the CPU. What a GPU would refuse is refused: operations
on tensors of both devices, products of two dtypes, generators of the CPU. What a GPU would be sent,
what the host would wait for and what would be copied is counted, by place in the project.

It doesn't know: races between streams, how much memory there is, how a GPU rounds, and which 0-dim
CPU tensors are Python numbers.
"""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

import radarsparse
from tests.pretended.graphs import CUDAGraph
from tests.pretended.patches import patched
from tests.pretended.rules import (
    NO_LAUNCH,
    copies,
    is_of_python,
    name_of,
    tensors_in,
    waits,
    why_refused,
)
from tests.pretended.tensor import CPU, CudaTensor

_PACKAGE = f"{Path(radarsparse.__file__).parent}/"
_TESTS = f"{Path(__file__).parent}/test_"
_NUMBER = torch.ops.aten.scalar_tensor.default
_ON_CUDA = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)


class CudaError(RuntimeError):
    """What a GPU would have refused."""


class Pretended:
    """Executes what is done on the pretended device, and counts.

    Attributes:
        launches: operations sent to it; views and allocations are none.
        waits: how often the host waits for a number or for the end.
        copies: from the host to it.
    """

    def __init__(self) -> None:
        self.launches, self.waits, self.copies = Counter[str](), Counter[str](), Counter[str]()
        self._of_thread = threading.local()
        self._pinned: dict[int, torch.UntypedStorage] = {}

    def reset(self) -> None:
        """Count from 0."""
        for counter in (self.launches, self.waits, self.copies):
            counter.clear()

    def show(self) -> str:
        """All places that were counted, for messages of tests."""
        lines = []
        for name in ("launches", "waits", "copies"):
            counter = getattr(self, name)
            lines.append(f"{name}: {counter.total()}")
            lines += [f"{count:8d}  {place}" for place, count in counter.most_common(25)]
        return "\n".join(lines)

    @property
    def capturing(self) -> CUDAGraph | None:
        """The graph that this thread captures."""
        return getattr(self._of_thread, "graph", None)

    @capturing.setter
    def capturing(self, graph: CUDAGraph | None) -> None:
        self._of_thread.graph = graph

    def launch(self, operation: str) -> None:
        """Count a launch."""
        self.launches[f"{_place()}: {operation}"] += 1

    def wait(self, operation: str) -> None:
        """Count a wait, which no capture survives."""
        self._refuse_in_capture(operation)
        self.waits[f"{_place()}: {operation}"] += 1

    def copy(self, operation: str, pinned: bool = False) -> None:
        """Count a copy from the host; from memory that isn't pinned, a capture refuses it."""
        if not pinned:
            self._refuse_in_capture(operation)
        self.copies[f"{_place()}: {operation}"] += 1

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Execute one operation of torch, of whichever device."""
        tensors = list(tensors_in((*args, *kwargs.values())))
        device = kwargs.get("device")
        to_cuda = device is not None and device.type == "cuda"
        if not to_cuda and not any(isinstance(tensor, CudaTensor) for tensor in tensors):
            return self._run_on_host(func, args, kwargs, tensors)
        if func.namespace != "aten" and _has_cuda_kernel(func):
            with Mode(self):
                return func.redispatch(_ON_CUDA, *args, **kwargs)
        reason = why_refused(func, args, kwargs)
        if reason is not None:
            raise CudaError(f"{func} at {_place()}: {reason}")
        self._count(func, args, kwargs, tensors)
        inner_args, inner_kwargs = to_inner(args), to_inner(kwargs)
        found = func(*inner_args, **inner_kwargs)
        if torch.Tag.inplace_view in func.tags:  # the shape of what stands for it follows
            with no_dispatch():
                func(*args, **kwargs)
        if self.capturing is not None:
            self.capturing.record(func, inner_args, inner_kwargs, found)
        return _to_outer(found, {id(to_inner(tensor)): tensor for tensor in tensors})

    def pin(self, tensor: Tensor) -> Tensor:
        """Take the memory of a CPU tensor for pinned."""
        storage = tensor.untyped_storage()
        self._pinned[storage._cdata] = storage
        return tensor

    def is_pinned(self, tensor: Tensor) -> bool:
        """Whether the memory of a CPU tensor is taken for pinned."""
        return tensor.untyped_storage()._cdata in self._pinned

    def _run_on_host(self, func: Any, args: Any, kwargs: dict[str, Any], given: Any) -> Any:
        if kwargs.get("pin_memory"):
            return self.pin(func(*args, **{**kwargs, "pin_memory": False}))
        found = func(*args, **kwargs)
        # C++ makes such numbers where the tensor is that they are for, and computes with them.
        if func is _NUMBER or (
            given and all(map(is_of_python, given)) and isinstance(found, Tensor)
        ):
            found.is_python_number = True
        return found

    def _count(self, func: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> None:
        name, strays = name_of(func), [tensor for tensor in tensors if not tensor.is_cuda]
        if name == "copy_" and not args[0].is_cuda:
            if not (self.is_pinned(args[0]) and args[-1] is True):  # not blocking
                self.wait("copy to the CPU")
        elif name in ("copy_", "_to_copy") and strays:
            waited_for = not kwargs.get("non_blocking") and args[-1] is not True
            self.copy("copy" + waited_for * ", waited for", self.is_pinned(strays[0]))
        else:
            for operation in copies(func, args, strays):
                self.copy(operation)
            if waits(func, args, kwargs):
                self.wait(name)
            if not func.is_view and name not in NO_LAUNCH:
                self.launch(name)

    def _refuse_in_capture(self, operation: str) -> None:
        if self.capturing is not None:
            raise CudaError(f"{operation} at {_place()}: not permitted while a graph is captured")


class Mode(TorchDispatchMode):
    """Sends all operations of a thread through the pretended device."""

    def __init__(self, device: Pretended) -> None:
        super().__init__()
        self._device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self._device.run(func, args, kwargs or {})


@contextmanager
def pretended_cuda() -> Iterator[Pretended]:
    """A CUDA device for as long as the context lasts, in this thread and in those it starts."""
    device = Pretended()
    with patched(device, lambda: Mode(device)), Mode(device):
        yield device


def to_inner(value: Any) -> Any:
    """Arguments of an operation as the CPU takes them."""
    if isinstance(value, CudaTensor):
        return value.host
    if isinstance(value, list | tuple):
        return [to_inner(each) for each in value]
    if isinstance(value, dict):
        return {name: to_inner(each) for name, each in value.items()}
    return CPU if isinstance(value, torch.device) else value


def _to_outer(value: Any, known: dict[int, Tensor]) -> Any:
    """Results of an operation; what it wrote to is the argument itself."""
    if isinstance(value, list | tuple):
        return type(value)(_to_outer(each, known) for each in value)
    if not isinstance(value, Tensor):
        return value
    outer = known.get(id(value))
    if outer is None:
        return CudaTensor(value)
    if outer.shape != value.shape:
        raise CudaError("a tensor that gets another shape in place can't be pretended")
    return outer


def _has_cuda_kernel(func: Any) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CUDA")


def _place() -> str:
    """Where in the project, and from where there, or else in a test, an operation is asked for."""
    frame, places = sys._getframe(2), []
    while frame is not None and len(places) < 2:
        name = frame.f_code.co_filename
        if name.startswith(_PACKAGE):
            name = name.removeprefix(_PACKAGE)
            places.append(f"{name}:{frame.f_lineno} {frame.f_code.co_name}")
        elif name.startswith(_TESTS):
            places = places or [f"{Path(name).name}:{frame.f_lineno} {frame.f_code.co_name}"]
            break
        frame = frame.f_back
    return " < ".join(places) or "elsewhere"
