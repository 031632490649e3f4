"""Small things that many tests need: a tiny volume, frames in it, trained runs; who sees GPUs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from radarsparse.config import Config, validate_config
from radarsparse.formats.prepared import write_frame, write_split
from radarsparse.scan import ScanPair
from radarsparse.training.loop import train
from radarsparse.viewer.plots import render_clouds
from tests.kernels.emulator import EmulatedKernels, compile_emulator

TINY_VOLUME = {
    "minimum_m": [0.0, -6.4, -1.6],
    "maximum_m": [12.8, 6.4, 1.6],
    "voxel_size_m": 0.2,
    "azimuth_max_deg": 60.0,
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m cuda` only files with such tests are read: others need what GPU machines lack."""
    words = config.option.markexpr.split()
    if words[:1] != ["cuda"] or "or" in words or not collection_path.match("test_*.py"):
        return None
    return "mark.cuda" not in collection_path.read_text() or None


def _hide_gpus(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(torch.cuda, "is_available", lambda: False)
    patch.setattr(torch.cuda, "device_count", lambda: 0)
    patch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.fixture(scope="session", autouse=True)
def hidden_gpus() -> Iterator[pytest.MonkeyPatch]:
    """No test sees a GPU, nor do the processes that it starts; neither does a shared fixture."""
    with pytest.MonkeyPatch.context() as patch:
        _hide_gpus(patch)
        yield patch


@pytest.fixture(autouse=True)
def _gpus_where_marked(
    request: pytest.FixtureRequest, hidden_gpus: pytest.MonkeyPatch
) -> Iterator[None]:
    """Tests with the mark `cuda` see what GPUs there are; shared fixtures were made before."""
    if request.node.get_closest_marker("cuda") is None:
        yield
        return
    hidden_gpus.undo()
    yield
    _hide_gpus(hidden_gpus)


def tiny_pair(index: int) -> ScanPair:
    """A floor and a wall seen by a LiDAR, and some radar points near the wall."""
    random = np.random.default_rng(index)
    floor = np.c_[random.uniform(1, 12, 400), random.uniform(-6, 6, 400), np.full(400, -1.3)]
    wall = np.c_[
        np.full(150, 6.0 + index % 5), random.uniform(-3, 3, 150), random.uniform(-1, 1, 150)
    ]
    xyz = np.concatenate([floor, wall])
    lidar = np.c_[xyz, random.uniform(0, 255, len(xyz))].astype(np.float32)
    radar_xyz = wall[:40] + 0.1 * random.standard_normal((40, 3))
    radar = np.c_[radar_xyz, random.normal(-2, 1, 40), random.uniform(45, 80, 40)]
    return ScanPair(f"{index:06d}", radar.astype(np.float32), lidar, np.eye(4))


def tiny_config(root: Path, stage: str, teacher: str | None = None, **model: object) -> Config:
    """A config that trains in a second."""
    widths = [4, 8, 8, 12] if stage == "vae" else [8, 12, 16]
    raw = {
        "stage": stage,
        "data": {"root": str(root)},
        "volume": TINY_VOLUME,
        "model": {"channels": widths, **model},
        "train": {"samples": 8, "batch_size": 2, "checkpoint_every_samples": 4, "workers": 0},
    }
    if stage != "vae":
        # A network that trained for a second believes in little.
        raw["train"] |= {"learning_rate": 0.1, "warmup_samples": 1, "ema_samples": 1}
        doubtful = {"presence_threshold": -0.99, "voxel_probability": 0.01}
        raw["sampling"] = {"steps": 2, "samples": 2, **doubtful}
        raw |= {"teacher": teacher} if teacher else {}
    return validate_config(raw, "tiny")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernels, compiled once for the CPU."""
    return compile_emulator(tmp_path_factory.mktemp("emulator"))


@pytest.fixture(scope="session")
def kernels(library: Path) -> EmulatedKernels:
    """The kernels, run on the CPU."""
    return EmulatedKernels(library)


@pytest.fixture(scope="session")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared frames: six to train, two to validate."""
    root = tmp_path_factory.mktemp("frames")
    for index in range(8):
        write_frame(root, tiny_pair(index))
    write_split(root, {"train": [[0, 5]], "val": [[6, 7]]})
    return root


@pytest.fixture(scope="session")
def vae_run(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of stage `vae`."""
    folder = tmp_path_factory.mktemp("runs") / "vae"
    train(tiny_config(frames, "vae"), folder, render_clouds)
    return folder


@pytest.fixture(scope="session")
def edm_run(frames: Path, vae_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of stage `edm`."""
    folder = tmp_path_factory.mktemp("runs") / "edm"
    train(tiny_config(frames, "edm", vae=str(vae_run)), folder, render_clouds)
    return folder


@pytest.fixture
def vae_yaml(frames: Path, tmp_path: Path) -> Path:
    """The config of a tiny run of stage `vae` as a file."""
    file = tmp_path / "tiny_vae.yaml"
    file.write_text(yaml.safe_dump(tiny_config(frames, "vae").model_dump(mode="json")))
    return file
