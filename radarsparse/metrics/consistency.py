"""Agreement of a cloud with static points that other scans of the same place measured."""

from collections.abc import Sequence

import torch
from torch import Tensor

from radarsparse.metrics.bands import OUTSIDE, band_names, range_bands
from radarsparse.metrics.match import Points, match_clouds

THRESHOLDS_M = (0.5, 1.0)


def consistency_scores(
    cloud: Points, held_out: Points, edges_m: Sequence[float]
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Recall of held-out points by a cloud, and the support that they give it.

    Args:
        cloud: [n, 3 or 4] x, y, z in metres first.
        held_out: [m, 3] static points of other scans, the same frame.
        edges_m: of the range bands, ascending.

    Returns:
        Scores of the whole, and of each band by name: `recall@Tm` is the share of held-out points
        nearer than T to the cloud, NaN where none is there; `support@Tm` the share of the cloud's
        points nearer than T to a held-out point, NaN where the cloud has none or nothing is held
        out at all; `points` and `held_out_points` are counts. A band chooses the points that are
        asked, their neighbours may lie anywhere.

    Raises:
        InputError: as `match_clouds`, or the edges don't ascend.
    """
    match = match_clouds(cloud, held_out)
    there_m, back_m = match.there2.sqrt(), match.back2.sqrt()
    ours, theirs = range_bands(match.pred, edges_m), range_bands(match.target, edges_m)
    whole = _shares(there_m, back_m, len(match.target))
    bands = {
        name: _shares(there_m[ours == band], back_m[theirs == band], len(match.target))
        for band, name in enumerate(band_names("range", edges_m), start=OUTSIDE + 1)
    }
    return whole, bands


def _shares(there_m: Tensor, back_m: Tensor, held_out: int) -> dict[str, float]:
    """Shares of distances below each threshold; the mean of nothing is NaN."""
    asked_m = there_m if held_out else there_m[:0]
    return {
        **{f"recall@{limit_m}m": _share_below(back_m, limit_m) for limit_m in THRESHOLDS_M},
        **{f"support@{limit_m}m": _share_below(asked_m, limit_m) for limit_m in THRESHOLDS_M},
        "points": float(len(there_m)),
        "held_out_points": float(len(back_m)),
    }


def _share_below(distances_m: Tensor, limit_m: float) -> float:
    return float((distances_m < limit_m).to(torch.float64).mean())
