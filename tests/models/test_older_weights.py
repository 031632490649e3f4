"""Checkpoints of older formats draw what they drew: nothing that is new changes their networks."""

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from radarsparse import Enhancer
from radarsparse.config import Config, DenoiserConfig, VaeConfig, validate_config
from radarsparse.geometry import Volume
from radarsparse.models.latent_diffusion import LatentDiffusion
from radarsparse.models.vae import Vae
from radarsparse.models.weights import METADATA_KEY, MODEL_FILE, load_run, load_vae
from radarsparse.sparse import SparseTensor
from radarsparse.voxels.batch import make_batch
from radarsparse.voxels.scene import BEAM_FEATURES, make_views
from radarsparse.voxels.voxelize import FOOTPRINT_FEATURES
from tests.conftest import tiny_config, tiny_pair

RINGS_DEG = (-6.0, -2.0, 0.0, 3.0)
CONTEXT = "denoiser.context.weight"
BEAMS = slice(-FOOTPRINT_FEATURES - BEAM_FEATURES, -FOOTPRINT_FEATURES)


def vae_config() -> VaeConfig:
    config = tiny_config(Path(), "vae", kernel_size=1)
    assert isinstance(config, VaeConfig)
    return config


def edm_config() -> DenoiserConfig:
    config = tiny_config(Path(), "edm", vae="unused")
    assert isinstance(config, DenoiserConfig)
    return config


@torch.no_grad()
def randomise(network: nn.Module) -> None:
    """Random weights everywhere, save those that meet what is told of beams, which are zero."""
    torch.manual_seed(0)
    for name, parameter in network.named_parameters():
        nn.init.normal_(parameter, std=0.2)
        if name.endswith("hints.weight"):
            parameter[:, -8:] = 0.0
        elif name == CONTEXT:
            parameter[:, BEAMS] = 0.0


def as_format_1(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors as they were named and shaped before networks were told of beams."""
    older: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith("hints.weight"):
            cut = tensor[:, :-8]
        elif name == CONTEXT:
            cut = torch.cat([tensor[:, : BEAMS.start], tensor[:, BEAMS.stop :]], dim=1)
        else:
            cut = tensor
        older[re.sub(r"\bhints\b", "radar", name)] = cut.contiguous()
    return older


def save_format_1(folder: Path, network: nn.Module, config: Config, vae: VaeConfig) -> None:
    """Write what the version before this one wrote."""
    about: dict[str, Any] = {"format": "1", "version": "0.1.0"}
    for name, each in (("config", config), ("vae_config", vae)):
        raw = each.model_dump(mode="json")
        raw["model"].pop("kernel_size", None)
        del raw["lidar"]
        about[name] = raw
    tensors = as_format_1(network.state_dict())
    save_file(tensors, folder / MODEL_FILE, {METADATA_KEY: json.dumps(about)})


def told(config: DenoiserConfig) -> DenoiserConfig:
    raw = {**config.model_dump(mode="json"), "lidar": {"rings_deg": RINGS_DEG}}
    found = validate_config(raw, "told")
    assert isinstance(found, DenoiserConfig)
    return found


def assert_same(loaded: nn.Module, network: nn.Module) -> None:
    ours, theirs = loaded.state_dict(), network.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@torch.no_grad()
def decoded(vae: Vae, config: VaeConfig, rings_deg: tuple[float, ...]) -> SparseTensor:
    batch = make_batch([tiny_pair(0)], Volume.from_settings(config.volume), rings_deg)
    return vae.decode(vae.encode(batch.lidar), vae.hints(batch.radar, batch.beams))


@torch.no_grad()
def drawn_state(enhancer: Enhancer) -> Tensor:
    scenes = make_views(tiny_pair(0).radar, enhancer.around, enhancer.sampling.views, "radar")
    network = enhancer.network
    return network.draw(network.look(scenes), 0, enhancer.sampling).state


def test_a_vae_of_format_1_is_the_same_network(tmp_path: Path) -> None:
    config = vae_config()
    network = Vae(config.model).eval()
    randomise(network)
    save_format_1(tmp_path, network, config, config)
    loaded, found = load_vae(tmp_path)
    assert (found.model.kernel_size, found.lidar.rings_deg) == (1, ())
    assert_same(loaded, network)
    expected = decoded(network, config, ())
    assert len(expected.coords) > 100
    for rings_deg in ((), RINGS_DEG):
        voxels = decoded(loaded, config, rings_deg)
        assert torch.equal(voxels.coords, expected.coords)
        assert torch.equal(voxels.feats, expected.feats)


@pytest.mark.parametrize("half", [False, True])
def test_a_run_of_format_1_draws_the_same_clouds(tmp_path: Path, half: bool) -> None:
    vae, config = vae_config(), edm_config()
    network = LatentDiffusion(vae.model, config.model, config.diffusion).eval()
    randomise(network)
    save_format_1(tmp_path, copy.deepcopy(network).half() if half else network, config, vae)
    network.load_state_dict({k: v.half() if half else v for k, v in network.state_dict().items()})
    loaded, found, its_vae = load_run(tmp_path)
    assert (its_vae.model.kernel_size, found.lidar.rings_deg) == (1, ())
    assert_same(loaded, network)
    expected = drawn_state(Enhancer(network, config))
    for each in (found, told(found)):
        assert torch.equal(drawn_state(Enhancer(loaded, each)), expected)
    radar = tiny_pair(0).radar
    assert (Enhancer(loaded, found)(radar).table == Enhancer(network, config)(radar).table).all()


def test_a_run_of_format_2_draws_with_the_settings_of_today(tmp_path: Path) -> None:
    vae, config = vae_config(), edm_config()
    network = LatentDiffusion(vae.model, config.model, config.diffusion).eval()
    raw = config.model_dump(mode="json")
    raw["sampling"] = {**raw["sampling"], "flag_probability_min": 0.0, "steps": 7}
    raw["draws"] = {"start_sigma": 7.0, "flag_probability_min": 0.02}
    del raw["sampling"]["return_share"], raw["lidar"]["azimuth_step_deg"]
    raw["data"]["augment"]["power_std_db"] = 1.0
    about = {"format": "2", "version": "0.1.0", "config": raw}
    about["vae_config"] = vae.model_dump(mode="json")
    save_file(dict(network.state_dict()), tmp_path / MODEL_FILE, {METADATA_KEY: json.dumps(about)})
    loaded, found, _ = load_run(tmp_path)
    assert_same(loaded, network)
    assert found.sampling == config.sampling.model_copy(update={"steps": 7})
