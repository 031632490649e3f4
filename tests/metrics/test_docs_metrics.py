"""docs/metrics.md defines every number that the package computes."""

import inspect
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from radarsparse.metrics import (
    bands,
    consistency,
    distribution,
    evaluate,
    published,
    realism,
    voxel,
)
from radarsparse.metrics.cloud import THRESHOLDS_M, VOXEL_SIZES_M

TEXT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
HELPERS = {
    *("count_both", "count_cells", "count_columns", "jensen_shannon", "overlaps_of", "pack_index"),
    "voxels_of_points",
}


def section(title: str) -> str:
    """The text below a heading of level 2, up to the next one."""
    return re.split(r"^## ", TEXT.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]


def defined_keys(text: str) -> set[str]:
    """Keys in the first cell of table rows whose second cell says something."""
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+", text, re.MULTILINE)
    return {re.sub(r"@[TV]m", "@", row) for row in rows}


def without_sizes(keys: list[str]) -> set[str]:
    return {re.sub(r"@[\d.]+m", "@", key) for key in keys}


def test_the_defined_keys_are_those_of_evaluate() -> None:
    keys = without_sizes(list(evaluate(np.zeros((1, 4)), np.ones((1, 4)))))
    assert defined_keys(section("2. What `evaluate` returns")) == keys


def test_defaults_are_those_of_the_code() -> None:
    for letter, values in (("T", THRESHOLDS_M), ("V", VOXEL_SIZES_M)):
        assert f"{letter} = {', '.join(map(str, values))} m" in section("1. Words")


@pytest.mark.parametrize(
    "mode", [published.radar_diffusion, published.lidiff, published.radarhd, published.r2flow]
)
def test_every_key_of_the_modes_is_in_their_table(mode: object) -> None:
    assert callable(mode)
    table = section("8. Compatibility modes")
    keys = mode([(torch.full((1, 3), 3.0), torch.full((1, 3), 4.0))])
    shortened = [
        re.sub(r"^iou_before_2025_06@0\.[12]m", "iou_before_2025_06@0.5m", k) for k in keys
    ]
    assert [key for key in shortened if f"`{key}`" not in table] == []


@pytest.mark.parametrize("module", [bands, consistency, distribution, published, realism, voxel])
def test_every_metric_function_is_named(module: ModuleType) -> None:
    names = {
        name
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert {name for name in names - HELPERS if not re.search(rf"[`.]{name}\b", TEXT)} == set()
    assert names
