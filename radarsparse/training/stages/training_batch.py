"""What every stage is given and gives."""

import numpy as np
from numpy.typing import NDArray

from radarsparse.geometry import Volume
from radarsparse.sparse import SparseTensor
from radarsparse.training.random import SampleRandom
from radarsparse.voxels.batch import Batch
from radarsparse.voxels.voxelize import place_points

Cloud = NDArray[np.float32]


class TrainingBatch:
    """Frames, and the random numbers that belong to them.

    No dataclass, since Fabric would take one apart.

    Args:
        frames: what is learnt from.
        random: one generator per frame.
    """

    def __init__(self, frames: Batch, random: SampleRandom) -> None:
        self.frames, self.random = frames, random


def to_points(voxels: SparseTensor, volume: Volume) -> Cloud:
    """Decoded voxels of one frame as points, [n, 4] as `place_points` gives them."""
    return place_points(voxels.coords[:, 1:].cpu().numpy(), voxels.feats.cpu().numpy(), volume)
