"""What a GPU refuses and what it makes the host wait for, operation by operation."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

# Index tensors of these may lie on the CPU, and masks among them are counted first.
INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")
NO_LAUNCH = (
    *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_", "set_"),
    *("lift", "lift_fresh", "_unsafe_view", "_local_scalar_dense"),
)
_TAKE_CPU_NUMBERS = ("where", "masked_fill", "masked_fill_", "fill", "fill_", *INDEXING)
_PRODUCTS = ("mm", "addmm", "addmm_", "bmm", "baddbmm", "baddbmm_", "mv", "addmv", "addmv_", "dot")
_WAITING_TAGS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


def name_of(func: Any) -> str:
    """Of an operation, without its overload."""
    return func._overloadpacket.__name__


def tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    """All tensors among arguments, those of lists included."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(value)


def is_of_python(tensor: Tensor) -> bool:
    """Whether C++ made a tensor of a Python number; a GPU's C++ would have made it there."""
    return getattr(tensor, "is_python_number", False)


def why_refused(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> str | None:
    """Why a GPU doesn't execute an operation of which at least one tensor is on it."""
    tensors = [t for t in tensors_in((*args, *kwargs.values())) if not is_of_python(t)]
    if name_of(func) in _PRODUCTS and not _one_float_dtype(tensors):
        return f"dtypes {[tensor.dtype for tensor in tensors]} must be one floating dtype"
    drawn_by = (kwargs.get("generator"), *args)
    if any(isinstance(value, torch.Generator) for value in drawn_by):
        return "expected a 'cuda' device type for generator but found 'cpu'"
    if name_of(func) in ("copy_", "_to_copy"):
        return None
    written = {id(tensor) for tensor in tensors_in(_written(func, args, kwargs))}
    strays = [t for t in tensors if not t.is_cuda]
    strays = [t for t in strays if id(t) in written or not _may_stay(t, func, args)]
    if strays:
        return f"expected all tensors to be on cuda:0, on the CPU are {_describe(strays)}"
    return None


def waits(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether the host needs a number from the GPU before it can go on."""
    name = name_of(func)
    if name in INDEXING:
        return bool(_masks(args)) and not _fills_by_mask(name, args)
    if name == "repeat_interleave":
        return kwargs.get("output_size") is None
    return not _WAITING_TAGS.isdisjoint(func.tags)


def copies(func: Any, args: Sequence[Any], strays: Sequence[Tensor]) -> Iterator[str]:
    """What an operation copies to the GPU by itself; `strays` are its tensors on the CPU."""
    name = name_of(func)
    if name in INDEXING:
        if not all(index.is_cuda for index in tensors_in(args[1])):
            yield f"{name} by an index on the CPU"
        if name != "index" and _is_cpu_number(args[2]) and not _fills_by_mask(name, args):
            yield f"{name} of a number on the CPU"
    if name == "where" and not all(map(is_of_python, strays)):
        yield "where of a number on the CPU"


def _masks(args: Sequence[Any]) -> list[Tensor]:
    return [index for index in tensors_in(args[1]) if index.dtype in (torch.bool, torch.uint8)]


def _fills_by_mask(name: str, args: Sequence[Any]) -> bool:
    """Whether one number goes to all that a mask chooses, which torch does without counting."""
    one_mask = len(_masks(args)) == len(list(tensors_in(args[1]))) == 1
    return name != "index" and one_mask and _is_cpu_number(args[2])


def _one_float_dtype(tensors: Sequence[Tensor]) -> bool:
    return tensors[0].is_floating_point() and len({tensor.dtype for tensor in tensors}) == 1


def _written(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[Any]:
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield args[place] if place < len(args) else kwargs.get(argument.name)


def _may_stay(tensor: Tensor, func: Any, args: Sequence[Any]) -> bool:
    """Whether a CPU tensor may stand beside those of the GPU."""
    name = name_of(func)
    if name in INDEXING and args[0].is_cuda and any(tensor is t for t in tensors_in(args[1])):
        return True
    takes_numbers = torch.Tag.pointwise in func.tags or name.startswith("_foreach_")
    return tensor.ndim == 0 and (takes_numbers or name in _TAKE_CPU_NUMBERS)


def _is_cpu_number(value: Tensor) -> bool:
    return value.ndim == 0 and not value.is_cuda


def _describe(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"{tensor.dtype} {list(tensor.shape)}" for tensor in tensors)
