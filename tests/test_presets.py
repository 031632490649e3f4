"""Every config that comes along loads; presets stay within the memory that they name."""

import re
from pathlib import Path

import pytest

from radarsparse.config import Config, EdmConfig, VaeConfig, load_config
from radarsparse.models.vae import Vae
from radarsparse.models.weights import save_model
from radarsparse.simulator.pairs import simulate_pair
from radarsparse.training.loop import make_stage
from radarsparse.training.planning.memory import GIB, StepProbe

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(file.name for file in CONFIGS.glob("*.yaml"))
# Smallest memory that a preset is for, frames of a batch, batches of a step, denoiser's channels.
PRESETS = {"low": (8, 1, 8, 48), "medium": (16, 2, 4, 64), "high": (32, 4, 2, 96)}
FIGURE = re.compile(r"^# Estimated peak of a step: (\d+\.\d+) GiB", re.MULTILINE)


def _stated_gib(name: str) -> float:
    found = FIGURE.search((CONFIGS / f"preset_{name}.yaml").read_text())
    assert found is not None
    return float(found[1])


@pytest.mark.parametrize("file", FILES)
def test_every_config_loads(file):
    load_config(CONFIGS / file)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_what_they_are_called(name):
    memory_gib, batch_size, accumulate, channels = PRESETS[name]
    edm, vae = (load_config(CONFIGS / f"preset_{name}{kind}.yaml") for kind in ("", "_vae"))
    assert isinstance(edm, EdmConfig)
    assert isinstance(vae, VaeConfig)
    assert edm.model.vae == f"runs/preset_{name}_vae"
    assert edm.model.channels[0] == channels
    assert edm.volume == vae.volume
    assert (edm.volume.voxel_size_m, edm.volume.maximum_m[0]) == (0.2, 80.0)
    for config in (edm, vae):
        assert (config.train.batch_size, config.train.accumulate) == (batch_size, accumulate)
    # What CUDA itself, its buffers and the longest frames take is not in the estimate.
    assert max(_stated_gib(name), _stated_gib(f"{name}_vae")) < 0.5 * memory_gib


def _estimate_gib(config: Config) -> float:
    estimate = StepProbe(make_stage(config)[0], config).estimate(simulate_pair(0, 0))
    return estimate.peak(config.train.batch_size) / GIB


def test_the_figure_beside_a_preset_is_its_estimate():
    assert _estimate_gib(load_config(CONFIGS / "preset_low_vae.yaml")) == pytest.approx(
        _stated_gib("low_vae"), rel=0.2
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_the_figures_beside_presets_are_their_estimates(name, tmp_path):
    vae = load_config(CONFIGS / f"preset_{name}_vae.yaml")
    assert isinstance(vae, VaeConfig)
    save_model(tmp_path, Vae(vae.model), vae, vae)
    edm = load_config(CONFIGS / f"preset_{name}.yaml", [f"model.vae={tmp_path}"])
    assert _estimate_gib(vae) == pytest.approx(_stated_gib(f"{name}_vae"), rel=0.2)
    assert _estimate_gib(edm) == pytest.approx(_stated_gib(name), rel=0.2)
