"""The pretended device itself: it refuses, counts, captures, and leaves nothing behind."""

import copy
import threading

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from radarsparse.metrics.nearest import cuda as cuda_metrics
from radarsparse.voxels.scene import lattice
from tests.pretended.device import CudaError, Pretended, pretended_cuda
from tests.pretended.tensor import CudaTensor

CUDA = torch.device("cuda", 0)


def ones(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.ones(*shape, dtype=dtype, device=CUDA)


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(2, device="cuda"),
        lambda: torch.tensor([0.0, 0.0], device="cuda"),
        lambda: torch.as_tensor([0.0, 0.0], device=CUDA),
        lambda: torch.zeros(2).to("cuda"),
        lambda: torch.zeros(2).to(ones(1)),
        lambda: torch.zeros(2).cuda(),
        lambda: torch.arange(2, device=CUDA).float() * 0,
        lambda: ones(1).new_zeros(2),
        lambda: ones(1).new_tensor([0.0, 0.0]),
        lambda: torch.zeros_like(ones(2)),
        lambda: torch.full((2,), 0.0, device=CUDA),
        lambda: copy.deepcopy(torch.zeros(2, device=CUDA)),
    ],
)
def test_tensors_are_made_on_it(device: Pretended, make) -> None:
    made = make()
    assert made.device == CUDA
    assert made.is_cuda
    assert not made.is_cpu
    assert made.dtype == torch.float32
    assert torch.equal(made.cpu(), torch.zeros(2))
    assert type(made.cpu()) is torch.Tensor


@pytest.mark.parametrize(
    "mix",
    [
        lambda: ones(2) + torch.ones(2),
        lambda: ones(2).add_(torch.ones(2)),
        lambda: torch.ones(2).add_(ones(2)),
        lambda: torch.tensor(1.0).add_(ones(())),
        lambda: torch.cat([ones(2), torch.ones(2)]),
        lambda: torch.stack([ones(()), torch.ones(())]),
        lambda: ones(2, 2) @ torch.ones(2, 2),
        lambda: torch.mm(ones(2, 2), ones(2, 2), out=torch.ones(2, 2)),
        lambda: F.linear(ones(2, 2), torch.ones(2, 2)),
        lambda: F.layer_norm(ones(2, 2), (2,), torch.ones(2)),
        lambda: ones(2).index_select(0, torch.zeros(1, dtype=torch.int64)),
        lambda: torch.ones(2)[ones(1, dtype=torch.int64)],
        lambda: torch.searchsorted(ones(2), torch.ones(2)),
        lambda: torch.where(torch.ones(2) > 0, ones(2), 0.0),
        lambda: F.embedding_bag(torch.zeros(1, 1, dtype=torch.int64), ones(2, 2)),
        lambda: ones(2).scatter_(0, torch.zeros(1, dtype=torch.int64), 1.0),
    ],
)
def test_operations_on_tensors_of_both_devices_are_refused(device: Pretended, mix) -> None:
    with pytest.raises(CudaError, match=r"aten\..* at test_device\.py:\d+ .*on the CPU are"):
        mix()


def test_numbers_on_the_cpu_go_where_cuda_takes_them(device: Pretended) -> None:
    number = torch.tensor(2.0)
    two = ones(2) * number
    two[ones(2) > 1] = number
    assert torch.where(ones(2) > 0, 2.0, two).tolist() == two.tolist() == [2.0, 2.0]
    assert not device.copies
    torch.where(ones(2) > 0, number, two)
    two[ones(1, dtype=torch.int64)] = 2.0
    assert device.copies.total() == 2


def test_what_a_gpu_has_no_product_of_is_refused(device: Pretended) -> None:
    with pytest.raises(CudaError, match="must be one floating dtype"):
        ones(2, 2) @ ones(2, 2, dtype=torch.float64)
    with pytest.raises(CudaError, match="must be one floating dtype"):
        torch.addmm(ones(2, dtype=torch.float64), ones(2, 2), ones(2, 2))
    with pytest.raises(CudaError, match="must be one floating dtype"):
        torch.mm(ones(2, 2, dtype=torch.int64), ones(2, 2, dtype=torch.int64))
    with pytest.raises(CudaError, match="generator"):
        torch.randn(2, device=CUDA, generator=torch.Generator())
    with pytest.raises(TypeError, match="numpy"):
        ones(2).numpy()


