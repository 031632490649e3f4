"""What is shown: the layers of a frame, and the colours of their points."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bounds = tuple[float, float]

# Bottom to top: the keys 1, 2, 3 switch them.
LAYER_COLORS = {"radar": "#ffa02e", "enhanced": "#35d0ba", "lidar": "#b9c2d0"}
LAYER_NAMES = tuple(LAYER_COLORS)
# A radar cloud is so sparse that its points would be lost among the others.
SIZE_FACTORS = {"radar": 1.8, "enhanced": 1.0, "lidar": 1.0}
BACKGROUND = "#11151a"
BY_LAYER = "layer"
RING_COLOR = "#4a5563"
RING_STEP_M, RING_COUNT = 10.0, 6
RING_ANGLES_DEG = (-75.0, 75.0, 0.4)
PERCENTILES = (2.0, 98.0)
LEAST_WIDTH = 1e-3


class Coloring(NamedTuple):
    """How a value of points becomes a colour.

    Attributes:
        label: what the value is, with its unit.
        colors: from the lowest value to the highest, at equal steps, all bright on the dark ground.
        bounds: the values of the first and the last colour; None where they depend on the data.
    """

    label: str
    colors: tuple[str, ...]
    bounds: Bounds | None = None


_RAINBOW = ("#4d6bff", "#27b8e6", "#2fdc8f", "#d7e34a", "#ff9d2e", "#ff4d4d")
_GLOW = ("#5a48a0", "#a8479a", "#e8645c", "#ffb04d", "#fff3b8")
_COLD_TO_WARM = ("#3f83ff", "#9cc0ff", "#e8e8e8", "#ffb08a", "#ff4a3d")
_DARK_TO_LIGHT = ("#7a5bb0", "#3f8fc5", "#58c98b", "#f2ef5a")
_GREEN_TO_RED = ("#3ddc84", "#f2e14c", "#ff8a3c", "#ff3b3b")
COLORINGS = {
    "height": Coloring("height z [m]", _RAINBOW),
    "intensity": Coloring("LiDAR intensity", _GLOW),
    "doppler": Coloring("Doppler [m/s], approaching below 0", _COLD_TO_WARM),
    "power": Coloring("radar power [dB]", _GLOW),
    "probability": Coloring("probability of LiDAR returns", _DARK_TO_LIGHT, (0.0, 1.0)),
    "error": Coloring("distance to the LiDAR cloud [m]", _GREEN_TO_RED, (0.0, 2.0)),
}
COLORING_NAMES = (BY_LAYER, *COLORINGS)


@dataclass(frozen=True)
class Layer:
    """A cloud that is switched as a whole.

    Attributes:
        name: one of `LAYER_NAMES`.
        points: [n, 3] x, y, z in metres, radar frame.
        values: [n] each, by the name of the colouring that shows it; NaN where unknown.
    """

    name: str
    points: Floats
    values: Mapping[str, Floats]


@dataclass(frozen=True)
class ShownFrame:
    """The layers of one moment, in the order of `LAYER_NAMES`."""

    name: str
    layers: tuple[Layer, ...]


class Look(NamedTuple):
    """What of a frame is drawn, and how; the size is that of a LiDAR point."""

    coloring: str
    bounds: Mapping[str, Bounds]
    hidden: frozenset[str] = frozenset()
    point_size_px: float = 2.5


class Dots(NamedTuple):
    """Points ready to be drawn.

    Attributes:
        points: [n, 3] metres, radar frame.
        colors: [n, 3], red, green, blue from 0 to 1.
        size_px: of a point.
    """

    points: Floats
    colors: Floats
    size_px: float


def ring_dots(bounds: Mapping[str, Bounds]) -> Dots:
    """Faint rings about the radar on the ground, every `RING_STEP_M`, which give a picture scale.

    Args:
        bounds: of every colouring; the ground lies where heights begin.
    """
    radii_m = np.arange(1, RING_COUNT + 1) * RING_STEP_M
    angles = np.radians(np.arange(*RING_ANGLES_DEG))
    x, y = (np.outer(radii_m, part(angles)).ravel() for part in (np.cos, np.sin))
    points = np.stack([x, y, np.full_like(x, bounds["height"][0])], axis=1)
    colors = np.tile(rgb(RING_COLOR), (len(points), 1))
    return Dots(points.astype(np.float32), colors.astype(np.float32), 1.0)


def dots_of(frame: ShownFrame, look: Look) -> dict[str, Dots]:
    """The visible layers of a frame in their colours, by name."""
    return {
        layer.name: Dots(
            layer.points,
            paint(layer, look.coloring, look.bounds),
            look.point_size_px * SIZE_FACTORS[layer.name],
        )
        for layer in frame.layers
        if layer.name not in look.hidden
    }


def paint(layer: Layer, coloring: str, bounds: Mapping[str, Bounds]) -> Floats:
    """A colour for every point; points without the value take that of their layer.

    Args:
        layer: whose points.
        coloring: one of `COLORING_NAMES`.
        bounds: of every colouring.

    Returns:
        [n, 3], red, green, blue from 0 to 1.
    """
    plain = np.broadcast_to(rgb(LAYER_COLORS[layer.name]), (len(layer.points), 3))
    if coloring not in layer.values:
        return plain.astype(np.float32)
    values = layer.values[coloring]
    low, high = bounds[coloring]
    table = np.array([rgb(color) for color in COLORINGS[coloring].colors])
    places = np.clip((values - low) / (high - low), 0.0, 1.0) * (len(table) - 1)
    steps = np.arange(len(table))
    mixed = np.stack([np.interp(places, steps, channel) for channel in table.T], axis=1)
    return np.where(np.isfinite(values)[:, None], mixed, plain).astype(np.float32)


def measure_bounds(frame: ShownFrame) -> dict[str, Bounds]:
    """The values of the first and the last colour of every colouring that a frame has.

    They are measured once, in the first frame, so that a colour means the same in all others.
    The layer nearest to the truth decides: radar alone puts points far below ground. Those of
    Doppler lie about zero.
    """
    bounds = {}
    for name, coloring in COLORINGS.items():
        found = [layer.values[name] for layer in frame.layers if name in layer.values]
        known = [values[np.isfinite(values)] for values in found]
        filled = [values for values in known if len(values)]
        if found:
            bounds[name] = coloring.bounds or (0.0, 1.0)
        if filled and not coloring.bounds:
            low, high = np.percentile(filled[-1], PERCENTILES).tolist()
            if name == "doppler":
                low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
            margin = max(LEAST_WIDTH - 0.5 * (high - low), 0.0)
            bounds[name] = (low - margin, high + margin)
    return bounds


def colorings_of(bounds: Mapping[str, Bounds]) -> Sequence[str]:
    """The colourings that can be chosen, in the order of the key c."""
    return [name for name in COLORING_NAMES if name == BY_LAYER or name in bounds]


def rgb(color: str) -> NDArray[np.float64]:
    """Red, green and blue of a colour such as `#11151a`, [3] from 0 to 1."""
    return np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255.0
