"""Metrics of the pretended device, whose kernels the emulator runs, against those of the CPU."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from radarsparse.benchmark.streets import lidar_pair
from radarsparse.metrics import evaluate, match_clouds, nearest, nearest_both
from radarsparse.metrics.bands import band_scores, height_bands, observed_scores, range_bands
from radarsparse.metrics.distribution import chamfer_table, coverage, minimum_matching_distance
from radarsparse.metrics.nearest.cuda import search
from radarsparse.metrics.published import lidiff, radar_diffusion, radarhd
from radarsparse.metrics.voxel import occupancy_calibration, voxel_iou
from tests.pretended.device import Pretended

RANGES_M, HEIGHTS_M, THRESHOLDS_M = (0.0, 10.0, 30.0, 80.0), (-3.0, 0.0, 3.0), (0.2, 1.0)


def clouds(dtype: torch.dtype, points: int = 400) -> tuple[Tensor, Tensor]:
    """Two clouds with intensities."""
    random = torch.Generator().manual_seed(0)
    pair = (torch.from_numpy(cloud) for cloud in lidar_pair(points, 0))
    pair = (torch.cat([c, 255 * torch.rand(len(c), 1, generator=random)], 1) for c in pair)
    pred, target = (cloud.to(dtype) for cloud in pair)
    return pred, target


def bands(pred: Tensor, target: Tensor) -> dict[str, dict[str, float]]:
    match = match_clouds(pred, target)
    by_range = [range_bands(cloud, RANGES_M) for cloud in (match.pred, match.target)]
    by_height = [height_bands(cloud, HEIGHTS_M) for cloud in (match.pred, match.target)]
    return {
        **band_scores(match, *by_range, ("a", "b", "c"), THRESHOLDS_M),
        **band_scores(match, *by_height, ("d", "e"), THRESHOLDS_M),
        "observed": observed_scores(match, match.pred[:, 0] > 0, THRESHOLDS_M),
    }


def sets_of_clouds(pred: Tensor, target: Tensor) -> dict[str, Any]:
    table = chamfer_table([pred, target[:50]], [target, pred[:70], target[:0]])
    scores = {"table": table, "coverage": coverage(table[:, :2])}
    return scores | {"distance": minimum_matching_distance(table[:, :2])}


def calibration(pred: Tensor, _target: Tensor) -> dict[str, Any]:
    probability = pred[:, 3] / 255
    return vars(occupancy_calibration(probability, pred[:, 0] > pred[:, 1], bins=4))


def batches(pred: Tensor, target: Tensor) -> dict[str, Any]:
    there, back = pred[:, :3], target[:, :3]
    bounds = [torch.tensor([0, 100, len(cloud)], device=cloud.device) for cloud in (there, back)]
    both = nearest_both(there, back, *bounds)
    return {"there": nearest(there, back, *bounds)[0], "both": both[0], "back": both[2]}


MEASURES: list[Callable[[Tensor, Tensor], dict[str, Any]]] = [
    *(evaluate, bands, sets_of_clouds, calibration, batches),
    lambda pred, target: {**evaluate(pred[:0], target), "iou": voxel_iou(pred, target, 0.5)},
    lambda pred, target: radar_diffusion([(pred, target), (pred[:50], target)]),
    lambda pred, target: lidiff([(pred[:, :3].contiguous(), target[:, :3].contiguous())]),
    lambda pred, target: radarhd([(pred, target)]),
]


def assert_alike(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert_alike(found[name], value)
    else:
        found = found.cpu() if isinstance(found, Tensor) else found
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("measure", MEASURES)
def test_metrics_are_those_of_the_cpu(
    device: Pretended, measure: Callable[..., dict[str, Any]], dtype: torch.dtype
) -> None:
    pred, target = clouds(dtype)
    expected = measure(pred, target)
    assert_alike(measure(pred.to("cuda"), target.to("cuda")), expected)


def test_the_search_by_a_tree_is_exact_too(
    device: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "BRUTE_PAIRS_MOST", 0)
    pred, target = (cloud[:, :3] for cloud in clouds(torch.float64, 3000))
    expected = nearest_both(pred, target)
    device.reset()
    found = nearest_both(pred.to("cuda"), target.to("cuda"))
    assert any("kernel query_boxes" in place for place in device.launches)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-4, atol=1e-6)
