import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from radarsparse.sparse import SparseTensor, Subdivide
from radarsparse.sparse.tensor import INDEX_LIMIT, pack_keys, unpack_keys
from tests.oracles import random_sparse

indices = st.integers(-INDEX_LIMIT, INDEX_LIMIT)
voxels = st.tuples(st.integers(0, 100), indices, indices, indices)


def test_rows_are_sorted_by_batch_x_y_z_and_feats_follow():
    coords = torch.tensor([[1, 0, 0, 0], [0, 5, 0, 0], [0, 0, 2, 1], [0, 0, 2, 0]])
    x = SparseTensor(torch.tensor([[1.0], [2.0], [3.0], [4.0]]), coords, batch_size=2)
    assert x.coords.tolist() == sorted(coords.tolist())
    assert x.feats[:, 0].tolist() == [4.0, 3.0, 2.0, 1.0]


@given(st.lists(voxels, min_size=2, max_size=8, unique=True))
def test_keys_keep_the_order_and_lose_nothing(rows):
    coords = torch.tensor(sorted(rows))
    keys = pack_keys(coords)
    assert (keys[1:] > keys[:-1]).all()
    assert torch.equal(unpack_keys(keys), coords)


def test_to_dense_puts_every_row_at_its_place():
    x = random_sparse(3)
    dense = x.to_dense((6, 6, 6))
    expected = torch.zeros(3, 3, 6, 6, 6, dtype=torch.float64)
    for (b, i, j, k), feats in zip(x.coords.tolist(), x.feats, strict=True):
        expected[b, :, i, j, k] = feats
    assert torch.equal(dense, expected)


def test_to_dense_refuses_a_grid_that_is_too_small():
    x = SparseTensor(torch.ones(1, 1), torch.tensor([[0, 4, 0, 0]]))
    with pytest.raises(ValueError, match=r"\[4, 0, 0\].*\(4, 4, 4\)"):
        x.to_dense((4, 4, 4))


@pytest.mark.parametrize(
    ("feats", "coords", "batch_size", "message"),
    [
        (torch.ones(2, 1), torch.tensor([[0, 1, 2, 3]] * 2), 1, "more than once"),
        (torch.ones(1, 1), torch.tensor([[1, 0, 0, 0]]), 1, "batch index 1 .. 1 must be 0 .. 0"),
        (torch.ones(2, 1), torch.tensor([[0, 0, 0, 0]]), 1, "2 rows, coords 1"),
        (torch.ones(1, 1), torch.tensor([[0, 40000, 0, 0]]), 1, "40000 exceeds"),
        (torch.ones(1, 1), torch.tensor([[0.0, 0, 0, 0]]), 1, r"int \[n, 4\]"),
        (torch.ones(1), torch.tensor([[0, 0, 0, 0]]), 1, r"float \[n, c\]"),
    ],
)
def test_unusable_input_is_named(feats, coords, batch_size, message):
    with pytest.raises(ValueError, match=message):
        SparseTensor(feats, coords, batch_size)


def test_the_bound_is_one_of_voxels_of_stride_1():
    """Children beyond it would come out in another sample."""
    most = INDEX_LIMIT // 2
    x = SparseTensor(torch.ones(2, 1), torch.tensor([[0, most, -most, 0], [0, 0, 0, 0]]), 1, 2)
    children = Subdivide(1, 1)(x).coords
    assert children.aminmax(dim=0).max.tolist() == [0, 2 * most + 1, 1, 1]
    assert children.aminmax(dim=0).min.tolist() == [0, 0, -2 * most, 0]
    with pytest.raises(ValueError, match=f"{most + 1} exceeds the bound {most}"):
        SparseTensor(torch.ones(1, 1), torch.tensor([[0, most + 1, 0, 0]]), 1, 2)
