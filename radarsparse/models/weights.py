"""Trained weights, `model.safetensors`: how they are written, and networks built from them."""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from radarsparse import __version__
from radarsparse.config import Config, DenoiserConfig, VaeConfig, validate_config
from radarsparse.errors import InputError
from radarsparse.files import replacing
from radarsparse.models.latent_diffusion import LatentDiffusion
from radarsparse.models.older_weights import UPGRADES
from radarsparse.models.vae import Vae

MODEL_FILE = "model.safetensors"
# Raised whenever the meaning of stored weights changes: older ones are then brought up or refused.
FORMAT = "4"
METADATA_KEY = "radarsparse"
STORED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
SHIPPED = "weights"
"""Names the weights that ship, where a run folder is asked for."""

Network = TypeVar("Network", bound=nn.Module)


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
    tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
    about = {
        "format": FORMAT,
        "version": __version__,
        "config": config.model_dump(mode="json"),
        "vae_config": vae.model_dump(mode="json"),
    }
    about["sha256"] = _digest(about, tensors)
    # One entry: several would be written in an order that differs from call to call.
    metadata = {METADATA_KEY: json.dumps(about)}
    folder.mkdir(exist_ok=True)
    with replacing(folder / MODEL_FILE) as part:
        part.write_bytes(save(tensors, metadata))


def run_folder(path: str | Path) -> Path:
    """The folder that a path names; the word `weights` names the weights that ship.

    Raises:
        InputError: it is no path.
    """
    try:
        return Path(__file__).parents[1] / SHIPPED if path == SHIPPED else Path(path)
    except TypeError as error:
        raise InputError(f"run folder {path!r:.60}: must be a path") from error


def find_model(folder: Path) -> Path:
    """The file of a run's weights.

    Raises:
        InputError: there is none.
    """
    file = folder / MODEL_FILE
    if not file.is_file():
        raise InputError(f"{file}: no such file; needed is a run folder of tools/train.py")
    return file


def load_vae(folder: Path) -> tuple[Vae, VaeConfig]:
    """Build the VAE of a run of stage `vae`.

    Raises:
        InputError: there is no checkpoint, or one that is damaged, or of another stage, version
            or shape.
    """
    file = find_model(folder)
    tensors, config, _ = _read_model(file)
    if not isinstance(config, VaeConfig):
        raise InputError(f"{file}: is of stage {config.stage!r}, needed is 'vae'")
    return _build(lambda: Vae(config.model), tensors, file), config


def load_vae_of(name: str) -> tuple[Vae, VaeConfig]:
    """Build the VAE of a run of stage `vae`, or the frozen one within the weights that ship.

    Args:
        name: the run folder, or the word `weights`.

    Raises:
        InputError: as `load_vae`.
    """
    if name != SHIPPED:
        return load_vae(Path(name))
    network, _, config = load_run(run_folder(name))
    return network.vae, config


class TakenOver(NamedTuple):
    """Names of tensors: which a network took over, which of its own stay, which found no place.

    Attributes:
        taken: of the network, now as in the other run.
        new: of the network; the other run has none of that name and shape.
        left_out: of the other run.
    """

    taken: list[str]
    new: list[str]
    left_out: list[str]


@torch.no_grad()
def take_over(network: nn.Module, folder: Path) -> TakenOver:
    """Give a network the tensors of another run, where names and shapes are the same.

    Frozen parts stay as they are. A VAE takes those of the VAE in a run of a later stage.

    Args:
        network: `Vae` or `LatentDiffusion`; changed in place, all of it or, on an error, nothing.
        folder: of the other run, of any stage.

    Raises:
        InputError: there is no checkpoint, or one that is damaged, of another version, or with
            numbers that can't be used.
    """
    file, parts = find_model(folder), network.named_children()
    theirs = _read_model(file)[0]
    frozen = {name for name, part in parts if not any(p.requires_grad for p in part.parameters())}
    tensors = network.state_dict().items()
    own = {name: tensor for name, tensor in tensors if name.partition(".")[0] not in frozen}
    sources = {name: name if name in theirs else f"vae.{name}" for name in own}
    fitting = {
        name: source
        for name, source in sources.items()
        if source in theirs and theirs[source].shape == own[name].shape
    }
    for source in fitting.values():
        if fault := _fault_of_numbers(theirs[source]):
            raise InputError(f"{file}: {source!r:.100} {fault}")
    for name, source in fitting.items():
        own[name].copy_(theirs[source])
    new, left_out = own.keys() - fitting.keys(), theirs.keys() - set(fitting.values())
    return TakenOver(list(fitting), sorted(new), sorted(left_out))


