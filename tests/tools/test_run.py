"""train, enhance and eval as a user calls them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData

from radarsparse.formats.clouds import write_cloud

ROOT = Path(__file__).parents[2]


def call(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a tool from the repository root."""
    words = [sys.executable, f"tools/{tool}.py", *map(str, arguments)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def refused(result: subprocess.CompletedProcess[str], *words: str) -> bool:
    """Exit status 2 and one line that holds all the words."""
    line = result.stderr.strip().splitlines()[-1]
    return result.returncode == 2 and line.startswith("error: ") and all(w in line for w in words)


@pytest.fixture(scope="module")
def clouds(edm_run, frames, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("clouds") / "ply"
    arguments = ("--checkpoint", edm_run, "--input", frames, "--out", out)
    result = call("enhance", *arguments)
    assert result.returncode == 0, result.stderr
    return out


def test_enhance_writes_one_cloud_per_frame(clouds):
    assert sorted(file.name for file in clouds.iterdir()) == [f"{i:06d}.ply" for i in range(8)]
    vertex = PlyData.read(clouds / "000000.ply")["vertex"]
    names = ["x", "y", "z", "intensity", "probability"]
    assert [p.name for p in vertex.properties] == names


def test_enhance_in_tiles_gives_the_same_clouds(clouds, edm_run, frames, tmp_path):
    file, out = frames / "frames" / "000000.npz", tmp_path / "tiles"
    arguments = ("--checkpoint", edm_run, "--input", file, "--out", out)
    assert refused(
        call("enhance", *arguments, "--tile-m", 1), "side of tiles = 1.0 m", "must be 6.4 to"
    )
    result = call("enhance", *arguments, "--tile-m", 6.4)
    assert result.returncode == 0, result.stderr
    whole, tiled = (PlyData.read(f / "000000.ply")["vertex"].data for f in (clouds, out))
    assert len(whole) == len(tiled) > 0
    for axis in ("x", "y", "z"):
        assert np.allclose(np.sort(whole[axis]), np.sort(tiled[axis]), atol=1e-3)


def test_enhance_refuses_what_it_can_not_use(clouds, edm_run, frames, tmp_path):
    def enhance(source: object, *more: object, out: Path = tmp_path / "out"):
        return call("enhance", "--checkpoint", edm_run, "--input", source, "--out", out, *more)

    before = {file.name: file.read_bytes() for file in clouds.iterdir()}
    assert refused(enhance(frames, out=clouds), str(clouds), "other contents")
    assert {file.name: file.read_bytes() for file in clouds.iterdir()} == before
    assert refused(enhance(tmp_path / "none"), "none", "no such")
    words = "--steps = 0", "must be a whole number, 1 to 4096"
    assert refused(enhance(frames, "--steps", 0), *words)
    assert refused(enhance(frames, "--steps", 4), "steps = 4", "a regression")
    far = tmp_path / "far.npy"
    np.save(far, np.full((3, 5), -40.0, dtype=np.float32))
    assert refused(enhance(far), "far.npy", "none of 3 points", "box")
    np.save(far, np.zeros((3, 4), dtype=np.float32))
    assert refused(enhance(far), "far.npy", "(3, 4)", "(n, 5)")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.partial").exists()


def test_eval_of_a_run_scores_all_rows(edm_run, tmp_path):
    out = tmp_path / "metrics.json"
    result = call("eval", "--checkpoint", edm_run, "--split", "val", "--out", out)
    assert result.returncode == 0, result.stderr
    rows = ("raw radar", "regression", "enhanced", "VAE reconstruction")
    places = [result.stdout.index(row) for row in rows]
    assert places == sorted(places)
    report = json.loads(out.read_text())
    assert report["frames"] == len(report["per_frame"]) == 2
    for kind in ("raw", "regression", "pred", "reconstruction"):
        assert report[kind]["chamfer_sum_m"] > 0


def test_eval_of_folders_scores_the_named_clouds(clouds, frames, tmp_path):
    out = tmp_path / "metrics.json"
    arguments = ("--pred", clouds, "--target", frames, "--raw", frames, "--out", out)
    result = call("eval", *arguments)
    assert result.returncode == 0, result.stderr
    report = json.loads(out.read_text())
    assert [frame["name"] for frame in report["per_frame"]] == [f"{i:06d}" for i in range(8)]
    # The radar points are the wall's LiDAR points, moved by a tenth of a metre.
    assert report["raw"]["precision@0.5m"] > 0.95


def test_an_empty_cloud_counts_with_the_diagonal_as_its_distance(frames, tmp_path):
    pred, out = tmp_path / "pred", tmp_path / "metrics.json"
    pred.mkdir()
    write_cloud(pred / "000006.ply", np.zeros((0, 4)))
    result = call("eval", "--pred", pred, "--target", frames, "--out", out)
    assert result.returncode == 0, result.stderr
    diagonal_m = np.linalg.norm([51.2, 51.2, 6.4])
    scores = json.loads(out.read_text())["pred"]
    assert scores["chamfer_sum_m"] == pytest.approx(2 * diagonal_m)
    assert scores["fscore@0.5m"] == 0


def test_eval_refuses_what_it_can_not_use(edm_run, clouds, tmp_path):
    out = tmp_path / "metrics.json"
    assert refused(call("eval", "--out", out), "--checkpoint", "--pred")
    split = call("eval", "--checkpoint", edm_run, "--split", "none", "--out", out)
    assert refused(split, "none")
    other = call("eval", "--checkpoint", edm_run, "--set", "model.vae=x", "--out", out)
    assert refused(other, "model.vae=x")
    assert refused(call("eval", "--pred", clouds, "--target", tmp_path, "--out", out), "no file")
    assert not out.exists()


def test_train_dry_run_says_what_it_would_do_and_writes_nothing(vae_yaml, tmp_path):
    out = tmp_path / "run"
    result = call("train", "--config", vae_yaml, "--out", out, "--dry-run", "--set", "seed=3")
    assert result.returncode == 0, result.stderr
    assert "seed: 3" in result.stdout
    assert "on 6 frames for 8 samples" in result.stdout
    assert not out.exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.smaples=3", ("train.smaples", "is no key here")),
        ("train.samples=-3", ("train.samples = -3", "must be greater than 0")),
        ("train.samples=many", ("train.samples = 'many'", "must be a valid integer")),
        ("data.root=nowhere", ("nowhere",)),
    ],
)
def test_train_refuses_unusable_settings(vae_yaml, tmp_path, override, words):
    out = tmp_path / "run"
    assert refused(call("train", "--config", vae_yaml, "--out", out, "--set", override), *words)
    assert not out.exists()
