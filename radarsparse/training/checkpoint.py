"""Checkpoints: `model.safetensors` for use, `state.pt` for resuming."""

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from radarsparse import __version__
from radarsparse.config import Config, DenoiserConfig, VaeConfig, validate_config
from radarsparse.errors import InputError
from radarsparse.files import replacing
from radarsparse.models.latent_diffusion import LatentDiffusion
from radarsparse.models.vae import Vae

MODEL_FILE = "model.safetensors"
STATE_FILE = "state.pt"
PREVIOUS_FILE = "state_previous.pt"
# Raised whenever the meaning of stored weights changes, so that old ones are refused.
FORMAT = "1"
METADATA_KEY = "radarsparse"
SHIPPED = "weights"
"""Names the weights that ship, where a run folder is asked for."""

_log = logging.getLogger("radarsparse")


def save_model(folder: Path, network: nn.Module, config: Config, vae: VaeConfig) -> None:
    """Write the weights for use, with everything needed to build the network again.

    Args:
        folder: the run folder, or one inside; made where missing.
        network: `Vae` or `LatentDiffusion`.
        config: the run's own config.
        vae: the config of the VAE inside; that of the run itself for stage `vae`.

    Raises:
        InputError: the file can't be written; what was there is still there.
    """
    about = {
        "format": FORMAT,
        "version": __version__,
        "config": config.model_dump(mode="json"),
        "vae_config": vae.model_dump(mode="json"),
    }
    # One entry: several would be written in an order that differs from call to call.
    metadata = {METADATA_KEY: json.dumps(about)}
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    file = folder / MODEL_FILE
    try:
        folder.mkdir(exist_ok=True)
        with replacing(file) as part:
            save_file(tensors, part, metadata)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{file}: can't be written ({error})") from error


def run_folder(path: str | Path) -> Path:
    """The folder that a path names; the word `weights` names the weights that ship."""
    return Path(__file__).parents[1] / SHIPPED if path == SHIPPED else Path(path)


def load_vae(folder: Path) -> tuple[Vae, VaeConfig]:
    """Build the VAE of a run of stage `vae`.

    Raises:
        InputError: there is no checkpoint, or one of another stage, version or shape.
    """
    tensors, configs = _read_model(folder)
    config = configs["config"]
    if not isinstance(config, VaeConfig):
        raise InputError(f"{folder / MODEL_FILE}: is of stage {config.stage!r}, needed is 'vae'")
    network = Vae(config.model)
    _load_tensors(network, tensors, folder)
    return network.eval(), config


class DiffusionRun(NamedTuple):
    """A trained denoiser with its VAE, and the configs that trained them."""

    network: LatentDiffusion
    config: DenoiserConfig
    vae_config: VaeConfig


def load_diffusion(folder: Path) -> tuple[LatentDiffusion, DenoiserConfig]:
    """Build the VAE and the denoiser of a run of stage `edm`, `ect` or `distill`.

    Raises:
        InputError: there is no checkpoint, or one of another stage, version or shape.
    """
    return load_run(folder)[:2]


def load_run(folder: Path) -> DiffusionRun:
    """As `load_diffusion`, with the VAE's config."""
    tensors, configs = _read_model(folder)
    config, vae = configs["config"], configs["vae_config"]
    if not isinstance(config, DenoiserConfig) or not isinstance(vae, VaeConfig):
        raise InputError(
            f"{folder / MODEL_FILE}: is of stage {config.stage!r}, needed is 'edm', 'ect' or"
            " 'distill'"
        )
    network = LatentDiffusion(vae.model, config.model, config.diffusion)
    _load_tensors(network, tensors, folder)
    return DiffusionRun(network.eval(), config, vae)


def save_half(run: Path, folder: Path) -> None:
    """Write the weights of a run for shipping: as half-precision numbers, which halves the file.

    Args:
        run: folder of a finished run of stage `edm`, `ect` or `distill`.
        folder: where to write; made where missing.

    Raises:
        InputError: the run can't be read, or the file not be written.
    """
    network, config, vae = load_run(run)
    folder.mkdir(parents=True, exist_ok=True)
    save_model(folder, network.half(), config, vae)


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write what resuming needs; the state before it is kept, too.

    Raises:
        InputError: the file can't be written; what was there is still there.
    """
    file = folder / STATE_FILE
    try:
        # Through a file, since torch would write the name of a path into it.
        with replacing(file) as part:
            with part.open("wb") as opened:
                torch.save(state, opened)
            if file.exists():
                file.replace(folder / PREVIOUS_FILE)
    except (OSError, RuntimeError) as error:
        raise InputError(f"{file}: can't be written ({error})") from error


def load_state(folder: Path) -> dict[str, Any] | None:
    """Read what resuming needs onto the CPU, None for a new run.

    A state that can't be read is passed over, with a warning, for the one before it.

    Raises:
        InputError: there are states, but none that can be read.
    """
    files = [file for file in (folder / STATE_FILE, folder / PREVIOUS_FILE) if file.exists()]
    for file in files:
        state = _try_state(file)
        if state is not None:
            return state
    if files:
        names = " and ".join(str(file) for file in files)
        raise InputError(f"{names}: can't be read; delete them to start anew")
    return None


def _try_state(file: Path) -> dict[str, Any] | None:
    try:
        # Onto the CPU, since the device of the run may be missing or full; who restores moves it.
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        _log.warning("%s: can't be read (%s)", file, str(error).strip().split("\n")[0])
        return None


def _read_model(folder: Path) -> tuple[dict[str, Tensor], dict[str, Config]]:
    file = folder / MODEL_FILE
    if not file.is_file():
        raise InputError(f"{file}: no such file; --checkpoint names a run folder of tools/train.py")
    try:
        with safe_open(file, framework="pt") as opened:
            about = json.loads((opened.metadata() or {}).get(METADATA_KEY, "{}"))
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: can't be read ({error})") from error
    if about.get("format") != FORMAT:
        raise InputError(
            f"{file}: checkpoint format {about.get('format')!r}"
            f" (radarsparse {about.get('version')}), needed is {FORMAT!r}"
        )
    configs = {
        name: validate_config(about[name], f"{file}: {name}") for name in ("config", "vae_config")
    }
    return tensors, configs


def _load_tensors(network: nn.Module, tensors: dict[str, Tensor], folder: Path) -> None:
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise InputError(f"{folder / MODEL_FILE}: doesn't fit its config: {error}") from error
