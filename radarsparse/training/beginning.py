"""How a new run begins: with the tensors of another one, where its config names one by `init`."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from radarsparse.config import Config
from radarsparse.errors import InputError
from radarsparse.files import count_of
from radarsparse.models.weights import run_folder, take_over
from radarsparse.training.checkpoint import has_state

# More names than this are counted where they would be listed.
NAMES_LISTED = 8


def begin(network: nn.Module, config: Config, folder: Path) -> str | None:
    """Let a network begin with the tensors of the run that `init` names.

    Args:
        network: of the config's stage; changed in place.
        config: of the run that begins.
        folder: of the run that begins; if it holds a state, the run goes on from that instead.

    Returns:
        One line that says which tensors were taken over and which weren't; None without `init`.

    Raises:
        InputError: the other run can't be read, or none of its tensors fits.
    """
    if config.init is None:
        return None
    if has_state(folder):
        return f"init {config.init}: nothing taken over, since {folder} goes on from its own state"
    try:
        found = take_over(network, run_folder(config.init))
    except InputError as error:
        raise InputError(f"init {config.init}: {error}") from error
    tensors = count_of(len(found.taken) + len(found.new), "tensor")
    if not found.taken:
        raise InputError(
            f"init {config.init}: has none of the {tensors} that stage {config.stage!r} trains, by"
            " name and shape; take a run whose model is alike"
        )
    parts = [f"{len(found.taken)} of {tensors} taken over"]
    parts += _count(found.new, "new") + _count(found.left_out, "of that run left out")
    return f"init {config.init}: {'; '.join(parts)}"


def _count(names: Sequence[str], what: str) -> list[str]:
    """How many there are, and which if they are few; nothing where there are none."""
    if not names:
        return []
    listed = ", ".join(name[:100] for name in names) if len(names) <= NAMES_LISTED else ""
    return [f"{len(names)} {what}" + (f" ({listed})" if listed else "")]
