"""Checkpoints of older formats, made into what this version builds: the same network."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from radarsparse.voxels.scene import BEAM_FEATURES
from radarsparse.voxels.voxelize import FOOTPRINT_FEATURES

_LOOK_UP = re.compile(r"(.*decoder\.(?:levels\.\d\.)?)radar\.(weight|bias)")


About = Mapping[str, Any]
Tensors = Mapping[str, Tensor]


def _from_format_1(about: About, tensors: Tensors) -> tuple[About, Tensors]:
    """Networks that weren't told of beams, with encoders of single voxels.

    What is told of beams now meets weights of zero.
    """
    configs = {name: _with_single_voxels(about[name]) for name in ("config", "vae_config")}
    return {**about, **configs, "format": "2"}, dict(_widen(*item) for item in tensors.items())


def _from_format_2(about: About, tensors: Tensors) -> tuple[About, Tensors]:
    """Configs with settings of their own for draws, which left unlikely flags out otherwise."""
    config = about["config"]
    if isinstance(config, dict):
        config = {key: value for key, value in config.items() if key != "draws"}
        if isinstance(config.get("sampling"), dict):
            kept = {k: v for k, v in config["sampling"].items() if k != "flag_probability_min"}
            config["sampling"] = kept
    return {**about, "config": config, "format": "3"}, tensors


def _from_format_3(about: About, tensors: Tensors) -> tuple[About, Tensors]:
    """Configs that shifted the power of frames, which is without effect today."""
    configs = {
        name: _without_power_shift(about[name])
        for name in ("config", "vae_config")
        if name in about
    }
    return {**about, **configs, "format": "4"}, tensors


UPGRADES: Mapping[str, Callable[[About, Tensors], tuple[About, Tensors]]] = {
    "1": _from_format_1,
    "2": _from_format_2,
    "3": _from_format_3,
}
"""By format: what makes metadata and tensors of it into those of the next one."""


def _without_power_shift(config: Any) -> Any:
    data = config.get("data") if isinstance(config, dict) else None
    if not isinstance(data, dict) or not isinstance(data.get("augment"), dict):
        return config
    kept = {key: value for key, value in data["augment"].items() if key != "power_std_db"}
    return {**config, "data": {**data, "augment": kept}}


def _with_single_voxels(config: Any) -> Any:
    is_vae = isinstance(config, dict) and config.get("stage") == "vae"
    if not is_vae or not isinstance(config.get("model"), dict):
        return config
    return {**config, "model": {**config["model"], "kernel_size": 1}}


def _widen(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    if found := _LOOK_UP.fullmatch(name):
        name = f"{found[1]}hints.{found[2]}"
        return name, F.pad(tensor, (0, 8)) if tensor.ndim == 2 else tensor
    if name == "denoiser.context.weight" and tensor.ndim == 2:
        known, footprint = tensor.tensor_split([-FOOTPRINT_FEATURES], dim=1)
        return name, torch.cat([F.pad(known, (0, BEAM_FEATURES)), footprint], dim=1)
    return name, tensor
