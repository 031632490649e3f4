"""Elevations of the rings of LiDARs that turn, in degrees, as their makers state them."""

import numpy as np


def _evenly(first_deg: float, last_deg: float, count: int) -> tuple[float, ...]:
    return tuple(np.linspace(first_deg, last_deg, count).tolist())


# Data sheet: +-15 deg.
VLP_16_DEG = _evenly(-15.0, 15.0, 16)

# Manual: +2.0 to -24.9 deg; the two blocks of 32 beams, 1/3 and 1/2 deg apart, are recalled from
# it.
HDL_64_DEG = _evenly(2.0, -8.33, 32) + _evenly(-8.83, -24.9, 32)

# Captures of ouster-lidar/ouster-sdk: +20.95 to -21.82 deg.
OS1_128_DEG = _evenly(20.95, -21.82, 128)
