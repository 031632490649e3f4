"""The moving average of a network."""

from itertools import chain

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel


class MovingAverage(AveragedModel):
    """A copy of a network whose weights and buffers follow in few launches.

    torch's own waits for a GPU at every step; its state is the same.

    Args:
        network: what is followed; where it is now, it stays.
        decay: share of the average that a step keeps.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, use_buffers=True)
        self._decay = decay
        self._ours, self._theirs = (
            [tensor.detach() for tensor in chain(module.parameters(), module.buffers())]
            for module in (self.module, network)
        )

    @torch.no_grad()
    def follow(self) -> None:
        """Move towards what the network is now; the first time, all the way."""
        if self.n_averaged == 0:
            torch._foreach_copy_(self._ours, self._theirs)  # pyright: ignore[reportPrivateImportUsage]
        else:
            torch._foreach_lerp_(  # pyright: ignore[reportPrivateImportUsage]
                self._ours, self._theirs, 1.0 - self._decay
            )
        self.n_averaged += 1
