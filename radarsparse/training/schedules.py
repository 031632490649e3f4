"""Shapes of the learning rate over a run, as shares of the full rate."""

import math

from radarsparse.config import TrainSettings

# Source: Smith and Topin 2018, Super-Convergence: rise over the first part, then anneal to nothing.
_ONE_CYCLE_RISE = 0.3
_ONE_CYCLE_START = 1 / 25


def rate_share(seen: int, settings: TrainSettings) -> float:
    """Share of the full learning rate after some samples.

    Args:
        seen: samples that the run has seen.
        settings: the schedule's name, the length of the warm-up and of the run.
    """
    progress = min(1.0, seen / settings.samples)
    if settings.schedule == "one_cycle":
        return _one_cycle(progress)
    warmup = min(1.0, (seen + 1) / settings.warmup_samples)
    if settings.schedule == "constant":
        return warmup
    if settings.schedule == "cosine":
        return warmup * _fall(progress)
    return warmup * math.sqrt(settings.warmup_samples / max(seen, settings.warmup_samples))


def _one_cycle(progress: float) -> float:
    """Up from a small share to all of it, and down to nothing, both along a cosine."""
    if progress < _ONE_CYCLE_RISE:
        risen = 1.0 - _fall(progress / _ONE_CYCLE_RISE)
        return _ONE_CYCLE_START + (1.0 - _ONE_CYCLE_START) * risen
    return _fall((progress - _ONE_CYCLE_RISE) / (1.0 - _ONE_CYCLE_RISE))


def _fall(progress: float) -> float:
    """Half a cosine from 1 to 0."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))
