import json
from pathlib import Path

import pytest

from radarsparse.errors import InputError
from radarsparse.training.profile import profile_steps
from tests.conftest import tiny_config


def test_parts_of_a_step_add_up_and_the_trace_shows_them(frames: Path, tmp_path: Path) -> None:
    config = tiny_config(frames, "vae")
    long = config.model_copy(update={"train": config.train.model_copy(update={"samples": 100})})
    times_ms = profile_steps(long, tmp_path / "trace.json")
    parts = sum(time_ms for name, time_ms in times_ms.items() if name != "step")
    assert 0.5 * times_ms["step"] < parts <= times_ms["step"]
    names = {
        event.get("name")
        for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    }
    assert {"step", "load", "forward", "backward", "optimise"} <= names


def test_a_run_of_too_few_steps_is_refused(frames: Path, tmp_path: Path) -> None:
    config = tiny_config(frames, "vae")
    short = config.model_copy(update={"train": config.train.model_copy(update={"samples": 1})})
    with pytest.raises(InputError, match=r"train\.samples = 1: makes 1 steps; --profile needs 12"):
        profile_steps(short, tmp_path / "trace.json")
