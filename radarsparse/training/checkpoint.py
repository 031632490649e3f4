"""`state.pt` of a run folder: what resuming needs."""

import logging
from pathlib import Path
from typing import Any
from zipfile import ZipFile

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
    # Through a file, since torch would write the name of a path into it.
    with replacing(file) as part:
        with part.open("wb") as opened:
            torch.save(state, opened)
        if file.exists():
            file.replace(folder / PREVIOUS_FILE)


def has_state(folder: Path) -> bool:
    """Whether a run stopped here that `load_state` would go on with."""
    return any((folder / name).exists() for name in (STATE_FILE, PREVIOUS_FILE))


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
        with ZipFile(file) as parts:  # torch stores checksums, and doesn't look at them
            damaged = parts.testzip()
        # Onto the CPU, since the device of the run may be missing or full; who restores moves it.
        state = torch.load(file, map_location="cpu", weights_only=True)
        if damaged is None and isinstance(state, dict):
            return state
        reason = f"{damaged or 'what it holds'} is damaged"
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = str(error).strip().split("\n")[0]
    _log.warning("%s: can't be read (%s)", file, reason)
    return None
