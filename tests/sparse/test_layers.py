import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from radarsparse.sparse import (
    InverseConv3d,
    SparseTensor,
    StridedConv3d,
    Subdivide,
    SubmanifoldConv3d,
)
from radarsparse.sparse.engines.torch import runs_of
from radarsparse.sparse.plan import submanifold_plan
from tests.oracles import at, dense_kernel, dense_strided, empty_sparse, random_sparse

GRID = 6


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_submanifold_equals_dense_convolution_at_active_voxels(kernel_size, bias):
    x = random_sparse(3)
    layer = SubmanifoldConv3d(3, 5, kernel_size, bias).double()
    y = layer(x)
    kernel = dense_kernel(layer.weight)
    dense = F.conv3d(x.to_dense((GRID,) * 3), kernel, layer.bias, padding=kernel_size // 2)
    assert torch.equal(y.coords, x.coords)
    torch.testing.assert_close(y.feats, at(dense, x.coords))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel_size", [1, 2, 3])
def test_strided_equals_dense_convolution_and_reaches_every_output(kernel_size, bias):
    x = random_sparse(3)
    layer = StridedConv3d(3, 4, kernel_size, bias=bias).double()
    y = layer(x)
    dense = dense_strided(x, layer.weight, layer.bias, GRID)
    torch.testing.assert_close(y.feats, at(dense, y.coords))
    ones = dense_strided(x.replace(x.feats.abs() + 1), torch.ones_like(layer.weight), None, GRID)
    assert y.coords.tolist() == ones[:, 0].nonzero().tolist()
    assert (y.stride, y.batch_size) == (2, 3)


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_inverse_equals_dense_transposed_convolution_at_the_support_returned_to(kernel_size):
    x = random_sparse(3)
    coarse = StridedConv3d(3, 4, kernel_size).double()(x)
    layer = InverseConv3d(4, 2, kernel_size).double()
    y = layer(coarse, like=x)
    kernel = dense_kernel(layer.weight).transpose(0, 1)
    dense = F.conv_transpose3d(
        coarse.to_dense((GRID,) * 3), kernel, layer.bias, 2, padding=(kernel_size - 1) // 2
    )
    assert torch.equal(y.coords, x.coords)
    torch.testing.assert_close(y.feats, at(dense, x.coords))


def test_inverse_takes_a_coarse_support_with_other_voxels():
    x = random_sparse(3, seed=1)
    other = random_sparse(4, grid=3, voxels=10, stride=2, seed=2)
    layer = InverseConv3d(4, 2).double()
    kernel = dense_kernel(layer.weight).transpose(0, 1)
    dense = F.conv_transpose3d(other.to_dense((3,) * 3), kernel, layer.bias, 2)
    torch.testing.assert_close(layer(other, like=x).feats, at(dense, x.coords))


@pytest.mark.parametrize("masked", [False, True])
def test_subdivide_equals_dense_transposed_convolution_at_the_children(masked):
    x = random_sparse(3, stride=2)
    keep = torch.rand(len(x.feats), 8) > 0.5 if masked else None
    layer = Subdivide(3, 2).double()
    y = layer(x, keep)
    dense = F.conv_transpose3d(
        x.to_dense((GRID,) * 3), dense_kernel(layer.weight).transpose(0, 1), layer.bias, 2
    )
    torch.testing.assert_close(y.feats, at(dense, y.coords))
    assert len(y.feats) == (8 * len(x.feats) if keep is None else int(keep.sum()))
    assert y.stride == 1
    assert y.coords.tolist() == sorted(y.coords.tolist())


def test_more_rows_than_one_block_equal_dense_convolution():
    x = random_sparse(2, grid=20, voxels=14_000, batch=(0, 1, 2))
    layer = SubmanifoldConv3d(2, 3).double()
    assert len(runs_of(submanifold_plan(x.support, 3), layer.weight[0])) > 2
    dense = F.conv3d(x.to_dense((20,) * 3), dense_kernel(layer.weight), layer.bias, padding=1)
    torch.testing.assert_close(layer(x).feats, at(dense, x.coords))
    feats = x.feats.clone().requires_grad_()
    seen = torch.randn(len(feats), 3, dtype=torch.float64)
    (layer(x.replace(feats)).feats * seen).sum().backward()
    sparse_grads = feats.grad, layer.weight.grad.clone()
    feats.grad, layer.weight.grad = None, None
    dense = F.conv3d(
        x.replace(feats).to_dense((20,) * 3), dense_kernel(layer.weight), layer.bias, padding=1
    )
    (at(dense, x.coords) * seen).sum().backward()
    torch.testing.assert_close(sparse_grads[0], feats.grad)
    torch.testing.assert_close(sparse_grads[1], layer.weight.grad)


def _gradients_hold(layer, x, *rest):
    parameters = list(layer.parameters())

    def run(feats, *_):
        return layer(x.replace(feats), *rest).feats

    return gradcheck(run, (x.feats.clone().requires_grad_(), *parameters))


def test_gradients_of_every_layer():
    x = random_sparse(2, grid=3, voxels=12)
    even = random_sparse(2, grid=3, voxels=6, stride=2)
    coarse = StridedConv3d(2, 2).double()(x)
    coarse = coarse.replace(coarse.feats.detach())
    assert _gradients_hold(SubmanifoldConv3d(2, 2).double(), x)
    assert _gradients_hold(StridedConv3d(2, 2, 3).double(), x)
    assert _gradients_hold(InverseConv3d(2, 2).double(), coarse, x)
    assert _gradients_hold(Subdivide(2, 2).double(), even)


def test_empty_tensors_pass_every_layer():
    x, even = empty_sparse(2), empty_sparse(2, stride=2)
    outputs = [
        SubmanifoldConv3d(2, 3).double()(x),
        StridedConv3d(2, 3).double()(x),
        InverseConv3d(2, 3).double()(even, like=x),
        Subdivide(2, 3).double()(even),
    ]
    assert [tuple(y.feats.shape) for y in outputs] == [(0, 3)] * 4
    assert [y.stride for y in outputs] == [1, 2, 1, 1]
    assert all(y.batch_size == 2 for y in outputs)


def test_bfloat16_is_computed_in_float32():
    x = random_sparse(3)
    layer = SubmanifoldConv3d(3, 4)
    half = SparseTensor(x.feats.bfloat16(), x.coords, 3)
    layer_half = SubmanifoldConv3d(3, 4).bfloat16()
    layer_half.load_state_dict(layer.state_dict())
    single = SubmanifoldConv3d(3, 4)
    single.load_state_dict({k: v.float() for k, v in layer_half.state_dict().items()})
    y = layer_half(half).feats
    assert y.dtype == torch.bfloat16
    expected = single(half.replace(half.feats.float())).feats
    # Two roundings to 8 bits of mantissa: of the convolution and of the sum with the bias.
    torch.testing.assert_close(y.float(), expected, rtol=2**-7, atol=2**-7)


def test_layers_on_the_same_coordinates_share_a_plan(monkeypatch):
    x = random_sparse(2)
    x = x.replace(x.feats)
    first, second = SubmanifoldConv3d(2, 2).double(), SubmanifoldConv3d(2, 2).double()
    y = first(x)
    searches = []
    find = type(x.support).find
    monkeypatch.setattr(type(x.support), "find", lambda *a: searches.append(1) or find(*a))
    second(y)
    assert not searches


def test_the_same_input_gives_the_same_bits():
    x = random_sparse(8, voxels=150)
    layer = SubmanifoldConv3d(8, 8).double()
    assert all(torch.equal(layer(x).feats, layer(x).feats) for _ in range(5))


@pytest.mark.parametrize("kernel_size", [2, 4])
def test_even_submanifold_kernels_are_refused(kernel_size):
    with pytest.raises(ValueError, match=f"kernel_size {kernel_size} must be odd"):
        SubmanifoldConv3d(1, 1, kernel_size)(random_sparse(1))


def test_children_of_odd_strides_are_refused():
    with pytest.raises(ValueError, match="stride 1"):
        Subdivide(1, 1)(random_sparse(1))
