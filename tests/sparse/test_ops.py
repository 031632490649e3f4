import pytest
import torch

from radarsparse.sparse import fill, look_up, prune, union
from radarsparse.sparse.ops import active_children, parent_support
from tests.oracles import at, empty_sparse, random_sparse

SHAPE = (6, 6, 6)


def test_prune_drops_rows():
    x = random_sparse(2)
    keep = x.feats[:, 0] > 0
    y = prune(x, keep)
    assert torch.equal(y.feats, x.feats[keep])
    assert torch.equal(y.coords, x.coords[keep])


def test_union_equals_the_sum_of_dense_grids():
    a, b = random_sparse(2, seed=1), random_sparse(2, seed=2, batch=(0, 1))
    both = union(a, b)
    assert torch.equal(both.to_dense(SHAPE), a.to_dense(SHAPE) + b.to_dense(SHAPE))
    expected = {tuple(row) for x in (a, b) for row in x.coords.tolist()}
    assert [tuple(row) for row in both.coords.tolist()] == sorted(expected)


def test_union_with_nothing_changes_nothing():
    a = random_sparse(2)
    both = union(a, empty_sparse(2, batch_size=3))
    assert torch.equal(both.feats, a.feats)


def test_look_up_is_zero_where_nothing_is_active():
    x = random_sparse(2)
    asked = torch.cartesian_prod(torch.arange(3), *[torch.arange(6)] * 3)
    feats, there = look_up(x, asked)
    assert torch.equal(feats, at(x.to_dense(SHAPE), asked))
    assert int(there.sum()) == len(x.feats)


def test_fill_puts_features_on_another_support():
    x, like = random_sparse(2, seed=1), random_sparse(5, seed=2)
    y = fill(x, like.support)
    assert torch.equal(y.feats, at(x.to_dense(SHAPE), like.coords))
    assert torch.equal(fill(empty_sparse(2, 3), like.support).feats, torch.zeros_like(y.feats))


def test_fill_refuses_another_stride():
    with pytest.raises(ValueError, match="stride 1 and batch size 3 don't fit stride 2"):
        fill(random_sparse(2), random_sparse(2, stride=2).support)


def test_parents_and_their_active_children_are_those_of_a_loop():
    fine = random_sparse(1).support
    parents = parent_support(fine)
    rows = {tuple(row) for row in fine.coords.tolist()}
    halves = {(b, x // 2, y // 2, z // 2) for b, x, y, z in rows}
    assert [tuple(row) for row in parents.coords.tolist()] == sorted(halves)
    expected = [
        [
            (b, 2 * x + i, 2 * y + j, 2 * z + k) in rows
            for i in (0, 1)
            for j in (0, 1)
            for k in (0, 1)
        ]
        for b, x, y, z in parents.coords.tolist()
    ]
    assert active_children(parents, fine).tolist() == expected
