"""Power on any scale, made comparable: what counts is how strong a point is in its own cloud."""

import numpy as np
from numpy.typing import NDArray

# Quantiles of clouds of the simulated Astyx. Networks learn with this scale, whatever the radar.
LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
REFERENCE_DB = (45.0, 45.5, 47.0, 49.0, 53.0, 58.5, 63.5, 74.0, 97.0)


def comparable_power(power: NDArray[np.floating]) -> NDArray[np.float64]:
    """Power of one cloud on the scale that all clouds share.

    Points keep their order: each gets the value that as large a share of a reference cloud lies
    below. Points of equal power stand at the middle of their ranks, so that a cloud in which all
    are equal gets the reference's median.

    Args:
        power: [n] in dB or any other unit that rises with the echo.

    Returns:
        [n] dB of the reference.
    """
    order = np.sort(power)
    below, up_to = (np.searchsorted(order, power, side) for side in ("left", "right"))
    level = (below + up_to) / (2.0 * max(len(power), 1))
    return np.interp(level, LEVELS, REFERENCE_DB)
