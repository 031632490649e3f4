"""Engines execute plans; which one is in use is a choice of the caller's context."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, get_args

# Names, since `torch` in this package is the engine.
from torch import (
    Tensor,
    dtype,
    float32,
    float64,
    get_autocast_dtype,
    is_autocast_enabled,
    is_grad_enabled,
)

from radarsparse.config import EngineName
from radarsparse.errors import InputError
from radarsparse.sparse.engines.packed import PackedEngine, multiplies_bfloat16
from radarsparse.sparse.engines.table import GATHERED_BYTES_MOST, gathered_bytes
from radarsparse.sparse.engines.torch import TorchEngine
from radarsparse.sparse.plan import Plan

if TYPE_CHECKING:
    from radarsparse.sparse.engines.spconv import SpconvEngine

ENGINES = get_args(EngineName)
_log = logging.getLogger("radarsparse")
_FIRST_FOR_NUMPY_2 = (2, 3, 8)
_TORCH, _PACKED = TorchEngine(), PackedEngine()
_PACKING = "auto, packed"
_chosen: ContextVar[str] = ContextVar("engine", default="auto")


@contextmanager
def use_engine(name: str) -> Iterator[None]:
    """Use an engine by name within a `with` block.

    Args:
        name: `torch`, `spconv`, or `auto`: spconv for large layers on CUDA where it is installed
            and serves.

    Raises:
        InputError: there is no such engine, or it isn't installed.
    """
    if name not in ENGINES:
        raise InputError(f"engine {name!r} is not available; there is: {', '.join(ENGINES)}")
    if name == "spconv" and (obstacle := spconv_obstacle()):
        raise InputError(f"engine 'spconv' {obstacle}")
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


@contextmanager
def prefer_engine(name: str) -> Iterator[None]:
    """As `use_engine`, unless the caller's context has chosen one."""
    chosen = engine_in_use()
    with use_engine(name if chosen == "auto" else chosen):
        yield


@contextmanager
def packing() -> Iterator[None]:
    """Let `auto` convolve in bfloat16 within a `with` block.

    It does so on processors that multiply it, without gradients, for features of float32; other
    engines stay as they are.
    """
    with_packed = _chosen.get() == "auto" and multiplies_bfloat16()
    token = _chosen.set(_PACKING if with_packed else _chosen.get())
    try:
        yield
    finally:
        _chosen.reset(token)


@lru_cache(maxsize=1)
def _tell_packing() -> None:
    _log.info("convolutions: bfloat16 on the CPU; `engine: torch` keeps them in float32")


def engine_in_use() -> str:
    """The name given to `use_engine`, `auto` outside of it."""
    return _chosen.get().partition(",")[0]


def convolve(feats: Tensor, weight: Tensor, plan: Plan, bias: Tensor | None = None) -> Tensor:
    """Convolve along a plan with the engine in use, differentiably.

    Args:
        feats: [n_inputs, c_in].
        weight: [K, c_in, c_out].
        plan: the pairs.
        bias: [c_out] to add, none by default.

    Returns:
        [n_outputs, c_out] in the dtype that `feats` and `bias` have together; under autocast on
        CUDA in that of autocast.

    Raises:
        ValueError: channels, dtypes or devices don't fit, or the engine asked for refuses.
    """
    _check(feats, weight, plan)
    if feats.is_cuda:
        wanted = _working_dtype(feats)
        feats, weight = feats.to(wanted), weight.to(wanted)
        bias = None if bias is None else bias.to(wanted)
    return _engine_for(feats, weight, plan).conv(feats, weight, bias, plan)


def _engine_for(
    feats: Tensor, weight: Tensor, plan: Plan
) -> "TorchEngine | PackedEngine | SpconvEngine":
    name = _chosen.get()
    if name == _PACKING:
        if not (feats.is_cuda or is_grad_enabled() or feats.dtype != float32):
            _tell_packing()
            return _PACKED
        name = "auto"
    if name == "torch" or (name == "auto" and not _prefers_spconv(feats, plan)):
        return _TORCH
    reason = _spconv().refuses(feats, weight, plan)
    if reason is None:
        return _spconv()
    if name == "spconv":
        raise InputError(f"engine 'spconv' refuses: {reason}")
    return _TORCH


def _prefers_spconv(feats: Tensor, plan: Plan) -> bool:
    """Whether `auto` is spconv: on CUDA in float32, where tables would take several gathers.

    On an H200 tables were as fast or faster up to there; beyond it too in half precision, and in
    training.
    """
    if not feats.is_cuda or feats.dtype != float32 or is_grad_enabled() or spconv_obstacle():
        return False
    return plan.slots is None and gathered_bytes(feats, plan) > GATHERED_BYTES_MOST


def _working_dtype(feats: Tensor) -> dtype:
    """That of autocast on CUDA, which knows products of matrices, but not our functions."""
    if feats.dtype == float64 or not is_autocast_enabled("cuda"):
        return feats.dtype
    return get_autocast_dtype("cuda")


@lru_cache(maxsize=1)
def spconv_obstacle() -> str | None:
    """Why spconv can't be imported, None if it can; found by versions alone.

    What was built for numpy 1 ends a process that has numpy 2, before anything can be caught.
    """
    if find_spec("spconv") is None:
        return "is not installed; install the extra cu126: pip install 'radarsparse[cu126]'"
    numpy = version("numpy")
    for package in packages_distributions().get("spconv", []):
        if _numbers(version(package)) < _FIRST_FOR_NUMPY_2 and _numbers(numpy) >= (2,):
            return (
                f"can't be used: {package} {version(package)} was built for numpy 1, here is numpy"
                f" {numpy}; install the extra cu126, or numpy below 2"
            )
    return None


def _numbers(text: str) -> tuple[int, ...]:
    """The leading numbers of a version."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


@lru_cache(maxsize=1)
def _spconv() -> "SpconvEngine":
    # Imported when it is needed: it takes seconds, and most users don't have it.
    from radarsparse.sparse.engines.spconv import SpconvEngine  # noqa: PLC0415

    return SpconvEngine()


def _check(feats: Tensor, weight: Tensor, plan: Plan) -> None:
    if feats.shape[1] != weight.shape[1]:
        raise ValueError(f"feats has {feats.shape[1]} channels, must have {weight.shape[1]}")
    if not feats.device == weight.device == plan.device:
        raise ValueError(
            f"feats is on {feats.device}, coords on {plan.device}, weight on"
            f" {weight.device}; must be equal"
        )
    if (feats.dtype == float64) != (weight.dtype == float64):
        raise ValueError(f"feats is {feats.dtype}, weight {weight.dtype}; must be equal")
