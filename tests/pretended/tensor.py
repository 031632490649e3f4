"""The tensors of the pretended device."""

from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

CUDA = torch.device("cuda", 0)
CPU = torch.device("cpu")
plain_to = torch.Tensor.to


class Runner(Protocol):
    """What executes operations on such tensors."""

    def run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Execute one operation."""
        ...

    def wait(self, operation: str) -> None:
        """Take note that the host waits."""
        ...


class CudaTensor(Tensor):
    """Says `cuda:0` to Python; its numbers are those of `host`, a tensor on the CPU.

    To the C++ of torch it is a CPU tensor, so that autograd needs no thread of a device.
    """

    host: Tensor
    runner: ClassVar[Runner]

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls: type["CudaTensor"], inner: Tensor) -> "CudaTensor":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=CPU,
        )
        made.host = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return cls.runner.run(func, args, kwargs or {})

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    def get_device(self) -> int:
        return 0

    def cpu(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.to(CPU, *args, **kwargs)

    def cuda(self, *_args: Any, **_kwargs: Any) -> Tensor:
        return self

    def new_tensor(self, data: Any, dtype: torch.dtype | None = None, **kwargs: Any) -> Tensor:
        return torch.tensor(data, dtype=dtype or self.dtype, **{"device": CUDA, **kwargs})

    def tolist(self) -> Any:
        self.runner.wait("tolist")
        return self.host.tolist()

    def numpy(self, *_args: Any, **_kwargs: Any) -> Any:
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    __array__ = numpy

    def data_ptr(self) -> int:
        return self.host.data_ptr()

    def record_stream(self, _stream: Any) -> None:
        pass

    def __repr__(self, *, tensor_contents: str | None = None) -> str:
        return f"CudaTensor({self.host})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            copied = CudaTensor(self.host.clone()).requires_grad_(self.requires_grad)
            is_parameter = isinstance(self, torch.nn.Parameter)
            copied = torch.nn.Parameter(copied, self.requires_grad) if is_parameter else copied
            memo[id(self)] = copied
        return memo[id(self)]


def move(tensor: Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> Tensor:
    """`Tensor.to` of tensors of either device."""
    if args and isinstance(args[0], Tensor):  # C++ would take its device for the CPU
        args = (args[0].device, args[0].dtype, *args[1:])
    device, dtype, non_blocking, _ = torch._C._nn._parse_to(*args, **kwargs)
    if device is not None and device.type != tensor.device.type:
        return _Moved.apply(tensor, device, dtype, non_blocking)
    if isinstance(tensor, CudaTensor):
        return plain_to(tensor, dtype or tensor.dtype, copy=copy)
    return plain_to(tensor, *args, copy=copy, **kwargs)


class _Moved(torch.autograd.Function):
    """A copy on the other device, whose gradient goes back."""

    @staticmethod
    def forward(
        ctx: Any, tensor: Tensor, device: Any, dtype: torch.dtype | None, non_blocking: bool
    ) -> Tensor:
        ctx.source = tensor.device, tensor.dtype
        if not isinstance(tensor, CudaTensor):
            options = {"dtype": dtype, "device": device, "non_blocking": non_blocking}
            return torch.ops.aten._to_copy.default(tensor, **options)
        CudaTensor.runner.wait("copy to the CPU")
        return plain_to(tensor.host, dtype or tensor.dtype, copy=True)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        return grad_outputs[0].to(*ctx.source), None, None, None
