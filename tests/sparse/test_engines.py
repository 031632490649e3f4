"""Every engine, every layer: equal to dense convolution at the active voxels, both ways."""

from contextlib import contextmanager
from importlib.util import find_spec
from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from radarsparse.errors import InputError
from radarsparse.sparse import (
    InverseConv3d,
    SparseTensor,
    StridedConv3d,
    Subdivide,
    SubmanifoldConv3d,
    engines,
    use_engine,
)
from radarsparse.sparse.engines import convolve, engine_in_use, packed, packing, table
from radarsparse.sparse.engines.packed import PackedEngine, multiplies_bfloat16
from radarsparse.sparse.engines.table import convolve_by_table
from radarsparse.sparse.ops import children
from radarsparse.sparse.plan import inverse_plan, strided_plan, submanifold_plan
from tests.oracles import at, dense_kernel, dense_strided, random_sparse

GRID = 6
HAS_SPCONV = find_spec("spconv") is not None
NO_SPCONV = "spconv isn't installed; it comes with the extras cu126 and cu120"
needs_spconv = [pytest.mark.spconv, pytest.mark.skipif(not HAS_SPCONV, reason=NO_SPCONV)]
SPCONV = pytest.param("spconv", marks=needs_spconv)
every_engine = pytest.mark.parametrize("engine", ["torch", "tables", SPCONV])


class _Tables:
    """The way of the torch engine on CUDA, taken on the CPU, in one part or in many."""

    def conv(self, feats, weight, bias, plan):
        return convolve_by_table(feats, weight, bias, plan)


@contextmanager
def _using(engine):
    if engine != "tables":
        with use_engine(engine):
            yield
        return
    with patch.object(engines, "_TORCH", _Tables()), use_engine("torch"):
        yield


index = st.integers(0, GRID - 1)
voxel = st.tuples(st.sampled_from([0, 2]), index, index, index)  # sample 1 stays empty
clouds = st.sets(voxel, max_size=40).map(
    lambda voxels: torch.tensor(sorted(voxels), dtype=torch.int64).reshape(-1, 4)
)


def _tensor(coords):
    return SparseTensor(torch.randn(len(coords), 3, dtype=torch.float64), coords, 3)


