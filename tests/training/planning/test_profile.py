import json
import time
from pathlib import Path

import pytest
import torch

from radarsparse.config import Config
from radarsparse.errors import InputError
from radarsparse.training.planning.profile import profile_steps
from tests.conftest import tiny_config


def of_length(frames: Path, samples: int) -> Config:
    config = tiny_config(frames, "vae")
    train = config.train.model_copy(update={"samples": samples})
    return config.model_copy(update={"train": train})


def test_parts_of_a_step_add_up_and_the_trace_shows_them(frames: Path, tmp_path: Path) -> None:
    times_ms = profile_steps(of_length(frames, 100), tmp_path / "trace.json")
    parts = sum(time_ms for name, time_ms in times_ms.items() if name != "step")
    assert 0.5 * times_ms["step"] < parts <= times_ms["step"]
    names = {
        event.get("name")
        for event in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    }
    assert {"step", "load", "forward", "backward", "optimise"} <= names


def test_every_part_has_the_time_of_what_it_sent_to_the_device(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def wait(device: torch.device) -> None:
        asked.append(device)
        time.sleep(0.02)

    monkeypatch.setattr("radarsparse.training.planning.profile.wait_for", wait)
    times_ms = profile_steps(of_length(frames, 100), tmp_path / "trace.json")
    assert list(times_ms) == ["load", "forward", "backward", "optimise", "step"]
    assert min(times_ms.values()) >= 20
    assert times_ms["step"] >= 100
    assert set(asked) == {torch.device("cpu")}


def test_no_profiler_of_cycles_is_taken(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn(_: object) -> None:
        raise UserWarning  # as torch 2.10 and 2.11 do, whether there are cycles or not

    monkeypatch.setattr(torch.profiler.profile, "prepare_trace", warn)
    profile_steps(of_length(frames, 100), tmp_path / "trace.json")


def test_a_run_of_too_few_steps_is_refused(frames: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.samples = 1: makes 1 step; --profile needs 12"):
        profile_steps(of_length(frames, 1), tmp_path / "trace.json")
