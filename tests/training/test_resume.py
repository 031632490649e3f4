"""Runs that are killed, terminated, or whose files suffer."""

import json
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from radarsparse.config import Config, validate_config
from radarsparse.errors import InputError
from radarsparse.formats.prepared import write_frame
from radarsparse.training.checkpoint import load_state, save_state
from radarsparse.training.loop import train
from radarsparse.training.trainer import Trainer
from radarsparse.viewer.plots import render_clouds
from tests.conftest import tiny_config, tiny_pair
from tests.processes import ROOT, environment

KILLS = 3


def longer(frames: Path, **train: object) -> Config:
    """A tiny run that writes a checkpoint at every other step."""
    raw = tiny_config(frames, "vae").model_dump(mode="json")
    raw["train"] |= {"samples": 40, "report_every_samples": 4, **train}
    return validate_config(raw, "test")


def start(config: Config, folder: Path, out: Path, **options: Any) -> subprocess.Popen[str]:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    words = [sys.executable, "tools/train.py", "--config", str(file), "--out", str(out)]
    variables = environment(OMP_NUM_THREADS="1")
    return subprocess.Popen(
        words, cwd=ROOT, env=variables, stderr=subprocess.PIPE, text=True, **options
    )


def wait_for(file: Path) -> None:
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} did not appear"
        time.sleep(0.01)


def records(folder: Path) -> list[dict[str, float]]:
    """The lines of `stats.jsonl` without what depends on the process."""
    lines = (folder / "stats.jsonl").read_text().splitlines()
    process = ("seconds", "peak_memory_gib")
    return [{k: v for k, v in json.loads(line).items() if k not in process} for line in lines]


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_as_one_never_killed(
    frames: Path, tmp_path: Path
) -> None:
    config = longer(frames)
    train(config, tmp_path / "whole", render_clouds)
    dice, out = random.Random(0), tmp_path / "killed"
    for kill in range(KILLS):
        process = start(config, tmp_path, out)
        if kill == 0:
            wait_for(out / "config.yaml")
        else:
            # A checkpoint is being written, or is about to be.
            before = (out / "state.pt").stat().st_mtime_ns if (out / "state.pt").exists() else 0
            deadline = time.monotonic() + 60
            while process.poll() is None and time.monotonic() < deadline:
                now = (out / "state.pt").stat().st_mtime_ns if (out / "state.pt").exists() else 0
                if now != before or list(out.glob(".*.part")):
                    break
        time.sleep(0.05 * dice.random())
        process.kill()
        process.communicate()
    process = start(config, tmp_path, out)
    message = process.communicate()[1]
    assert process.returncode == 0, message
    for name in ("model.safetensors", "state.pt"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert records(out) == records(tmp_path / "whole")


@pytest.mark.slow
def test_a_terminated_run_writes_a_checkpoint_and_says_so_by_its_status(
    frames: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    config = longer(frames, samples=100_000, checkpoint_every_samples=100_000)
    process = start(config, tmp_path, out)
    deadline = time.monotonic() + 60
    while not (out / "stats.jsonl").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    state = load_state(out)
    assert state is not None
    assert state["seen"] >= 4


@pytest.mark.slow
def test_a_full_disk_leaves_the_last_checkpoint(frames: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(longer(frames, samples=4), out, render_clouds)
    before = {name: (out / name).read_bytes() for name in ("model.safetensors", "state.pt")}

    def limit() -> None:
        # The system refuses to write beyond this, as it does when a disk is full.
        most = len(before["model.safetensors"]) // 2
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    process = start(longer(frames, samples=8), tmp_path, out, preexec_fn=limit)
    message = process.communicate()[1].strip().splitlines()[-1]
    assert process.returncode == 2
    assert message.startswith("error: ")
    assert "can't be written" in message
    assert {name: (out / name).read_bytes() for name in before} == before
    assert not list(out.glob(".*.part"))


def test_a_damaged_state_gives_way_to_the_one_before_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for seen in (4, 8):
        save_state(tmp_path, {"seen": seen})
    assert load_state(tmp_path) == {"seen": 8}
    file = tmp_path / "state.pt"
    file.write_bytes(file.read_bytes()[:-20])
    assert load_state(tmp_path) == {"seen": 4}
    assert [f"{file}: can't be read" in record.message for record in caplog.records] == [True]
    file.unlink()  # killed between two renames
    assert load_state(tmp_path) == {"seen": 4}
    (tmp_path / "state_previous.pt").write_bytes(b"")
    with pytest.raises(InputError, match=r"state_previous.pt: can't be read; delete"):
        load_state(tmp_path)
    (tmp_path / "state_previous.pt").unlink()
    assert load_state(tmp_path) is None


def test_a_damaged_state_in_a_run_costs_only_the_steps_since(frames: Path, tmp_path: Path) -> None:
    config = tiny_config(frames, "vae")
    for name in ("whole", "damaged"):
        train(config, tmp_path / name, render_clouds)
    (tmp_path / "damaged" / "state.pt").write_bytes(b"damaged")
    train(config, tmp_path / "damaged", render_clouds)
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "damaged")]
    assert models[0] == models[1]


def test_a_run_on_a_gpu_goes_on_where_there_is_none(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: Trainer) -> None:
        raise KeyboardInterrupt

    config = longer(frames, samples=8, report_every_samples=6)
    train(config, tmp_path / "whole", render_clouds)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "report", stop)
        # What torch writes of tensors that lie on a GPU.
        patch.setattr("torch.serialization.location_tag", lambda _: "cuda:0")
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "moved", render_clouds)
    assert b"cuda:0" in (tmp_path / "moved" / "state.pt").read_bytes()
    train(config, tmp_path / "moved", render_clouds)
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "moved")]
    assert models[0] == models[1]


