"""The denoiser as a graph on the pretended device: what it gives, what it costs, when it is new."""

import copy

import pytest
import torch
from torch import Tensor

from radarsparse.enhancer import Enhancer
from radarsparse.models.captured import CapturedDenoiser
from radarsparse.models.denoiser import Denoiser
from radarsparse.simulator.pairs import simulate_pair
from radarsparse.sparse import SparseTensor, use_engine
from radarsparse.voxels.scene import make_scene
from tests.pretended.device import Pretended

# Operation by operation; they may only fall.
LAUNCHES_PER_PASS_MOST = 155

Inputs = tuple[Tensor, Tensor, SparseTensor]


@pytest.fixture
def captured(device: Pretended) -> CapturedDenoiser:
    captured = Enhancer.load().to("cuda").network.run_denoiser
    assert isinstance(captured, CapturedDenoiser)
    return captured


@pytest.fixture
def inputs(captured: CapturedDenoiser) -> Inputs:
    enhancer = Enhancer.load().to("cuda")
    scene = make_scene(simulate_pair(0, 0).radar, enhancer.around)
    with torch.no_grad():
        context = captured.denoiser.see(scene.radar, scene.cells)
    state = torch.randn(len(context.feats), enhancer.network.state_channels)
    return state.cuda(), torch.full((1, 1), 0.3).cuda(), context


def run(network: CapturedDenoiser | Denoiser, inputs: Inputs) -> Tensor:
    with torch.no_grad():
        return network(*inputs)


def test_a_pass_without_a_graph_waits_for_nothing(
    device: Pretended, captured: CapturedDenoiser, inputs: Inputs
) -> None:
    run(captured.denoiser, inputs)
    device.reset()
    run(captured.denoiser, inputs)
    assert device.launches.total() <= LAUNCHES_PER_PASS_MOST, device.show()
    assert not device.waits
    assert not device.copies


def test_a_replay_is_five_launches_and_gives_what_a_pass_gives(
    device: Pretended, captured: CapturedDenoiser, inputs: Inputs
) -> None:
    run(captured, inputs)
    state, label, context = inputs
    others = state.flip(0), label - 1.0, context.replace(context.feats.flip(0))
    device.reset()
    found = run(captured, others)
    assert device.launches.total() == 5, device.show()
    assert not device.waits
    assert torch.equal(found.cpu(), run(captured.denoiser, others).cpu())


def test_a_graph_sees_weights_that_change_and_is_made_anew_where_they_lie_elsewhere(
    captured: CapturedDenoiser, inputs: Inputs
) -> None:
    first, graph = run(captured, inputs), captured._recording
    captured.denoiser.head.bias.data.add_(1.0)
    torch.testing.assert_close(run(captured, inputs).cpu(), first.cpu() + 1.0)
    assert captured._recording is graph
    captured.denoiser.half().float()
    run(captured, inputs)
    assert captured._recording is not graph
    state = {name: value.clone() for name, value in captured.denoiser.state_dict().items()}
    state["head.bias"] += 1.0
    captured.denoiser.load_state_dict(state, assign=True)
    torch.testing.assert_close(run(captured, inputs).cpu(), first.cpu() + 2.0, atol=0.01, rtol=0.0)


def test_a_graph_is_of_one_lattice_and_of_one_network(
    captured: CapturedDenoiser, inputs: Inputs
) -> None:
    expected, graph = run(captured, inputs), captured._recording
    state, label, context = inputs
    elsewhere = SparseTensor.on(
        context.support.to(torch.device("cpu")).to(context.feats.device), context.feats
    )
    assert torch.equal(run(captured, (state, label, elsewhere)).cpu(), expected.cpu())
    assert captured._recording is not graph
    other = copy.deepcopy(captured)
    assert other._recording is None


def test_where_recording_fails_the_denoiser_runs_as_it_is_and_says_so_once(
    captured: CapturedDenoiser,
    inputs: Inputs,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    expected = run(captured.denoiser, inputs)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no graphs here")

    monkeypatch.setattr(torch.cuda, "graph", fail)
    for _ in range(2):
        assert torch.equal(run(captured, inputs).cpu(), expected.cpu())
    assert [record.message for record in caplog.records] == [
        "the denoiser runs without a CUDA graph: no graphs here"
    ]


@pytest.mark.parametrize("case", ["gradients", "spconv", "cpu"])
def test_where_a_graph_does_not_serve_the_denoiser_runs_as_it_is(
    captured: CapturedDenoiser, inputs: Inputs, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case == "gradients":
        captured(*inputs)
    elif case == "cpu":
        state, label, context = inputs
        cpu = torch.device("cpu")
        captured.denoiser.cpu()
        run(captured, (state.cpu(), label.cpu(), context.to(cpu)))
    else:
        monkeypatch.setattr("radarsparse.models.captured.engine_in_use", lambda: "spconv")
        with use_engine("torch"):
            run(captured, inputs)
    assert captured._recording is None
