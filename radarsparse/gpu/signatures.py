"""What each kernel takes, read from its source, since a kernel sees addresses alone."""

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

SOURCES = Path(__file__).parents[1] / "kernels"
UNITS = ("gather.cu", "nearest.cu", "statistics.cu")

# A tensor's address, None for no array, or a 32-bit integer.
Argument = Tensor | int | None

_KERNEL = re.compile(r'extern "C" __global__ void __launch_bounds__\([^)]*\)\s*(\w+)\(([^)]*)\)')
_DTYPES = {
    "int": None,
    "void*": None,  # rows of which the kernel is told the length
    "float*": torch.float32,
    "double*": torch.float64,
    "int*": torch.int32,
    "long long*": torch.int64,
    "unsigned long long*": torch.int64,
    "Point*": torch.float32,
    "Box*": torch.float32,
}


class Parameter(NamedTuple):
    """One parameter of a kernel.

    Attributes:
        name: in the source.
        is_integer: whether it is an integer; a pointer otherwise.
        dtype: what a pointer leads to, if that is one dtype.
    """

    name: str
    is_integer: bool
    dtype: torch.dtype | None


def check_arguments(name: str, arguments: tuple[Argument, ...]) -> None:
    """Refuse what the kernel would read as something else.

    Args:
        name: the kernel.
        arguments: of one launch.

    Raises:
        TypeError: their number, a dtype or a layout isn't what the kernel's source says.
    """
    parameters = signature(name)
    if len(arguments) != len(parameters):
        raise TypeError(f"{name}: {len(arguments)} arguments found, {len(parameters)} expected")
    # At every launch, so without a call per argument.
    for argument, parameter in zip(arguments, parameters, strict=True):
        _, is_integer, dtype = parameter
        if is_integer:
            fits = isinstance(argument, int)
        elif dtype is None or argument is None:
            fits = not isinstance(argument, int)
        else:
            fits = (
                isinstance(argument, Tensor)
                and argument.dtype is dtype
                and argument.is_contiguous()
            )
        if not fits:
            raise TypeError(_complaint(name, argument, parameter))


def signature(name: str) -> tuple[Parameter, ...]:
    """The parameters of a kernel.

    Raises:
        ValueError: there is no such kernel.
    """
    found = _signatures().get(name)
    if found is None:
        raise ValueError(f"{name}: no such kernel")
    return found


@cache
def _signatures() -> dict[str, tuple[Parameter, ...]]:
    text = "".join((SOURCES / unit).read_text() for unit in UNITS)
    return {name: tuple(map(_parse, line.split(","))) for name, line in _KERNEL.findall(text)}


def _parse(declaration: str) -> Parameter:
    words = declaration.replace("__restrict__", "").replace("const ", "").split()
    kind, name = " ".join(words[:-1]), words[-1]
    return Parameter(name, kind == "int", _DTYPES[kind])


def _complaint(name: str, argument: Argument, parameter: Parameter) -> str:
    pointer = f"contiguous {parameter.dtype}" if parameter.dtype else "a tensor"
    expected = "int" if parameter.is_integer else pointer
    if isinstance(argument, Tensor):
        found = f"{argument.dtype} of shape {tuple(argument.shape)}, strides {argument.stride()}"
    else:
        found = repr(argument)
    return f"{name}: {parameter.name} is {found}, {expected} expected"
