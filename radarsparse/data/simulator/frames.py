"""Scenes that are simulated when they are asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from radarsparse.data.scan import ScanPair
from radarsparse.data.simulator.simulate import SIMULATOR_VERSION, simulate_pair

SCENES = 1_000_000
"""So many come before the first one comes again."""


@dataclass(frozen=True)
class SimulatedFrames(Sequence[ScanPair]):
    """Frames of the default sensors, made anew at each look; the same ones for the same seed.

    Attributes:
        seed: of all scenes.
    """

    seed: int

    @property
    def fingerprint(self) -> str:
        """What the frames are, in a line."""
        return f"simulated, version {SIMULATOR_VERSION}, seed {self.seed}"

    def __len__(self) -> int:
        return SCENES

    def __getitem__(self, index: int) -> ScanPair:  # type: ignore[override]
        return simulate_pair(self.seed, index)
