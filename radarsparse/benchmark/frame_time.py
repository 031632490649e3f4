"""Clouds drawn with the weights that ship: time by way of drawing, and the CPU's cloud beside."""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from radarsparse.benchmark.measure import find_device, name_device, seconds
from radarsparse.enhancer import EnhancedCloud, Enhancer
from radarsparse.metrics import evaluate
from radarsparse.models.captured import CapturedDenoiser
from radarsparse.simulator.pairs import simulate_pair
from radarsparse.sparse import use_engine
from radarsparse.voxels.scene import make_scene

FRAMES = 8
# Nearer than any offset that float32 leaves open, since voxels are 0.2 m wide.
_TOLERANCE_M = 1e-3
_SIGMA = 5.0

Draw = Callable[[NDArray[np.float32]], EnhancedCloud]


def time_enhance(repeats: int) -> Iterator[dict[str, Any]]:
    """Rows of a table: each way to draw, and one pass of the denoiser with and without a graph.

    Args:
        repeats: turns over all frames that count, after one to warm up.

    Yields:
        The device, what was drawn, median and worst milliseconds of a frame.

    Raises:
        RuntimeError: on a GPU, a cloud is another than the CPU's.
    """
    frames = [simulate_pair(0, number).radar for number in range(FRAMES)]
    device = find_device()
    enhancer = Enhancer.load().to(device.type)
    if device.type != "cpu":
        with use_engine("torch"):  # whatever the processor does faster and less exactly
            _compare(ways_to_draw(Enhancer.load()), ways_to_draw(enhancer), frames[0])
    for name, draw in ways_to_draw(enhancer).items():
        yield {"device": name_device(device), "drawn": name, **_time(draw, frames, repeats)}
    if device.type == "cuda":
        yield {"device": name_device(device), "drawn": "a pass", **_time_pass(enhancer, frames[0])}


def ways_to_draw(enhancer: Enhancer) -> dict[str, Draw]:
    """By name: the regression alone, what ships, also in float32, and with one draw beside it."""
    return {
        "regression": enhancer.regress,
        "as shipped": enhancer,
        "by the torch engine": partial(_draw_exactly, enhancer),
        "with a draw": partial(enhancer, samples=1),
    }


def _draw_exactly(enhancer: Enhancer, points: NDArray[np.float32]) -> EnhancedCloud:
    with use_engine("torch"):
        return enhancer(points)


def _time(draw: Draw, frames: list[NDArray[np.float32]], repeats: int) -> dict[str, float]:
    for points in frames:
        draw(points)
    times = [seconds(partial(draw, points)) for _ in range(repeats) for points in frames]
    return {"median_ms": 1e3 * median(times), "worst_ms": 1e3 * max(times)}


def _compare(here: dict[str, Draw], there: dict[str, Draw], points: NDArray[np.float32]) -> None:
    for name, draw in here.items():
        ours, theirs = there[name](points).points, draw(points).points
        error_m = evaluate(ours, theirs)["chamfer_sum_m"]
        if len(ours) != len(theirs) or error_m > _TOLERANCE_M:
            raise RuntimeError(
                f"{name}: {len(ours)} points, {error_m:g} m from the CPU's {len(theirs)}"
            )


@torch.no_grad()
def _time_pass(enhancer: Enhancer, points: NDArray[np.float32]) -> dict[str, float]:
    """One pass of the denoiser, launched operation by operation and as a graph."""
    network = enhancer.network
    captured = network.run_denoiser
    assert isinstance(captured, CapturedDenoiser)
    scene = make_scene(points, enhancer.around)
    with use_engine("torch"):
        context = network.condition_on(scene.radar, scene.cells).seen
        state = torch.randn(len(scene.cells.feats), network.state_channels, device=enhancer.device)
        label = state.new_full((1, 1), _SIGMA)
        ways = {"launched": captured.denoiser, "graph": captured}
        times = {}
        for name, way in ways.items():
            run = partial(way, state, label, context)
            run()
            times[f"{name}_ms"] = 1e3 * median(seconds(run) for _ in range(20))
    return times
