from copy import deepcopy

import numpy as np
import pytest
import torch

from radarsparse.enhancer import Enhancer
from radarsparse.errors import InputError
from radarsparse.evaluation import ladder as ladder_module
from radarsparse.evaluation.frames import DRAW, PREDICTION, frames_of_rows
from radarsparse.evaluation.ladder import (
    CONSENSUS,
    GROWN,
    HEUN,
    WRONG,
    Ladder,
    grow,
    reconstruct_wrongly,
    run_quality,
    score_draws,
)
from radarsparse.evaluation.results import KEPT
from radarsparse.formats.prepared import PreparedFrames
from radarsparse.geometry import Volume
from radarsparse.training.loop import train
from radarsparse.viewer.plots import render_clouds
from tests.conftest import TINY_VOLUME, tiny_config, tiny_pair

VOLUME = Volume(tuple(TINY_VOLUME["minimum_m"]), tuple(TINY_VOLUME["maximum_m"]), 0.2, 1.0)


@pytest.fixture(scope="module")
def few_run(frames, vae_run, edm_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("few") / "run"
    train(tiny_config(frames, "ect", str(edm_run), vae=str(vae_run)), folder, render_clouds)
    return folder


@pytest.fixture(scope="module")
def ladder(edm_run, few_run):
    return Ladder(Enhancer.load(edm_run), Enhancer.load(few_run))


def test_growing_marks_every_neighbour_once():
    points = np.array([[3.05, 0.05, 0.05], [3.25, 0.05, 0.05]])
    grown = grow(points, VOLUME)
    assert len(grown) == 4 * 3 * 3
    assert len(np.unique(grown, axis=0)) == len(grown)
    distance = np.abs(grown[:, None] - points[None]).max(2).min(1)
    assert distance.max() < 0.2 + 0.1 + 1e-6


def test_every_rung_is_there_in_order(ladder, frames):
    prepared = PreparedFrames.open(frames, "val")
    scored = frames_of_rows(ladder.rows(), prepared.names, prepared, VOLUME)
    clouds = scored.read(prepared.names[0]).clouds
    few = [f"{steps}, one draw" for steps in ("1 step", "2 steps", "4 steps")]
    assert list(clouds) == [
        *("raw", GROWN, "regression", HEUN, *few, CONSENSUS),
        *(PREDICTION, DRAW, WRONG, "reconstruction"),
    ]
    assert len(clouds[GROWN]) > len(clouds["raw"])


def test_wrong_cells_change_the_reconstruction_but_the_seed_decides(ladder):
    believing = deepcopy(ladder.many)
    for level in believing.network.vae.decoder.levels:
        torch.nn.init.ones_(level.child_head.bias)
    pair = tiny_pair(6)
    first, again, other = (reconstruct_wrongly(believing, pair, seed) for seed in (0, 0, 1))
    assert len(first) > 0
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_best_of_several_draws_is_no_worse_than_the_first(ladder):
    scores = score_draws(ladder, [tiny_pair(6), tiny_pair(7)])
    assert scores["best"]["chamfer_sum_m"] <= scores["first"]["chamfer_sum_m"]
    assert scores["best"]["fscore@0.5m"] >= scores["first"]["fscore@0.5m"]
    assert sum(scores["flags"]) > 0
    assert 0 <= scores["calibration_error"] <= 1
    assert scores["variance_ratio"] > 0


def test_the_document_holds_both_sets_and_its_pictures(
    ladder, frames, edm_run, few_run, tmp_path, monkeypatch
):
    monkeypatch.setattr(ladder_module, "SIMULATED_FRAMES", 1)
    monkeypatch.setattr(ladder_module, "DRAWS", 2)
    monkeypatch.setattr(ladder_module, "simulate_pair", lambda _seed, number: tiny_pair(number))
    document = tmp_path / "results.md"
    document.write_text(f"old numbers\n{KEPT}\n\n## Notes\n\nby hand\n")
    reports = run_quality([f"{edm_run},{few_run}"] * 2, frames, document, dry_run=False)
    assert len(reports) == 4
    text = document.read_text()
    assert "## Astyx `val`" in text
    assert "## Simulated frames" in text
    assert "2 frames, 2 training seeds" in text
    assert "old numbers" not in text
    assert text.endswith("## Notes\n\nby hand\n")
    pictures = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert pictures == ["000006.png", "000007.png", "noise.png"]
    assert all(f"](results/{name})" in text for name in pictures)


@pytest.mark.parametrize("runs", [[], ["only_one"], ["a,b,c"]])
def test_runs_that_are_no_pair_are_refused(runs, tmp_path):
    with pytest.raises(InputError, match="--runs"):
        run_quality(runs, tmp_path, tmp_path / "results.md", dry_run=False)
