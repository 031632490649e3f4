import math

import pytest

from radarsparse.config import TrainSettings
from radarsparse.training.trainer import rate_share


def share(schedule: str, seen: int) -> float:
    settings = TrainSettings.model_validate(
        {"samples": 1000, "warmup_samples": 100, "schedule": schedule}
    )
    return rate_share(seen, settings)


@pytest.mark.parametrize(
    ("schedule", "seen", "expected"),
    [
        ("constant", 49, 0.5),
        ("constant", 99, 1.0),
        ("constant", 1000, 1.0),
        ("cosine", 500, 0.5),
        ("cosine", 250, 0.5 + 0.5 * math.sqrt(0.5)),
        ("cosine", 1000, 0.0),
        ("inverse_sqrt", 100, 1.0),
        ("inverse_sqrt", 400, 0.5),
        ("inverse_sqrt", 900, 1 / 3),
        ("one_cycle", 0, 0.04),
        ("one_cycle", 150, 0.52),
        ("one_cycle", 300, 1.0),
        ("one_cycle", 650, 0.5),
        ("one_cycle", 1000, 0.0),
    ],
)
def test_shares_by_hand(schedule: str, seen: int, expected: float) -> None:
    assert share(schedule, seen) == pytest.approx(expected)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "inverse_sqrt"])
def test_warm_up_rises_in_a_line(schedule: str) -> None:
    factor = share(schedule, 49) / (share(schedule, 99) if schedule != "cosine" else 1.0)
    assert factor == pytest.approx(0.5, rel=0.01)
    assert share(schedule, 0) == pytest.approx(0.01)