def load_diffusion(folder: Path) -> tuple[LatentDiffusion, DenoiserConfig]:
    """Build the VAE and the denoiser of a run of stage `edm`, `ect` or `distill`.

    Raises:
        InputError: as `load_vae`.
    """
    return load_run(folder)[:2]


def load_run(folder: Path) -> tuple[LatentDiffusion, DenoiserConfig, VaeConfig]:
    """As `load_diffusion`, with the VAE's config."""
    file = find_model(folder)
    tensors, config, vae = _read_model(file)
    if isinstance(config, VaeConfig) or not isinstance(vae, VaeConfig):
        wanted = "needed is 'edm', 'ect' or 'distill', with a VAE of stage 'vae'"
        raise InputError(f"{file}: is of stage {config.stage!r}, {wanted}")
    settings = vae.model, config.model, config.diffusion
    return _build(lambda: LatentDiffusion(*settings), tensors, file), config, vae


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


def _digest(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of all that a checkpoint holds."""
    found = sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _read_model(file: Path) -> tuple[Mapping[str, Tensor], Config, Config]:
    try:
        with safe_open(file, framework="pt") as opened:
            text = (opened.metadata() or {}).get(METADATA_KEY, "{}")
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{file}: can't be read: no safetensors file, or damaged") from error
    about = _read_metadata(text, file)
    has_digest, stored = "sha256" in about, about.pop("sha256", None)  # older ones have none
    if has_digest and stored != (found := _digest(about, tensors)):
        raise InputError(
            f"{file}: is damaged: its contents have SHA-256 {found}, stored is {stored!r:.66}"
        )
    while about["format"] != FORMAT:
        about, tensors = UPGRADES[about["format"]](about, tensors)
    config, vae = (validate_config(about[k], f"{file}: {k}") for k in ("config", "vae_config"))
    return tensors, config, vae


def _read_metadata(text: str, file: Path) -> dict[str, Any]:
    try:
        about = json.loads(text)
        json.dumps(about)  # what can be read may yet be too deep to be written
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise InputError(f"{file}: its metadata is no JSON object")
    if about.get("format") not in (*UPGRADES, FORMAT):
        raise InputError(
            f"{file}: checkpoint format {about.get('format')!r:.40}"
            f" (radarsparse {about.get('version')!r:.40}), needed is '1' to {FORMAT!r}"
        )
    needed = {"format", "version", "config", "vae_config"}
    if about.keys() - {"sha256"} != needed:
        names = ", ".join(sorted(about.keys() - {"sha256"} ^ needed))
        raise InputError(f"{file}: its metadata lacks or doesn't know {names!r:.100}")
    return about


def _build(make: Callable[[], Network], tensors: Mapping[str, Tensor], file: Path) -> Network:
    """The network with these weights; what doesn't fit is found before memory is taken."""
    with torch.device("meta"):
        needed = make().state_dict()
    for name in sorted(needed.keys() | tensors.keys()):
        if name not in needed or name not in tensors:
            fault = "is missing" if name in needed else "is of no use"
        elif tensors[name].shape != needed[name].shape:
            shapes = tuple(tensors[name].shape), tuple(needed[name].shape)
            fault = "is {}, needed is {}".format(*shapes)
        else:
            fault = _fault_of_numbers(tensors[name])
        if fault:
            raise InputError(f"{file}: doesn't fit its config: {name!r:.100} {fault}")
    network = make()
    network.load_state_dict(tensors)
    return network.eval()


def _fault_of_numbers(tensor: Tensor) -> str | None:
    """Why the numbers of a stored tensor can't be used; None where they can."""
    if tensor.dtype not in STORED:
        kinds = ", ".join(str(kind) for kind in STORED)
        return f"holds numbers of {tensor.dtype}, needed is one of {kinds}"
    return None if tensor.isfinite().all() else "holds numbers that are not finite"
