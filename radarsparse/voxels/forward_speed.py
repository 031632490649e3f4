"""The radar's own forward speed, as the Doppler of one cloud tells it."""

import numpy as np
from numpy.typing import NDArray

from radarsparse.geometry import azimuth_rad
from radarsparse.scan import RADAR_COLUMNS

_DOPPLER = RADAR_COLUMNS.index("doppler_mps")
_AHEAD_RAD = np.radians(60.0)
_POINTS_MAX = 300
_SPEEDS_MPS = np.arange(-60.0, 60.1, 0.2)
_AGREEING_MPS = 0.3
# Over a narrower span folding could make anything agree.
_FOLDED_SPAN_MIN_MPS = 4.0
# As much as another direction of travel explains at most, of what the likeliest speed does.
_OTHER_SHARE = 0.8
_STANDING_MPS = 1.0


def forward_speed_mps(points: NDArray[np.float32]) -> float:
    """The speed straight ahead at which most of what lies before the radar stands still.

    What stands ahead approaches: its Doppler is minus the speed times the cosine of its direction,
    folded where the radar measures no larger ones. So it is compared modulo the span of all values.

    Args:
        points: [n, 5] x, y, z [m], doppler_mps with the car's own motion in it, power_db.

    Returns:
        Metres per second. Negative where the radar moves backwards, and as well where it looks
        backwards or the sign of the Doppler is turned round; 0 where no speed explains most points,
        or one of the other sign nearly as many.
    """
    ahead = points[np.abs(azimuth_rad(points)) < _AHEAD_RAD].astype(np.float64)
    if len(ahead) == 0:
        return 0.0
    ahead = ahead[:: -(-len(ahead) // _POINTS_MAX)]
    share = _agreeing_shares(ahead)
    best = int(share.argmax())
    speed_mps = float(_SPEEDS_MPS[best])
    other = share[_SPEEDS_MPS * np.sign(speed_mps) < -_STANDING_MPS].max(initial=0.0)
    if share[best] <= 0.5 or other > _OTHER_SHARE * share[best]:
        return 0.0
    return speed_mps


def _agreeing_shares(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each speed, the share of points whose Doppler says that they stand."""
    doppler_mps = points[:, _DOPPLER]
    cosine = points[:, 0] / np.linalg.norm(points[:, :3], axis=1)
    off_mps = doppler_mps + _SPEEDS_MPS[:, None] * cosine
    span_mps = _span_mps(doppler_mps)
    if span_mps >= _FOLDED_SPAN_MIN_MPS:
        off_mps -= span_mps * np.rint(off_mps / span_mps)
    return np.mean(np.abs(off_mps) < _AGREEING_MPS, axis=1)


def _span_mps(doppler_mps: NDArray[np.float64]) -> float:
    """From the smallest to the largest value, both with the half step that belongs to them."""
    values = np.unique(doppler_mps)
    return float(np.ptp(values) + np.diff(values).min(initial=np.inf)) if len(values) > 1 else 0.0
