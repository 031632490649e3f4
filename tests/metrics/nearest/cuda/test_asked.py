"""How much the metrics ask of a GPU and of its host, counted on a pretended one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from radarsparse.benchmark.streets import lidar_pair
from radarsparse.metrics import evaluate, nearest_both
from radarsparse.metrics.nearest.cuda import search
from radarsparse.metrics.statistics import summarize_both
from tests.pretended.device import Pretended, pretended_cuda
from tests.pretended.kernels import pretended_kernels

ASKED = ((0.1, 0.5), (0.5, 0.95))
POINTS = 3000


@pytest.fixture
def device(library: Path) -> Iterator[Pretended]:
    with pretended_cuda() as pretended, pretended_kernels(pretended, library):
        yield pretended


def clouds() -> list[Tensor]:
    """On the device, x, y, z and intensity."""
    pair = (torch.from_numpy(cloud) for cloud in lidar_pair(POINTS, 0))
    return [torch.cat([cloud, cloud[:, :1].abs()], dim=1).to("cuda") for cloud in pair]


@pytest.mark.parametrize(("pairs_most", "launches"), [(10**8, 9), (0, 12)])
def test_one_pair(
    device: Pretended, monkeypatch: pytest.MonkeyPatch, pairs_most: int, launches: int
) -> None:
    monkeypatch.setattr(search, "BRUTE_PAIRS_MOST", pairs_most)
    pred, target = (cloud[:, :3] for cloud in clouds())
    # Constants are copied once.
    summarize_both(pred[:, 0].abs(), target[:, 0].abs(), *ASKED)
    device.reset()
    there2, _, back2, _ = nearest_both(pred, target)
    summarize_both(there2, back2, *ASKED)
    # A sort counts as one; the only wait is for whether all is finite.
    assert device.launches.total() == launches, device.show()
    assert device.waits.total() == 1, device.show()
    assert device.copies.total() == 0, device.show()


def test_every_metric(device: Pretended) -> None:
    pair = clouds()
    evaluate(*pair)
    device.reset()
    evaluate(*pair)
    assert device.launches.total() <= 270, device.show()
    assert device.waits.total() <= 27, device.show()
    assert device.copies.total() == 0, device.show()
