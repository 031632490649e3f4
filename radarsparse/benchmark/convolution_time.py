"""Submanifold convolutions, checked, then timed beside spconv's own where it is installed."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from radarsparse.benchmark.measure import find_device, median_seconds, name_device
from radarsparse.config import VolumeSettings
from radarsparse.geometry import Volume
from radarsparse.simulator.pairs import simulate_pair
from radarsparse.sparse import SparseTensor, SubmanifoldConv3d, Support, use_engine
from radarsparse.sparse.engines.torch import runs_of
from radarsparse.sparse.plan import submanifold_plan
from radarsparse.training.planning.memory import peak_bytes
from radarsparse.voxels.voxelize import voxelize_lidar

CHANNELS = (16, 32, 64, 128)
# Sums of some tens of products in float32, whose terms are of order one; GPUs may use 10 bits.
_TOLERANCE = {"cpu": 1e-5, "cuda": 5e-3}
_CPU = torch.device("cpu")


class Peer(NamedTuple):
    """A layer, which keeps its plan once called, and what builds such a plan."""

    layer: Callable[[Tensor], Tensor]
    plan: Callable[[], object]


@dataclass(frozen=True)
class Case:
    """Voxels on surfaces, as simulated LiDAR frames have them, or anywhere in a cube.

    `neighbours` is the mean number of active voxels under a kernel anywhere in the cube, None for
    surfaces, which have their own.
    """

    voxels: int
    neighbours: float | None = None

    def support(self, device: torch.device = _CPU) -> Support:
        """The same voxels at every call."""
        if self.neighbours is None:
            coords = _on_surfaces(self.voxels)
        else:
            coords = _anywhere(self.voxels, self.neighbours)
        samples = int(coords[:, 0].max()) + 1
        return SparseTensor(torch.zeros(len(coords), 1), coords, samples).to(device).support


CASES = (
    *(Case(voxels) for voxels in (5_000, 20_000, 52_000, 200_000)),
    *(Case(52_000, 3.0), Case(20_000, 8.0), Case(200_000, 8.0)),
)


def time_case(case: Case, channels: int, repeats: int) -> dict[str, Any]:
    """Median times of both ways through one layer, and of building its plan, on CUDA if there is.

    Raises:
        RuntimeError: a layer's output is not that of dense convolution.
    """
    device = find_device()
    _check(channels, device)
    support = case.support(device)
    module = SubmanifoldConv3d(channels, channels, bias=False).to(device)
    peers = _peers(module, support)
    feats = torch.randn(len(support), channels, device=device, requires_grad=True)
    grad = torch.randn_like(feats)
    forward = {name: torch.no_grad()(partial(peer.layer, feats)) for name, peer in peers.items()}
    both = {name: partial(_both_ways, peer, feats, grad) for name, peer in peers.items()}
    times = {
        "plan_s": median_seconds({name: peer.plan for name, peer in peers.items()}, repeats),
        "forward_s": median_seconds(forward, repeats),
        "forward_backward_s": median_seconds(both, repeats),
    }
    return {
        "device": name_device(device),
        "voxels": len(support),
        "neighbours": 1.0 + sum(submanifold_plan(support, 3).pairs.counts) / len(support),
        "channels": channels,
        **times,
        "torch_to_spconv": {
            name: time["torch"] / time["spconv"] for name, time in times.items() if "spconv" in time
        },
        "peak_bytes": {name: peak_bytes(call, device) for name, call in both.items()},
        "feats_in_and_out_bytes": 2 * feats.numel() * feats.element_size(),
    }


def _peers(module: SubmanifoldConv3d, support: Support) -> dict[str, Peer]:
    peers = {"torch": Peer(partial(_run, module, support), partial(_build_plan, module, support))}
    if find_spec("spconv"):
        peers["spconv"] = _spconv(module, support)
    return peers


def _run(module: SubmanifoldConv3d, support: Support, feats: Tensor) -> Tensor:
    with use_engine("torch"):
        return module(SparseTensor.on(support, feats)).feats


def _build_plan(module: SubmanifoldConv3d, support: Support) -> object:
    """In the form in which our engine executes it."""
    fresh = Support(support.keys, support.batch_size, support.stride)
    plan = submanifold_plan(fresh, 3)
    return plan.table if support.coords.is_cuda else runs_of(plan, module.weight[0])


def _spconv(module: SubmanifoldConv3d, support: Support) -> Peer:
    """Spconv's own layer, with weights of its own layout: what it takes by itself on CUDA."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spconv, algorithms = import_module("spconv.pytorch"), import_module("spconv.core").ConvAlgo
    if support.coords.is_cuda:
        algo, search = algorithms.MaskImplicitGemm, spconv.ops.get_indice_pairs_implicit_gemm
    else:
        algo, search = algorithms.Native, spconv.ops.get_indice_pairs
    _, c_in, c_out = module.weight.shape
    layer = spconv.SubMConv3d(c_in, c_out, 3, bias=False, indice_key="plan", algo=algo)
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
        return search(coords, batch_size, shape, algo, *([n] * 3 for n in (3, 1, 1, 1, 0)), True)

    return Peer(run, plan)


def _both_ways(peer: Peer, feats: Tensor, grad: Tensor) -> None:
    peer.layer(feats).backward(grad)
    feats.grad = None  # so that no call starts by freeing what an earlier one made


def _check(channels: int, device: torch.device) -> None:
    """Every layer's output against dense convolution in float64, on a small cube."""
    support = Case(500, 8.0).support(device)
    module = SubmanifoldConv3d(channels, channels, bias=False).to(device)
    feats = torch.randn(len(support), channels, device=device)
    side = int(support.coords.max()) + 1
    dense = SparseTensor.on(support, feats.double()).to_dense((side, side, side))
    kernel = module.weight.double().view(3, 3, 3, channels, channels).permute(4, 3, 0, 1, 2)
    x, y, z = support.coords[:, 1:].unbind(1)
    truth = F.conv3d(dense, kernel, padding=1)[0, :, x, y, z].T
    for name, peer in _peers(module, support).items():
        error = float((peer.layer(feats) - truth).abs().max().detach())
        if error > _TOLERANCE[device.type]:
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