def test_shapes_change_in_place(device: Pretended) -> None:
    one = ones(1, 3, 1).squeeze_(0).t_().unsqueeze_(2)
    assert one.shape == (1, 3, 1)
    assert one.mul(2).tolist() == [[[2.0], [2.0], [2.0]]]
    assert one.quantile(0.5).item() == 1.0


def test_launches_are_counted_by_place(device: Pretended) -> None:
    one = torch.empty(2, 2, device=CUDA)
    one.T[0].view(2, 1).detach().expand(2, 3)
    assert not device.launches
    one.fill_(1.0).add(1)
    assert device.launches.total() == 2
    assert all("test_launches_are_counted_by_place: " in place for place in device.launches)
    assert "launches: 2" in device.show()
    device.reset()
    assert not device.launches


@pytest.mark.parametrize(
    "ask",
    [
        lambda some: some[0].item(),
        lambda some: some.tolist(),
        lambda some: some.cpu(),
        lambda some: some.to("cpu", torch.float64),
        lambda some: torch.zeros(4).copy_(some),
        lambda some: bool((some > 0).any()),
        lambda some: int(some.sum()),
        lambda some: some.nonzero(),
        lambda some: some[some > 1],
        lambda some: some.masked_select(some > 1),
        lambda some: some.__setitem__(some > 1, ones(2)),
        lambda some: some.unique(),
        lambda some: some.unique_consecutive(),
        lambda some: torch.bincount(some.long()),
        lambda some: some.repeat_interleave(some.long()),
        lambda some: torch.equal(some, some),
        lambda _: torch.cuda.synchronize(),
        lambda _: torch.cuda.Event().synchronize(),
    ],
)
def test_waits_are_counted_and_break_a_capture(device: Pretended, ask) -> None:
    some = torch.arange(4.0, device=CUDA)
    device.reset()
    ask(some)
    assert device.waits.total() == 1, device.show()
    graph = torch.cuda.graph(torch.cuda.CUDAGraph())
    with pytest.raises(CudaError, match="while a graph is captured"), graph:
        ask(some)
    assert not torch.cuda.is_current_stream_capturing()


@pytest.mark.parametrize(
    "ask",
    [
        lambda some: some[some.long()],
        lambda some: some.__setitem__(some > 1, 0.0),
        lambda some: some.masked_fill_(some > 1, 0.0),
        lambda some: torch.where(some > 1, some, 0.0),
        lambda some: some.repeat_interleave(some.long(), output_size=6),
        lambda some: some.sort(),
        lambda some: some.topk(2),
        lambda some: torch.searchsorted(some, some),
        lambda some: some.split([1, 3]),
        lambda some: torch.zeros(4).pin_memory().copy_(some, non_blocking=True),
    ],
)
def test_what_needs_no_number_is_no_wait(device: Pretended, ask) -> None:
    some = torch.arange(4.0, device=CUDA)
    device.reset()
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        device.reset()
        ask(some)
    assert not device.waits, device.show()
    assert not device.copies, device.show()


@pytest.mark.parametrize(
    "copy_to_it",
    [
        lambda some: torch.ones(4).to(CUDA),
        lambda some: torch.tensor([1.0], device=CUDA),
        lambda some: some.new_tensor([1.0]),
        lambda some: some.copy_(torch.ones(4)),
        lambda some: some[torch.tensor([1])],
        lambda some: torch.where(some > 0, torch.tensor(1.0), some),
        lambda some: some.__setitem__(some.long(), 1.0),
    ],
)
def test_copies_are_counted_and_break_a_capture(device: Pretended, copy_to_it) -> None:
    some = torch.arange(4.0, device=CUDA)
    device.reset()
    copy_to_it(some)
    assert device.copies.total() == 1, device.show()
    assert not device.waits, device.show()
    graph = torch.cuda.graph(torch.cuda.CUDAGraph())
    with pytest.raises(CudaError, match="while a graph is captured"), graph:
        copy_to_it(some)