def test_frames_that_changed_since_the_run_began_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for index in range(3):
        write_frame(root, tiny_pair(index))
    (root / "split.yaml").write_text("train: [[0, 9]]\n")
    config = tiny_config(root, "vae")
    train(config, tmp_path / "run", render_clouds)
    write_frame(root, tiny_pair(3))
    with pytest.raises(InputError, match=r"split 'train' changed .+ was 3 frames, .+ now 4 frames"):
        train(config, tmp_path / "run", render_clouds)


def test_hidden_files_of_others_survive_a_run(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = tiny_config(frames, "vae"), tmp_path / "run"
    monkeypatch.setattr("sys.argv", ["train", "q\udcff"])
    out.mkdir()
    for name in (".x.part", ".x.12.part", ".config.yaml.old.part", ".lock"):
        (out / name).write_text("mine")
        with pytest.raises(InputError, match=rf"run: exists with other contents \({name}\)"):
            train(config, out, render_clouds)
        (out / name).unlink()
    ours = [out / ".config.yaml.12.part", out / ".lock"]
    for path in ours:
        path.touch()
    train(config, out, render_clouds)
    assert not any(path.exists() for path in ours)
    assert (out / "command.txt").read_text() == "train q\\udcff\n"
    theirs = [out / ".x.12.part", out / "sub" / ".state.pt.12.part", out / ".lock"]
    theirs[1].parent.mkdir()
    for path in theirs:
        path.write_text("mine")
    with pytest.raises(InputError, match=r"\.lock: is another program's"):
        train(config, out, render_clouds)
    assert all(path.read_text() == "mine" for path in theirs)
    theirs.pop().unlink()
    train(config, out, render_clouds)
    assert all(path.read_text() == "mine" for path in theirs)


def test_a_folder_that_tensorboard_can_not_write_is_refused(frames: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"q\\udcff: is no UTF-8, as TensorBoard needs"):
        train(tiny_config(frames, "vae"), tmp_path / "q\udcff", render_clouds)
    assert not (tmp_path / "q\udcff").exists()


def test_a_loss_that_is_not_finite_stops_before_the_step(frames: Path, tmp_path: Path) -> None:
    config = longer(frames, learning_rate=1e30, checkpoint_every_samples=2, warmup_samples=1)
    with pytest.raises(InputError, match=r"after 2 samples: frame \d{6}: the loss is not finite"):
        train(config, tmp_path, render_clouds)
    state = load_state(tmp_path)
    assert state is not None
    assert state["seen"] == 2
