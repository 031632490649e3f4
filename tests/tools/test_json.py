"""What every command answers with `--json`."""

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from radarsparse.cli import run
from tests.evaluation.clouds import PRED, TARGET, save
from tests.tools.test_prepare import write_native

Answer = Callable[..., dict[str, Any]]


@pytest.fixture
def answer(capsys) -> Answer:
    """Runs a command in this process; gives the object on stdout."""

    def act(name: str, *words: object) -> dict[str, Any]:
        command = import_module(f"radarsparse.commands.{name}").COMMAND
        with pytest.raises(SystemExit) as caught:
            run(command, [*map(str, words), "--json"])
        out, err = capsys.readouterr()
        assert caught.value.code == 0, err
        return json.loads(out)

    return act


def test_train_names_the_run_and_its_last_numbers(answer, vae_yaml, tmp_path):
    out = tmp_path / "run"
    words = ("--config", vae_yaml, "--out", out, "--set", "train.report_every_samples=4")
    result = answer("train", *words)
    assert (result["run"], result["samples"]) == (str(out), 8)
    lines = [json.loads(line) for line in (out / "stats.jsonl").read_text().splitlines()]
    assert result["last"]["total"] == lines[-1]["total"] > 0


def test_train_says_what_it_found_out(answer, vae_yaml, tmp_path):
    words = ("--config", vae_yaml, "--out", tmp_path / "run")
    dry = answer("train", *words, "--dry-run")
    assert dry["config"]["train"]["samples"] == 8
    assert "6 frames" in dry["found"]
    assert "voxel_size_m" in answer("train", *words, "--voxel-budget", 100_000)["found"]


def test_enhance_counts_clouds(answer, edm_run, frames, tmp_path):
    source, out = frames / "frames/000000.npz", tmp_path / "clouds"
    words = ("--checkpoint", edm_run, "--input", source, "--out", out)
    assert answer("enhance", *words)["clouds"] == len(list(out.iterdir())) == 1


def test_eval_gives_the_file_without_its_frames(answer, tmp_path):
    pred, target = save(tmp_path / "pred", **PRED), save(tmp_path / "target", **TARGET)
    words = ("--pred", pred, "--target", target, "--out", tmp_path / "m.json", "--workers", 1)
    assert answer("eval", *words, "--dry-run") == {"frames": 2, "dry_run": True}
    report = answer("eval", *words)
    assert report.pop("file") == str(tmp_path / "m.json")
    assert report["pred"]["chamfer_sum_m"] == pytest.approx(2.75)
    written = json.loads((tmp_path / "m.json").read_text())
    assert written.pop("per_frame")
    assert report == written


def test_simulate_and_check_give_their_numbers(answer, tmp_path):
    out = tmp_path / "sim"
    made = answer("simulate", "--out", out, "--frames", 3, "--seed", 0)
    assert made == {"folder": str(out), "frames": 3, "dry_run": False}
    assert answer("prepare", "check", out, "--dry-run") == {"frames": 3, "dry_run": True}
    seen = answer("prepare", "check", out)
    assert (seen["frames"], len(seen["radar_points"])) == (3, 3)
    assert np.array(seen["reach"]).shape == (4, 4)
    # Of all points, then by range.
    assert len(seen["matched_m"]) == len(seen["range_bounds_m"]) == 5
    assert seen["matched_m"][0] < seen["shuffled_m"][0]


def test_prepare_says_what_it_left_out(answer, tmp_path):
    source, out = tmp_path / "native", tmp_path / "prepared"
    for name in ("000000", "000001"):
        write_native(source, name)
    (source / "radar_6455/000001.txt").write_text("nothing")
    words = ("astyx", source, out, "--skip-unusable")
    assert answer("prepare", *words, "--dry-run")["frames"] == 2
    result = answer("prepare", *words)
    assert (result["frames"], list(result["left_out"])) == (1, ["000001"])
    assert "radar_6455/000001.txt" in result["left_out"]["000001"]
    assert result["licence"].startswith("CC BY-NC-SA 4.0")
    # Nothing is left to do, and the answer is the same.
    assert answer("prepare", *words) == result


def test_benchmark_gives_its_numbers(answer, monkeypatch, tmp_path):
    assert answer("benchmark", "nearest", "--dry-run") == {"name": "nearest", "numbers": None}
    monkeypatch.setattr("radarsparse.commands.benchmark.POINTS", (200,))
    out = tmp_path / "nearest.json"
    result = answer("benchmark", "nearest", "--repeats", 1, "--out", out)
    assert result["name"] == "nearest"
    assert result["numbers"][0]["seconds"]["scipy"] > 0
    assert result["numbers"] == json.loads(out.read_text())


def test_benchmark_scores_what_it_trained(answer, frames, tmp_path):
    words = ("birds-eye", "--root", frames, "--minutes", 0.02, "--out", tmp_path / "found.json")
    numbers = answer("benchmark", *words)["numbers"]
    assert numbers == json.loads((tmp_path / "found.json").read_text())
    assert (numbers["train_frames"], numbers["frames"]) == (6, 2)
    assert min(numbers[key] for key in ("samples", "parameters", "frame_ms")) > 0
    for row in ("raw", "pred", "bird's-eye U-Net, along beams", "LiDAR's own voxels"):
        assert numbers[row]["chamfer_sum_m"] > 0
    # Centres of its own voxels are half a voxel off at most along each axis.
    assert numbers["LiDAR's own voxels"]["fscore@0.5m"] == 1
    assert numbers["LiDAR's own voxels"]["iou@0.4m"] == 1


def test_an_error_is_the_answer_too(capsys, vae_yaml):
    command = import_module("radarsparse.commands.train").COMMAND
    with pytest.raises(SystemExit) as caught:
        run(command, ["--config", str(vae_yaml), "--set", "data.root=nowhere", "--json"])
    assert caught.value.code == 2
    assert "nowhere" in json.loads(capsys.readouterr().out)["error"]
