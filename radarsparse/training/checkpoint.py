"""`state.pt` of a run folder: what resuming needs."""

import logging
from pathlib import Path
from typing import Any

import torch

from radarsparse.errors import InputError
from radarsparse.files import replacing

STATE_FILE = "state.pt"
PREVIOUS_FILE = "state_previous.pt"

_log = logging.getLogger("radarsparse")


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
