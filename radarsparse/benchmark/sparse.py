"""One submanifold convolution, checked, then timed beside spconv's own where it is installed."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from radarsparse.benchmark.measure import median_seconds
from radarsparse.config import VolumeSettings
from radarsparse.data.simulator.simulate import simulate_pair
from radarsparse.data.voxelize import voxelize_lidar
from radarsparse.geometry import Volume
from radarsparse.sparse import SparseTensor, SubmanifoldConv3d, Support
from radarsparse.sparse.plan import submanifold_plan
from radarsparse.training.memory import peak_bytes

CHANNELS = (16, 32, 64, 128)
# Sums of some tens of products in float32, whose terms are of order one.
_TOLERANCE = 1e-5

Layer = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Case:
    """Voxels on surfaces, as simulated LiDAR frames have them, or anywhere in a cube.

    `neighbours` is the mean number of active voxels under a kernel anywhere in the cube, None for
    surfaces, which have their own.
    """

    voxels: int
    neighbours: float | None = None

    def support(self) -> Support:
        """The same voxels at every call."""
        if self.neighbours is None:
            coords = _on_surfaces(self.voxels)
        else:
            coords = _anywhere(self.voxels, self.neighbours)
        return SparseTensor(
            torch.zeros(len(coords), 1), coords, int(coords[:, 0].max()) + 1
        ).support


CASES = (
    *(Case(voxels) for voxels in (5_000, 20_000, 52_000, 200_000)),
    *(Case(52_000, 3.0), Case(20_000, 8.0), Case(200_000, 8.0)),
)


def time_case(case: Case, channels: int, repeats: int) -> dict[str, Any]:
    """Median times of both ways through one layer, and of building its plan.

    Raises:
        RuntimeError: a layer's output is not that of dense convolution.
    """
    _check(channels)
    support = case.support()
    module = SubmanifoldConv3d(channels, channels, bias=False)
    layers, plans = _layers(module, support)
    feats = torch.randn(len(support), channels, requires_grad=True)
    grad = torch.randn_like(feats)
    forward = {name: _forward(layer, feats) for name, layer in layers.items()}
    both = {name: _both_ways(layer, feats, grad) for name, layer in layers.items()}
    times = {
        "plan_s": median_seconds(plans, repeats),
        "forward_s": median_seconds(forward, repeats),
        "forward_backward_s": median_seconds(both, repeats),
    }
    return {
        "voxels": len(support),
        "neighbours": 1.0 + sum(submanifold_plan(support, 3).pairs.counts) / len(support),
        "channels": channels,
        **times,
        "torch_to_spconv": {
            name: time["torch"] / time["spconv"] for name, time in times.items() if "spconv" in time
        },
        "peak_bytes": {name: peak_bytes(call) for name, call in both.items()},
        "feats_in_and_out_bytes": 2 * feats.numel() * feats.element_size(),
    }


def _layers(
    module: SubmanifoldConv3d, support: Support
) -> tuple[dict[str, Layer], dict[str, Callable[[], object]]]:
    """The layer of every peer, which keeps its plan once called, and what builds such a plan."""
    layers: dict[str, Layer] = {
        "torch": lambda feats: module(SparseTensor.on(support, feats)).feats
    }
    plans: dict[str, Callable[[], object]] = {"torch": lambda: _build_plan(support)}
    if find_spec("spconv"):
        layers["spconv"], plans["spconv"] = _spconv_layer(module, support)
    return layers, plans


def _build_plan(support: Support) -> object:
    fresh = Support(support.coords, support.batch_size, support.stride)
    return submanifold_plan(fresh, 3).pairs.blocks(len(fresh))


def _spconv_layer(
    module: SubmanifoldConv3d, support: Support
) -> tuple[Layer, Callable[[], object]]:
    """Spconv's own layer on CPU tensors: its native algorithm, with weights of its own layout."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spconv, native = (
            import_module("spconv.pytorch"),
            import_module("spconv.core").ConvAlgo.Native,
        )
    _, c_in, c_out = module.weight.shape
    layer = spconv.SubMConv3d(c_in, c_out, 3, bias=False, indice_key="plan", algo=native)
    own = module.weight.detach().permute(2, 0, 1).reshape(layer.weight.shape)
    layer.weight = torch.nn.Parameter(own.contiguous())
    shape = (support.coords[:, 1:].max(0).values + 1).tolist()
    coords, batch_size = support.coords.int(), support.batch_size
    pairs: dict[str, Any] = {}

    def run(feats: Tensor) -> Tensor:
        x = spconv.SparseConvTensor(feats, coords, shape, batch_size)
        x.indice_dict = pairs
        out = layer(x)
        pairs.update(out.indice_dict)
        return out.features

    def plan() -> object:
        search = spconv.ops.get_indice_pairs
        return search(coords, batch_size, shape, native, *([n] * 3 for n in (3, 1, 1, 1, 0)), True)

    return run, plan


def _forward(layer: Layer, feats: Tensor) -> Callable[[], object]:
    return torch.no_grad()(lambda: layer(feats))


def _both_ways(layer: Layer, feats: Tensor, grad: Tensor) -> Callable[[], object]:
    def call() -> None:
        layer(feats).backward(grad)
        feats.grad = None  # so that no call starts by freeing what an earlier one made

    return call


def _check(channels: int) -> None:
    """Every layer's output against dense convolution in float64, on a small cube."""
    support = Case(500, 8.0).support()
    module = SubmanifoldConv3d(channels, channels, bias=False)
    feats = torch.randn(len(support), channels)
    side = int(support.coords.max()) + 1
    dense = SparseTensor.on(support, feats.double()).to_dense((side, side, side))
    kernel = module.weight.double().view(3, 3, 3, channels, channels).permute(4, 3, 0, 1, 2)
    x, y, z = support.coords[:, 1:].unbind(1)
    truth = F.conv3d(dense, kernel, padding=1)[0, :, x, y, z].T
    for name, layer in _layers(module, support)[0].items():
        error = float((layer(feats) - truth).abs().max().detach())
        if error > _TOLERANCE:
            raise RuntimeError(f"{name}: differs by {error:g} from dense convolution")


def _on_surfaces(voxels: int) -> Tensor:
    """As many simulated frames as it takes, one per sample."""
    volume = Volume.from_settings(VolumeSettings())
    parts: list[Tensor] = []
    while sum(map(len, parts)) < voxels:
        pair = simulate_pair(0, len(parts))
        index = torch.from_numpy(voxelize_lidar(pair.lidar_in_radar_frame, volume).index)
        parts.append(F.pad(index, (1, 0), value=len(parts)))
    return torch.cat(parts)[:voxels]


def _anywhere(voxels: int, neighbours: float) -> Tensor:
    """Voxels of a cube, drawn so that a kernel covers that many on average."""
    share = (neighbours - 1.0) / 26.0
    side = round((voxels / share) ** (1 / 3))
    cells = torch.randperm(side**3, generator=torch.Generator().manual_seed(0))[:voxels]
    x, y, z = cells // side**2, cells // side % side, cells % side
    return torch.stack([torch.zeros_like(x), x, y, z], dim=1)
