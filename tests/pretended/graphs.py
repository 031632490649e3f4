"""Streams, events and graphs of the pretended device."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._mode_utils import no_dispatch

from tests.pretended.rules import tensors_in


class Recorder(Protocol):
    """The device, as graphs see it."""

    capturing: "CUDAGraph | None"

    def launch(self, operation: str) -> None:
        """Take note of a launch."""
        ...

    def wait(self, operation: str) -> None:
        """Take note that the host waits."""
        ...


class _Borrowed:
    """A tensor from before the capture: a graph knows its address and doesn't keep it alive."""

    def __init__(self, tensor: Tensor) -> None:
        self._storage = StorageWeakRef(tensor.untyped_storage())
        self._empty = tensor.new_empty(0)
        self._layout = tensor.storage_offset(), tensor.shape, tensor.stride()

    def tensor(self) -> Tensor:
        storage = torch.UntypedStorage._new_with_weak_ptr(self._storage.cdata)
        if storage is None:
            raise RuntimeError(f"memory of an input of the graph was freed: {self._layout[1]}")
        return self._empty.new_empty(0).set_(storage, *self._layout)


class CUDAGraph:
    """Operations that are executed again on the same memory."""

    __class__ = property(lambda _self, real=torch.cuda.CUDAGraph: real)  # for `isinstance`
    device: Recorder

    def __init__(self, keep_graph: bool = False) -> None:
        self._steps: list[tuple[Callable[..., Any], Any, Any, list[Tensor | None]]] = []
        self._memory: set[int] = set()

    def capture_begin(self, pool: object = None, capture_error_mode: str = "global") -> None:
        if self.device.capturing is not None:
            raise RuntimeError("a graph is being captured already")
        self.reset()
        self.device.capturing = self

    def capture_end(self) -> None:
        self.device.capturing = None

    def record(self, func: Callable[..., Any], args: Any, kwargs: Any, results: Any) -> None:
        """Keep an operation on inner tensors, just executed."""
        given = {_address(tensor) for tensor in tensors_in((*args, *kwargs.values()))}
        made = [None if _address(t) in given else t for t in tensors_in([results])]
        arguments = self._map(self._borrow, args), self._map(self._borrow, kwargs)
        self._memory |= {_address(tensor) for tensor in made if tensor is not None}
        self._steps.append((func, *arguments, made))

    def replay(self) -> None:
        self.device.launch("replay of a graph")
        below = torch._C._AutoDispatchBelowADInplaceOrView()  # of autograd
        with no_dispatch(), below, torch.autocast("cpu", enabled=False):
            for func, args, kwargs, made in self._steps:
                again = func(*self._map(_give_back, args), **self._map(_give_back, kwargs))
                for old, new in zip(made, tensors_in([again]), strict=True):
                    if old is not None:
                        old.copy_(new)

    def reset(self) -> None:
        self._steps.clear()
        self._memory.clear()

    def pool(self) -> tuple[int, int]:
        return (0, 0)

    def _borrow(self, value: Any) -> Any:
        own = not isinstance(value, Tensor) or _address(value) in self._memory
        return value if own else _Borrowed(value)

    def _map(self, change: Callable[[Any], Any], value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._map(change, each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._map(change, each) for each in value]
        return change(value)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _give_back(value: Any) -> Any:
    return value.tensor() if isinstance(value, _Borrowed) else value


@contextmanager
def graph(cuda_graph: CUDAGraph, pool: object = None, **_kwargs: Any) -> Iterator[None]:
    """As `torch.cuda.graph`."""
    torch.cuda.synchronize()
    cuda_graph.capture_begin(pool)
    try:
        yield
    finally:
        cuda_graph.capture_end()


class Event:
    """As `torch.cuda.Event`; all work is done at once."""

    __class__ = property(lambda _self, real=torch.cuda.Event: real)
    device: Recorder

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def record(self, _stream: object = None) -> None:
        pass

    def wait(self, _stream: object = None) -> None:
        pass

    def query(self) -> bool:
        return True

    def elapsed_time(self, _end: "Event") -> float:
        return 0.0

    def synchronize(self) -> None:
        self.device.wait("synchronize of an event or stream")


class Stream(Event):
    """As `torch.cuda.Stream`."""

    __class__ = property(lambda _self, real=torch.cuda.Stream: real)
    cuda_stream = 0

    def wait_stream(self, _stream: "Stream") -> None:
        pass

    def is_capturing(self) -> bool:
        return self.device.capturing is not None

    def wait_event(self, _event: Event) -> None:
        pass

    def record_event(self, event: Event | None = None) -> Event:
        return event or Event()
