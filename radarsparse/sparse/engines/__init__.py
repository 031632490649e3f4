"""Engines execute plans; which one is in use is a choice of the caller's context."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, runtime_checkable

from torch import Tensor

from radarsparse.errors import InputError
from radarsparse.sparse.engines.torch import TorchEngine
from radarsparse.sparse.plan import Plan


@runtime_checkable
class Engine(Protocol):
    """What every engine offers."""

    def conv(self, feats: Tensor, weight: Tensor, plan: Plan) -> Tensor:
        """Convolve [n_inputs, c_in] with [K, c_in, c_out] along a plan, differentiably."""
        ...


_ENGINES: dict[str, Engine] = {"torch": TorchEngine()}
_current: ContextVar[Engine] = ContextVar("engine", default=_ENGINES["torch"])


def current_engine() -> Engine:
    """The engine that layers use now."""
    return _current.get()


@contextmanager
def use_engine(name: str) -> Iterator[None]:
    """Use an engine by name within a `with` block.

    Raises:
        InputError: there is no such engine; the message lists those there are.
    """
    if name not in _ENGINES:
        raise InputError(f"engine {name!r} is not available; there is: {', '.join(_ENGINES)}")
    token = _current.set(_ENGINES[name])
    try:
        yield
    finally:
        _current.reset(token)
