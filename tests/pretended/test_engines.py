"""Convolutions on the pretended device: which engine, which precision, at what cost."""

import pytest
import torch

from radarsparse.sparse import SparseTensor, StridedConv3d, SubmanifoldConv3d, engines
from radarsparse.sparse.engines import gather
from tests.oracles import random_sparse
from tests.pretended.device import Pretended

CUDA = torch.device("cuda", 0)


def on_device(channels: int) -> SparseTensor:
    x = random_sparse(channels, voxels=80)
    return SparseTensor.on(x.support, x.feats.float()).to(CUDA)


class Refusing:
    """An engine in spconv's place that refuses, and says what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[torch.dtype] = []

    def refuses(self, feats: torch.Tensor, *_: object) -> str:
        self.asked.append(feats.dtype)
        return "it is not there"


@pytest.mark.parametrize(
    ("most", "dtype", "learns", "asked"),
    [
        (1 << 20, torch.float32, False, []),
        (1 << 10, torch.float32, False, [torch.float32]),
        (1 << 10, torch.float32, True, []),
        (1 << 10, torch.float16, False, []),
        (1 << 10, torch.bfloat16, False, []),
    ],
)
def test_auto_asks_spconv_where_it_is_faster(
    device: Pretended,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    dtype: torch.dtype,
    learns: bool,
    asked: list[torch.dtype],
) -> None:
    peer = Refusing()
    monkeypatch.setattr(engines, "spconv_obstacle", lambda: None)
    monkeypatch.setattr(engines, "_spconv", lambda: peer)
    monkeypatch.setattr(engines, "GATHERED_BYTES_MOST", most)
    layer = SubmanifoldConv3d(8, 8).to(CUDA)
    half = torch.autocast("cuda", dtype, enabled=dtype != torch.float32)
    with half, torch.set_grad_enabled(learns):
        assert layer(on_device(8)).feats.dtype == dtype
    assert peer.asked == asked


@pytest.mark.parametrize("fault", ["raises", "is wrong"])
def test_a_gather_kernel_that_does_not_serve_is_not_used(
    device: Pretended, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    x, layer = on_device(8), SubmanifoldConv3d(8, 8).to(CUDA)
    expected = layer(x).feats
    gather._can_launch.cache_clear()

    def by_kernel(_: object, feats: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        if fault == "raises":
            raise OSError("no driver")
        return feats.new_ones(len(table), table.shape[1] * feats.shape[1])

    monkeypatch.setattr(gather, "gather_by_kernel", by_kernel)
    assert torch.equal(layer(x).feats.cpu(), expected.cpu())
    assert [record.message for record in caplog.records] == [
        f"convolutions gather slowly: {'no driver' if fault == 'raises' else 'it is wrong'}"
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_reaches_convolutions_and_their_gradients(
    device: Pretended, dtype: torch.dtype
) -> None:
    x, layer = on_device(8), SubmanifoldConv3d(8, 16).to(CUDA)
    exact = layer(x).feats
    with torch.autocast("cuda", dtype):
        out = layer(x).feats
    out.float().square().sum().backward()
    assert out.dtype == dtype
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    # Operands and sums are rounded, of values whose squares add up to one on average.
    rounding = 4 * torch.finfo(dtype).eps
    assert (out.float() - exact).abs().max().item() < rounding * exact.abs().max().item()


def test_a_layer_whose_plan_is_there_is_two_launches_and_no_wait(device: Pretended) -> None:
    x, layer, down = on_device(8), SubmanifoldConv3d(8, 8), StridedConv3d(8, 8)
    layer, down = layer.to(CUDA), down.to(CUDA)
    with torch.no_grad():
        layer(x), down(x)
        device.reset()
        layer(x), down(x)
    assert device.launches.total() == 4, device.show()
    assert not device.waits
    assert not device.copies