def test_pinned_memory_is_copied_in_a_capture_too(device: Pretended) -> None:
    source, target = torch.empty(4, pin_memory=True), torch.zeros(2, device=CUDA)
    assert source.is_pinned()
    assert source[:2].is_pinned()
    assert not torch.empty(4).is_pinned()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        target.copy_(source[:2], non_blocking=True)
    source.copy_(torch.arange(4.0))
    graph.replay()
    assert target.tolist() == [0.0, 1.0]


def test_autograd_crosses_it(device: Pretended) -> None:
    leaf = torch.ones(3, requires_grad=True)
    weight = nn.Parameter(2 * ones(3))
    (leaf.to(CUDA) * weight).sum().cpu().square().backward()
    assert leaf.grad is not None
    assert type(leaf.grad) is torch.Tensor
    assert leaf.grad.tolist() == [24.0] * 3
    assert weight.grad is not None
    assert weight.grad.tolist() == [12.0] * 3


def test_networks_and_optimisers_run_on_it(device: Pretended) -> None:
    def train(where: str) -> list[torch.Tensor]:
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Dropout(0.5), nn.Linear(4, 1))
        optimiser = torch.optim.AdamW(network.parameters(), lr=0.1)
        network.to(where)
        for step in range(3):
            network(torch.arange(6.0).view(2, 3).to(where) + step).square().sum().backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
        assert all(p.device.type == where for p in network.parameters())
        return [parameter.detach().cpu() for parameter in network.parameters()]

    for ours, theirs in zip(train("cuda"), train("cpu"), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert any("_foreach_" in place for place in device.launches)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_casts_as_that_of_cuda(device: Pretended, dtype: torch.dtype) -> None:
    feats, norm = ones(4, 4), nn.LayerNorm(4).to(CUDA)
    with torch.autocast("cuda", dtype):
        assert torch.is_autocast_enabled("cuda")
        assert torch.get_autocast_dtype("cuda") == dtype
        product = F.linear(feats, feats, feats[0])
        assert (feats @ feats).dtype == torch.mm(feats, feats).dtype == product.dtype == dtype
        assert torch.addmm(feats, feats, feats).dtype == dtype
        for wide in (norm(product), product.exp(), product.sum(), product.softmax(1), product**2):
            assert wide.dtype == torch.float32
        assert (product + 1).dtype == F.silu(product).dtype == dtype
        assert (product + feats).dtype == torch.cat([product, feats]).dtype == torch.float32
        with torch.autocast("cuda", enabled=False):
            assert (feats @ feats).dtype == torch.float32
    assert not torch.is_autocast_enabled("cuda")
    assert torch.get_autocast_dtype("cuda") == torch.float16
    assert (feats @ feats).dtype == torch.float32


def test_threads_see_it(device: Pretended) -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(torch.zeros(1).to(CUDA) + ones(1)))
    thread.start()
    thread.join()
    assert found[0].device == CUDA
    assert device.copies.total() == 1


def test_a_graph_runs_again_on_the_same_memory(device: Pretended) -> None:
    given, sums = ones(3), torch.zeros(3, device=CUDA)
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream), torch.cuda.graph(graph, torch.cuda.graph_pool_handle()):
        assert torch.cuda.is_current_stream_capturing()
        doubled = given * 2
        sums += doubled
        filled = torch.full((2,), 1.0, device=CUDA)
        filled[0] = doubled.view(3, 1)[2]
        low, row = doubled.min(0)
    torch.cuda.current_stream().wait_stream(stream)
    given.copy_(torch.tensor([5.0, 1.0, 3.0]))
    before = sums.tolist()
    device.reset()
    graph.replay()
    assert device.launches.total() == 1
    assert doubled.tolist() == [10.0, 2.0, 6.0]
    assert sums.tolist() == [a + b for a, b in zip(before, doubled.tolist(), strict=True)]
    assert filled.tolist() == [6.0, 1.0]
    assert (low.item(), row.item()) == (2.0, 1)


