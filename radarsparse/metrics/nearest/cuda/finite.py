"""Whether packed clouds are finite, found out while the host goes on."""

import torch


class FiniteCheck:
    """What the first kernel of a search saw; its end alone is waited for.

    Attributes:
        nonfinite: int32 [1] in the host's memory, where the kernel writes.
    """

    def __init__(self, device: torch.device) -> None:
        # Written by the kernel itself, since a copy would take the host another launch.
        self.nonfinite = torch.zeros(1, dtype=torch.int32, pin_memory=device.type == "cuda")
        self._seen = torch.cuda.Event()

    def __enter__(self) -> "FiniteCheck":
        return self

    def __exit__(self, *_: object) -> None:
        """Wait, so that nothing writes into memory that is given back."""
        self._seen.synchronize()

    def begun(self) -> None:
        """Note that the kernel was launched on the current stream."""
        self._seen.record()

    @property
    def passed(self) -> bool:
        """Whether all coordinates were finite, once the check was left."""
        return self.nonfinite.item() == 0
