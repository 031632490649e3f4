"""Trained weights, `model.safetensors`: how they are written, and networks built from them."""

import json
from pathlib import Path
from typing import NamedTuple

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
# Raised whenever the meaning of stored weights changes, so that old ones are refused.
FORMAT = "1"
METADATA_KEY = "radarsparse"
SHIPPED = "weights"
"""Names the weights that ship, where a run folder is asked for."""


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
