"""What TensorBoard shows of a run."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


class Board:
    """Scalars and pictures of a run, by the number of samples seen.

    Args:
        folder: the run folder.
        seen: samples seen already; what an earlier process showed beyond them is dropped.
    """

    def __init__(self, folder: Path, seen: int) -> None:
        self._writer = SummaryWriter(str(folder / FOLDER), purge_step=seen)

    def show_numbers(self, entry: Mapping[str, float]) -> None:
        """Show every value of an entry of `stats.jsonl`."""
        samples = round(entry["samples"])
        for name, value in entry.items():
            if name != "samples":
                self._writer.add_scalar(name, value, samples)

    def show_picture(self, name: str, picture: NDArray[np.uint8], samples: int) -> None:
        """Show a picture [height, width, 3]."""
        self._writer.add_image(name, picture, samples, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()