def _agree(layer, x, sparse, dense):
    """Output and gradients of both ways are equal; each maps a sparse tensor to [m, c]."""
    results = []
    for run in (sparse, dense):
        feats = x.feats.clone().requires_grad_()
        layer.zero_grad()
        out = run(x.replace(feats))
        (out * torch.arange(out.numel()).view_as(out).cos()).sum().backward()
        results.append([out, feats.grad, *(p.grad for p in layer.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


@every_engine
@settings(max_examples=25, deadline=None)
@given(coords=clouds, kernel_size=st.sampled_from([1, 3]), bias=st.booleans())
def test_submanifold(engine, coords, kernel_size, bias):
    layer = SubmanifoldConv3d(3, 4, kernel_size, bias).double()

    def dense(x):
        kernel = dense_kernel(layer.weight)
        grid = F.conv3d(x.to_dense((GRID,) * 3), kernel, layer.bias, padding=kernel_size // 2)
        return at(grid, coords)

    with _using(engine):
        _agree(layer, _tensor(coords), lambda x: layer(x).feats, dense)


@every_engine
@settings(max_examples=25, deadline=None)
@given(coords=clouds, kernel_size=st.sampled_from([1, 2, 3]), bias=st.booleans())
def test_strided(engine, coords, kernel_size, bias):
    layer = StridedConv3d(3, 4, kernel_size, 2, bias).double()
    x = _tensor(coords)
    reached = layer(x).coords

    def dense(x):
        return at(dense_strided(x, layer.weight, layer.bias, GRID), reached)

    with _using(engine):
        _agree(layer, x, lambda x: layer(x).feats, dense)


@every_engine
@settings(max_examples=25, deadline=None)
@given(coords=clouds, kernel_size=st.sampled_from([2, 3]), bias=st.booleans())
def test_inverse(engine, coords, kernel_size, bias):
    fine = _tensor(coords)
    coarse = StridedConv3d(3, 3, kernel_size).double()(fine)
    layer = InverseConv3d(3, 4, kernel_size, bias).double()

    def dense(x):
        kernel = dense_kernel(layer.weight).transpose(0, 1)
        padding = (kernel_size - 1) // 2
        # One output more at the far end than the grid has, so that none is missing.
        grid = F.conv_transpose3d(x.to_dense((GRID // 2 + 1,) * 3), kernel, layer.bias, 2, padding)
        return at(grid, coords)

    with _using(engine):
        _agree(layer, coarse.replace(coarse.feats.detach()), lambda x: layer(x, fine).feats, dense)


@every_engine
@settings(max_examples=25, deadline=None)
@given(coords=clouds, bias=st.booleans())
def test_subdivide(engine, coords, bias):
    x = SparseTensor(torch.randn(len(coords), 3, dtype=torch.float64), coords, 3, stride=2)
    layer = Subdivide(3, 4, bias).double()
    children = layer(x).coords

    def dense(x):
        kernel = dense_kernel(layer.weight).transpose(0, 1)
        return at(F.conv_transpose3d(x.to_dense((GRID,) * 3), kernel, layer.bias, 2), children)

    with _using(engine):
        _agree(layer, x, lambda x: layer(x).feats, dense)


@pytest.mark.parametrize("engine", ["torch", SPCONV])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_computed_in_float32(engine, dtype, autocast):
    x = random_sparse(4)
    narrow = x.feats.to(dtype).requires_grad_()
    weight = torch.randn(27, 4, 4, requires_grad=True)
    plan = submanifold_plan(x.support, 3)
    with use_engine(engine):
        exact = convolve(narrow.float(), weight, plan)
        exact_grads = torch.autograd.grad(exact.to(dtype).sum(), (narrow, weight))
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = convolve(narrow, weight, plan)
            grads = torch.autograd.grad(out.sum(), (narrow, weight))
    assert torch.equal(out, exact.to(dtype))
    assert all(map(torch.equal, grads, exact_grads))


def test_tables_that_are_gathered_in_parts_give_what_one_part_gives(monkeypatch):
    x = random_sparse(3, voxels=150)
    down, same, up = (
        layer(3, 3).double() for layer in (StridedConv3d, SubmanifoldConv3d, InverseConv3d)
    )

    def run():
        feats = x.feats.clone().requires_grad_()
        out = same(up(same(down(x.replace(feats))), x)).feats
        parameters = [feats, *down.parameters(), *same.parameters(), *up.parameters()]
        return [out, *torch.autograd.grad(out.square().sum(), parameters)]

    with _using("tables"):
        whole = run()
        monkeypatch.setattr(table, "GATHERED_BYTES_MOST", 27 * 3 * 8 * 40)
        for ours, theirs in zip(run(), whole, strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", ["submanifold", "strided", "inverse", "subdivide", "redirected"])
def test_tables_and_slots_hold_the_pairs_of_the_plan(kind):
    plan = _plan_of(kind)
    for way in (plan, plan.reversed()):
        pairs, table = way.pairs, way.table
        expected = torch.full_like(table, way.n_inputs)
        for offset, i, o in zip(pairs.offset, pairs.input_rows, pairs.output_rows, strict=True):
            expected[o, offset] = i
        if way.centre is not None:
            expected[:, way.centre] = torch.arange(way.n_outputs)
        assert torch.equal(table, expected)
        if way.slots is not None:
            assert torch.equal(table.gather(1, (way.slots % 8)[:, None])[:, 0], way.slots // 8)
            assert ((table < way.n_inputs).sum(1) == 1).all()


def _plan_of(kind):
    x = random_sparse(1, voxels=60, stride=2)
    if kind == "submanifold":
        return submanifold_plan(x.support, 3)
    if kind == "strided":
        return strided_plan(x.support, 3, 2)[0]
    if kind == "subdivide":
        return children(x.support, torch.rand(len(x.feats), 8) > 0.5)[1]
    other = random_sparse(1, grid=3, voxels=10, stride=4, seed=2)
    coarse = other.support if kind == "redirected" else strided_plan(x.support, 2, 2)[1]
    return inverse_plan(coarse, x.support, 2)


def test_an_unknown_engine_is_refused():
    with (
        pytest.raises(InputError, match=r"'none' is not available; there is: auto, torch, spconv"),
        use_engine("none"),
    ):
        pass


@pytest.mark.skipif(HAS_SPCONV, reason="spconv is installed")
def test_an_engine_that_is_not_installed_names_what_to_install():
    with pytest.raises(InputError, match="install the extra cu126"), use_engine("spconv"):
        pass


@pytest.mark.parametrize(
    ("spconv", "numpy", "usable"),
    [("2.3.6", "2.1.0", False), ("2.3.6", "1.26.4", True), ("2.3.8", "2.4.6", True)],
)
def test_spconv_that_was_built_for_another_numpy_is_not_imported(
    spconv, numpy, usable, monkeypatch
):
    versions = {"spconv-cu120": spconv, "numpy": numpy}
    monkeypatch.setattr(engines, "find_spec", lambda _: object())
    monkeypatch.setattr(engines, "packages_distributions", lambda: {"spconv": ["spconv-cu120"]})
    monkeypatch.setattr(engines, "version", versions.get)
    obstacle = engines.spconv_obstacle.__wrapped__()
    if usable:
        assert obstacle is None
    else:
        words = "spconv-cu120 2.3.6 was built for numpy 1, here is numpy 2.1.0"
        assert words in str(obstacle)


@pytest.mark.spconv
@pytest.mark.skipif(not HAS_SPCONV, reason=NO_SPCONV)
def test_spconv_says_why_it_refuses():
    layer = SubmanifoldConv3d(1, 1, 5).double()
    with use_engine("spconv"), pytest.raises(InputError, match="kernel of 125 offsets: at most 31"):
        layer(random_sparse(1))


@pytest.mark.spconv
@pytest.mark.skipif(not HAS_SPCONV, reason=NO_SPCONV)
def test_spconv_is_refused_once_its_trial_fails(monkeypatch):
    from radarsparse.sparse.engines import spconv  # noqa: PLC0415 (it isn't always installed)

    device = torch.device("cpu")
    assert spconv.find_fault(device, torch.float32) is None
    with torch.inference_mode():
        assert spconv.find_fault.__wrapped__(device, torch.float32) is None
    indice_conv, to_krsc = spconv._ops.indice_conv, spconv._to_krsc
    for axes in ((1, 2), (1, 3), (2, 3)):
        monkeypatch.setattr(
            spconv,
            "_to_krsc",
            lambda w, axes=axes: to_krsc(w).transpose(*axes).contiguous(),
        )
        assert "erred by" in str(spconv.find_fault.__wrapped__(device, torch.float32))
    monkeypatch.setattr(spconv, "_to_krsc", to_krsc)
    monkeypatch.setattr(spconv._ops, "indice_conv", lambda *args: 1.01 * indice_conv(*args))
    assert "erred by 0.0" in str(spconv.find_fault.__wrapped__(device, torch.float32))

    def fail(*_):
        raise RuntimeError("no kernel image")

    monkeypatch.setattr(spconv._ops, "indice_conv", fail)
    assert "no kernel image" in str(spconv.find_fault.__wrapped__(device, torch.float32))


@pytest.mark.parametrize(
    ("feats", "message"),
    [
        (torch.zeros(4, 2), "feats has 2 channels, must have 3"),
        (torch.zeros(4, 3), "feats is torch.float32, weight torch.float64"),
        (torch.zeros(4, 3, dtype=torch.float64, device="meta"), "feats is on meta"),
    ],
)
def test_what_does_not_fit_is_refused(feats, message):
    support = random_sparse(3, voxels=200).support
    weight = torch.zeros(27, 3, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match=message):
        convolve(feats, weight, submanifold_plan(support, 3))


def test_packed_products_err_as_little_as_is_said():
    rng = torch.Generator().manual_seed(0)
    x = random_sparse(24, grid=9, voxels=300)
    for plan in (submanifold_plan(x.support, 3), strided_plan(x.support, 2, 2)[0]):
        weight = torch.randn(plan.kernel_volume, 24, 40, generator=rng)
        feats, bias = x.feats.float(), torch.randn(40, generator=rng)
        with torch.no_grad():
            ours = PackedEngine().conv(feats, weight, bias, plan)
            exact = convolve(feats.double(), weight.double(), plan)
            summed = convolve(feats.double().abs(), weight.double().abs(), plan)
        error = (ours.double() - (exact + bias)).abs()
        assert (error <= 2.0**-8 * (summed + exact.abs()) + 1e-5).all()
        assert error.max() > 1e-4  # it is no float32


def test_packed_products_of_what_has_one_input_each():
    rng = torch.Generator().manual_seed(1)
    x = random_sparse(8, grid=9, voxels=80)
    plan = strided_plan(x.support, 2, 2)[0].reversed()
    assert plan.slots is not None
    feats = torch.randn(plan.n_inputs, 8, generator=rng)
    weight = torch.randn(plan.kernel_volume, 8, 8, generator=rng)
    with torch.no_grad():
        ours = PackedEngine().conv(feats, weight, None, plan)
        torch.testing.assert_close(ours, convolve(feats, weight, plan), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize(("engine", "packs"), [("auto", True), ("torch", False)])
def test_only_auto_packs_and_not_where_gradients_are(engine, packs):
    rng = torch.Generator().manual_seed(0)
    x = random_sparse(8, grid=5)
    plan, weight = submanifold_plan(x.support, 3), torch.randn(27, 8, 8, generator=rng)
    feats = x.feats.float()
    exact = convolve(feats, weight, plan)
    with patch.object(engines, "multiplies_bfloat16", lambda: True), use_engine(engine), packing():
        assert engine_in_use() == engine
        with torch.no_grad():
            assert torch.equal(convolve(feats, weight, plan), exact) != packs
            wide = convolve(feats.double(), weight.double(), plan)
        assert torch.equal(convolve(feats, weight, plan), exact)
    torch.testing.assert_close(wide.float(), exact)
    with torch.no_grad():
        assert torch.equal(convolve(feats, weight, plan), exact)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t: fpu avx512f avx512_bf16 sse\n", True),
        ("flags\t: fpu amx_bf16\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("flags\t: fpu avx2\nbugs\t: avx512_bf16\n", False),
        ("", False),
        (None, False),
    ],
)
def test_the_processor_says_whether_it_multiplies_bfloat16(tmp_path, text, expected):
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    with patch.object(packed, "_PROCESSOR", tmp_path / "cpuinfo"):
        assert multiplies_bfloat16.__wrapped__() == expected
