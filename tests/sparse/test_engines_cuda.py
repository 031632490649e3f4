"""Every engine on a GPU, every layer: what the CPU gives in float64, both ways."""

from importlib.util import find_spec

import pytest
import torch

from radarsparse.sparse import (
    InverseConv3d,
    SparseTensor,
    StridedConv3d,
    Subdivide,
    SubmanifoldConv3d,
    use_engine,
)
from tests.oracles import random_sparse

CUDA = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU"),
]
SPCONV = [
    pytest.mark.spconv,
    pytest.mark.skipif(find_spec("spconv") is None, reason="spconv isn't installed"),
]
# On the CPU, too, so that the comparison itself is tried everywhere.
PLACES = [
    pytest.param("torch", "cpu"),
    pytest.param("torch", "cuda", marks=CUDA),
    pytest.param("spconv", "cuda", marks=CUDA + SPCONV),
]


@pytest.mark.parametrize(("engine", "device"), PLACES)
@pytest.mark.parametrize("kind", ["submanifold", "strided", "inverse", "subdivide"])
def test_an_engine_gives_what_the_cpu_gives_in_float64(kind, engine, device):
    x = random_sparse(16, grid=30, voxels=6000, stride=2)
    layers = _layers(kind)
    expected = _both_ways(kind, layers.double(), x, "torch")
    moved = SparseTensor(x.feats.float().to(device), x.coords.to(device), x.batch_size, x.stride)
    found = _both_ways(kind, layers.float().to(device), moved, engine)
    for ours, theirs in zip(found, expected, strict=True):
        # GPUs may use 10 bits of what is multiplied.
        most = float(theirs.abs().max())
        torch.testing.assert_close(ours.cpu().double(), theirs, rtol=1e-3, atol=1e-3 * most)


def _layers(kind):
    if kind == "submanifold":
        return torch.nn.ModuleList([SubmanifoldConv3d(16, 32)])
    if kind == "strided":
        return torch.nn.ModuleList([StridedConv3d(16, 32, 3)])
    if kind == "subdivide":
        return torch.nn.ModuleList([Subdivide(16, 32)])
    return torch.nn.ModuleList([StridedConv3d(16, 16), InverseConv3d(16, 32)])


def _both_ways(kind, layers, x, engine):
    """Output and gradients of features and weights."""
    feats = x.feats.clone().requires_grad_()
    with use_engine(engine):
        out = layers[0](x.replace(feats))
        out = (layers[1](out, x) if kind == "inverse" else out).feats
        weight = torch.arange(out.numel(), device=out.device).view_as(out).cos()
        gradients = torch.autograd.grad((out * weight).sum(), [feats, *layers.parameters()])
    return [out.detach(), *gradients]
