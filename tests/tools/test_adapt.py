"""adapt as a user calls it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from radarsparse.cli import parse
from radarsparse.commands import adapt
from radarsparse.commands import eval as evaluation
from radarsparse.enhancer import Enhancer
from radarsparse.errors import InputError
from radarsparse.evaluation.frames import frame_seed
from radarsparse.formats.prepared import write_frame
from radarsparse.metrics import evaluate, summarize
from radarsparse.models.weights import load_diffusion
from radarsparse.training.trainer import Trainer
from tests.conftest import tiny_pair
from tests.tools.test_run import call, refused

QUICK = (
    "train.workers=0",
    "train.checkpoint_every_samples=2",
    "train.validation.every_samples=6",
    "train.validation.patience_samples=100",
)
SAMPLES = 6

Adapt = Callable[..., Any]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Prepared frames without a split."""
    for number in range(8):
        write_frame(tmp_path / "mine", tiny_pair(number))
    return tmp_path / "mine"


@pytest.fixture
def act(mine: Path, edm_run: Path) -> Adapt:
    def run(out: Path, *words: object) -> Any:
        quick = (word for setting in QUICK for word in ("--set", setting))
        line = ["--frames", mine, "--out", out, "--checkpoint", edm_run, "--samples", SAMPLES]
        line += [*quick, *words]
        return adapt.act(parse(adapt.COMMAND, [*map(str, line)]))

    return run


def listing(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_weights_are_adapted_and_compared_on_frames_held_back(
    act: Adapt, mine: Path, edm_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, out = listing(mine), tmp_path / "run"
    # So few steps change less than bfloat16 tells apart.
    result = act(out, "--set", "engine=torch")
    assert listing(mine) == before
    assert (result["samples"], result["best"]) == (SAMPLES, str(out / "best"))
    shown = capsys.readouterr().out
    assert "means over 1 frame held back" in shown
    assert f"next: radarsparse enhance --checkpoint {out / 'best'} --input" in shown
    pair, seed = tiny_pair(7), frame_seed(0, "000007")
    best, config = load_diffusion(out / "best")
    volume = Enhancer(best, config).volume
    lidar = pair.lidar[volume.contains(pair.lidar)]
    clouds = {
        "raw": pair.radar[volume.contains(pair.radar), :3],
        "start": Enhancer(load_diffusion(edm_run)[0], config)(pair.radar, seed).table,
        "adapted": Enhancer(best, config)(pair.radar, seed).table,
    }
    for row, cloud in clouds.items():
        scores = summarize([evaluate(cloud, lidar, diagonal_m=volume.diagonal_m)])
        for key, value in result["scores"][row].items():
            assert value == pytest.approx(scores[key]), (row, key)
            assert f"{value:.3f}" in shown
    assert result["scores"]["start"] != result["scores"]["adapted"]


def test_an_adapted_run_is_evaluated_on_what_was_held_back(act: Adapt, tmp_path: Path) -> None:
    act(tmp_path / "run")
    words = ["--checkpoint", tmp_path / "run" / "best", "--out", tmp_path / "m.json", "--dry-run"]
    for split, count in (("val", 1), ("train", 7)):
        line = [*map(str, words), "--split", split, "--workers", "1"]
        assert evaluation.act(parse(evaluation.COMMAND, line))["frames"] == count


def test_called_again_it_goes_on(
    act: Adapt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(_: Trainer) -> None:
        raise KeyboardInterrupt

    more = ("--set", "train.report_every_samples=4")
    act(tmp_path / "whole", *more)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "report", stop)
        with pytest.raises(KeyboardInterrupt):
            act(tmp_path / "killed", *more)
    caplog.set_level("INFO", "radarsparse")
    caplog.clear()
    act(tmp_path / "killed", *more)
    assert "already finished" not in caplog.text
    models = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("whole", "killed")]
    assert models[0] == models[1]
    act(tmp_path / "killed", *more)
    assert f"{tmp_path / 'killed'}: already finished, after {SAMPLES} samples" in caplog.text
    assert act(tmp_path / "killed", *more, "--samples", 8)["samples"] == 8


def test_it_stops_when_nothing_improves(
    act: Adapt, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "radarsparse")
    # The seed decides nothing here: after the first step the patience is over.
    patience = ("--set", "train.validation.patience_samples=2")
    assert act(tmp_path / "run", *patience)["samples"] == 2
    assert f"{tmp_path / 'run'}: stopped after 2 samples" in caplog.text


def test_a_dry_run_says_what_it_would_do_and_writes_nothing(
    act: Adapt, tmp_path: Path, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listing(tmp_path)
    result = act(tmp_path / "run", "--dry-run")
    assert "on 7 frames for 6 samples" in result["found"]
    assert "tensors taken over" in result["found"]
    assert result["config"]["data"]["split"] == {"train": [[0, 6]], "val": [[7, 7]]}
    assert "split:" in capsys.readouterr().out
    assert listing(tmp_path) == before


def test_the_first_frames_alone(act: Adapt, tmp_path: Path) -> None:
    split = "data.split={train: [[0, 2]], val: [[5, 7]]}"
    assert "on 3 frames" in act(tmp_path / "run", "--dry-run", "--set", split)["found"]


def test_what_can_not_be_used_is_refused(
    act: Adapt, tmp_path: Path, mine: Path, edm_run: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(InputError, match="--samples = 0: must be a whole number, 1 to"):
        act(out, "--samples", 0)
    with pytest.raises(InputError, match=r"train\.smaples: is no key here|smaples"):
        act(out, "--set", "train.smaples=3")
    with pytest.raises(InputError, match=r"data.*\[3, 1\], which ends before it begins"):
        act(out, "--set", "data.split={train: [[3, 1]]}")
    result = call("adapt", "--frames", tmp_path, "--out", out)
    assert refused(result, str(tmp_path), "`radarsparse prepare`")
    assert not out.exists()