def test_a_graph_holds_a_step_of_training(device: Pretended) -> None:
    weight, given = nn.Parameter(ones(2, 2)), ones(1, 2)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), torch.autocast("cuda", torch.bfloat16):
        (given @ weight).float().sum().backward()
    assert weight.grad is not None
    weight.grad.zero_()
    given.mul_(3)
    graph.replay()
    assert weight.grad.tolist() == [[3.0, 3.0], [3.0, 3.0]]


def test_a_graph_whose_inputs_are_gone_is_refused(device: Pretended) -> None:
    given, graph = ones(3), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        doubled = given.view(3, 1) * 2
    graph.replay()
    del given
    with pytest.raises(RuntimeError, match="memory of an input of the graph was freed"):
        graph.replay()
    assert doubled.shape == (3, 1)


def test_graphs_and_streams_are_what_annotations_say() -> None:
    real = torch.cuda.CUDAGraph, torch.cuda.Stream, torch.cuda.Event
    with pretended_cuda():
        made = torch.cuda.CUDAGraph(), torch.cuda.current_stream(), torch.cuda.Event()
        assert all(map(isinstance, made, real))


def test_graphs_dont_nest(device: Pretended) -> None:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), pytest.raises(RuntimeError, match="captured already"):
        graph.capture_begin()


def test_kernels_are_refused_what_they_would_misread(device: Pretended) -> None:
    offsets = torch.tensor([0, 1, 2], dtype=torch.int32, device=CUDA)
    points, bounds = ones(2, 3, dtype=torch.float64), ones(1, 6, dtype=torch.int64)
    launch = cuda_metrics.load_kernels(CUDA).launch
    launch("frame_bounds", (3, 1), 256, points, offsets, 2, bounds)
    for wrong in (
        (points.float(), offsets, 2, bounds),
        (points, offsets.long(), 2, bounds),
        (points, offsets.cpu(), 2, bounds),
        (points, offsets, points, bounds),
        (points, 2, 2, bounds),
    ):
        with pytest.raises((CudaError, TypeError), match="frame_bounds: "):
            launch("frame_bounds", (3, 1), 256, *wrong)
    assert sum("kernel frame_bounds" in place for place in device.launches.elements()) == 1


def test_a_graph_holds_kernels(device: Pretended) -> None:
    offsets = torch.tensor([0, 1, 2], dtype=torch.int32, device=CUDA)
    points, graph = ones(2, 3, dtype=torch.float64), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        bounds = torch.full((1, 6), 2**62, device=CUDA)
        arguments = (points, offsets, 2, bounds)
        cuda_metrics.load_kernels(CUDA).launch("frame_bounds", (3, 1), 256, *arguments)
    first = bounds.tolist()
    graph.replay()
    assert bounds.tolist() == first
    points.mul_(2)
    graph.replay()
    assert bounds.tolist() != first


def test_nothing_is_left_behind() -> None:
    def state() -> list[object]:
        cuda = [getattr(torch.cuda, name) for name in sorted(vars(torch.cuda))]
        others = [torch.tensor, torch.Tensor.to, torch.Tensor.cuda, torch.autocast.__enter__]
        return [*cuda, *others, torch.is_autocast_enabled, threading.Thread.run]

    before = state()
    with pytest.raises(CudaError), pretended_cuda():
        ones(2).add_(torch.ones(2))
    assert all(a is b for a, b in zip(before, state(), strict=True))
    assert not torch.cuda.is_available()
    assert not hasattr(CudaTensor, "runner")
    assert not any(function.cache_info().currsize for function in (lattice,))
    with torch.autocast("cpu", torch.bfloat16):
        assert F.layer_norm(torch.ones(2, 2).bfloat16(), (2,)).dtype == torch.bfloat16
