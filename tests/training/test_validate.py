import json
import math
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from radarsparse.config import Config, ValidationSettings, validate_config
from radarsparse.errors import InputError
from radarsparse.models.weights import load_vae
from radarsparse.training.loop import train
from radarsparse.training.validate import Best, choose_frames
from radarsparse.viewer.plots import render_clouds
from tests.conftest import tiny_config


def config_with(frames: Path, **validation: object) -> Config:
    raw = tiny_config(frames, "vae").model_dump(mode="json")
    raw["train"]["validation"] = {"every_samples": 4, "frames": 2, **validation}
    return validate_config(raw, "test")


def samples_of(run: Path, word: str) -> list[float]:
    lines = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    return [line["samples"] for line in lines if any(word in key for key in line)]


def test_scores_and_pictures_come_before_the_first_step_and_at_every_validation(
    frames: Path, tmp_path: Path
) -> None:
    train(config_with(frames), tmp_path, render_clouds)
    assert samples_of(tmp_path, "val/fscore@0.5m") == [0, 4, 8]
    shown = EventAccumulator(str(tmp_path / "tensorboard"), {"images": 0, "scalars": 0}).Reload()
    assert [event.step for event in shown.Images("val")] == [0, 4, 8]
    assert [event.step for event in shown.Scalars("val/iou@0.2m")] == [0, 4, 8]
    assert load_vae(tmp_path / "best")[1] == load_vae(tmp_path)[1]


def test_a_run_that_does_not_improve_stops_early_and_stays_stopped(
    frames: Path, tmp_path: Path
) -> None:
    # Nothing is ever decoded after so few steps, so that nothing improves.
    config = config_with(frames, patience_samples=4, metric="pred_points")
    train(config, tmp_path, render_clouds)
    assert samples_of(tmp_path, "val/") == [0, 4]
    before = (tmp_path / "state.pt").read_bytes()
    train(config, tmp_path, render_clouds)
    assert (tmp_path / "state.pt").read_bytes() == before


def test_an_unknown_metric_is_refused_before_the_first_step(frames: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"validation.metric = 'beauty': no such .+ chamfer_sum_m"):
        train(config_with(frames, metric="beauty"), tmp_path, render_clouds)
    assert not (tmp_path / "state.pt").exists()


@pytest.mark.parametrize(
    ("metric", "values", "expected"),
    [
        ("chamfer_sum_m", [3.0, 2.0, 2.5, 1.0], [True, True, False, True]),
        ("fscore@0.5m", [0.1, 0.3, 0.2, math.nan], [True, True, False, False]),
        ("hausdorff95_m", [math.nan, 2.0, 1.0], [False, True, True]),
        ("iou@0.2m", [0.2, 0.1, 0.3], [True, False, True]),
    ],
)
def test_best(metric: str, values: list[float], expected: list[bool]) -> None:
    best = Best(ValidationSettings(every_samples=1, metric=metric, patience_samples=2))
    found = [best.improves({metric: value}, 10 + step) for step, value in enumerate(values)]
    assert found == expected
    again = Best(best.settings)
    again.restore(best.state())
    assert again == best
    assert not best.is_stale(best.samples + 1)
    assert best.is_stale(best.samples + 2)


def test_frames_are_spread_over_the_split() -> None:
    assert choose_frames(range(9), 3) == [0, 4, 8]  # pyright: ignore[reportArgumentType]
    assert choose_frames(range(2), 5) == [0, 1]  # pyright: ignore[reportArgumentType]
