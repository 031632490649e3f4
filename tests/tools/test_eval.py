"""tools/eval.py on folders, as a user runs it."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.evaluation import critic
from radarsparse.evaluation.realism import MEASURES
from radarsparse.formats.clouds import write_cloud
from tests.evaluation.clouds import PRED, TARGET, cloud, save
from tests.processes import environment
from tests.tools.test_run import ROOT, call, refused

Words = tuple[object, ...]


@pytest.fixture
def pair(tmp_path: Path) -> Words:
    """The options that name two folders of two frames by hand."""
    pred, target = save(tmp_path / "pred", **PRED), save(tmp_path / "target", **TARGET)
    return "--pred", pred, "--target", target


def many(tmp_path: Path, frames: int = 7) -> Words:
    """Folders of random clouds, one of each side empty."""
    random = np.random.default_rng(0)
    for number in range(frames):
        points = random.uniform(0, 30, (random.integers(50, 300), 4)).astype(np.float32)
        guess = points[::2] + random.normal(0, 0.3, points[::2].shape).astype(np.float32)
        save(tmp_path / "target", **{f"{number:03d}": points[: len(points) * (number != 2)]})
        save(tmp_path / "pred", **{f"{number:03d}": guess[: len(guess) * (number != 4)]})
    return "--pred", tmp_path / "pred", "--target", tmp_path / "target"


def test_two_frames_by_hand(pair, tmp_path):
    out = tmp_path / "metrics.json"
    result = call("eval", *pair, "--out", out)
    assert result.returncode == 0, result.stderr
    report = json.loads(out.read_text())
    assert report["frames"] == 2
    assert report["pred"]["chamfer_sum_m"] == pytest.approx(2.75)
    assert report["pred"]["precision@1.0m"] == pytest.approx(0.25)
    assert report["definitions"]["chamfer_sum_m"].endswith("unsquared, metres")
    assert report["left_out"]["pred"]["feature_mae"] == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "2 frames"
    assert lines[2].split()[:2] == ["enhanced", "2.750"]
    assert lines[3:] == [
        "frames without a number: enhanced 1 (feature_mae)",
        "worst by Chamfer sum: b, a",
    ]


def test_everything_at_once(evaluate, pair, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for name, points in TARGET.items():
        write_cloud(other / f"{name}.pcd", points)
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in TARGET:
        np.ones((4, 5), dtype=np.float32).tofile(raw / f"{name}.bin")
    out = tmp_path / "out"
    out.mkdir()
    files = ("--out", out / "m.json", "--csv", out / "m.csv", "--pictures", out / "pictures")
    words = ("--raw", raw, "--compare", f"other={other}", *files, "--worst", 1, "--resamples", 50)
    text = evaluate(*pair, *words)
    assert [line.split("  ")[0] for line in text.splitlines()[2:5]] == [
        "raw radar",
        "enhanced",
        "other",
    ]
    report = json.loads((out / "m.json").read_text())
    assert report["other"]["fscore@0.1m"] == 1
    assert report["intervals"]["other"]["fscore@0.1m"] == [1, 1]
    assert report["left_out"]["raw"]["feature_mae"] == 2
    with (out / "m.csv").open() as stream:
        assert [line["row"] for line in csv.DictReader(stream)] == ["raw", "pred", "other"] * 2
    drawn = {path.name for path in (out / "pictures").iterdir()}
    assert drawn == {"distances.png", "b.png", "b.ply"}


def test_other_crops_are_refused_unless_one_is_given(evaluate, tmp_path):
    points = np.random.default_rng(0).uniform(-60, 60, (200, 4)).astype(np.float32)
    points[:, 3] = 1.0
    near = points[np.abs(points[:, :3]).max(axis=1) < 40]
    pred, target = save(tmp_path / "pred", a=points), save(tmp_path / "target", a=near)
    out = tmp_path / "metrics.json"
    words = ("--pred", pred, "--target", target, "--out", out)
    with pytest.raises(InputError, match=r"of pred lie more than 5 m outside .* give --crop"):
        evaluate(*words)
    assert not out.exists()
    evaluate(*words, "--crop", "-40,-40,-40,40,40,40")
    report = json.loads(out.read_text())
    assert report["pred"]["chamfer_sum_m"] == 0
    assert report["crop"] == {"minimum_m": [-40] * 3, "maximum_m": [40] * 3}
    assert report["diagonal_m"] == pytest.approx(80 * 3**0.5)


def test_an_empty_crop_is_scored_by_the_contract(evaluate, pair, tmp_path):
    out = tmp_path / "metrics.json"
    text = evaluate(*pair, "--out", out, "--crop", "7,-1,-1,9,1,1")
    # Frame a is empty on both sides, the target of frame b on its own.
    report = json.loads(out.read_text())
    assert (report["pred"]["empty_pred"], report["pred"]["empty_target"]) == (1, 2)
    assert report["pred"]["chamfer_sum_m"] == pytest.approx(2 * 12**0.5)
    assert report["pred"]["fscore@2.0m"] == 0
    assert report["left_out"]["pred"]["chamfer_sum_m"] == 1
    assert report["per_frame"][0]["pred"]["chamfer_sum_m"] is None
    assert "empty predictions: enhanced 1; empty targets: 2" in text


def test_the_number_of_workers_changes_nothing(evaluate, tmp_path):
    words = many(tmp_path)
    for workers in (1, 2, 3):
        out, table = tmp_path / f"{workers}.json", tmp_path / f"{workers}.csv"
        evaluate(*words, "--out", out, "--csv", table, "--workers", workers)
    for suffix in ("json", "csv"):
        files = [(tmp_path / f"{workers}.{suffix}").read_bytes() for workers in (1, 2, 3)]
        assert files[0] == files[1] == files[2]


def torchrun(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words += ["tools/eval.py", *map(str, arguments), "--workers", "1"]
    variables = environment(OMP_NUM_THREADS="1")
    return subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, check=False, env=variables
    )


@pytest.mark.slow
def test_two_processes_write_what_one_writes(evaluate, tmp_path):
    words = many(tmp_path)
    alone, together = tmp_path / "alone.json", tmp_path / "together.json"
    expected = evaluate(*words, "--out", alone)
    result = torchrun(*words, "--out", together, "--pictures", tmp_path / "pictures")
    assert result.returncode == 0, result.stderr
    assert result.stdout == expected
    assert together.read_bytes() == alone.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 3])
def test_one_of_two_processes_says_what_is_wrong(tmp_path, number):
    words = many(tmp_path)
    (tmp_path / f"pred/{number:03d}.npy").write_bytes(b"broken")
    result = torchrun(*words, "--out", tmp_path / "m.json")
    assert result.returncode != 0
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert f"{number:03d}.npy" in errors[0]
    assert not (tmp_path / "m.json").exists()


def test_a_dry_run_reads_and_writes_nothing(evaluate, pair, tmp_path):
    np.save(tmp_path / "pred/a.npy", np.zeros(3))
    out = tmp_path / "metrics.json"
    assert evaluate(*pair, "--out", out, "--dry-run") == "would score 2 frames\n"
    assert not out.exists()


def test_realism_is_measured_when_asked_for(evaluate, tmp_path, monkeypatch):
    monkeypatch.setattr(critic, "STEPS", 2)
    random, names = np.random.default_rng(0), [f"{number:02d}" for number in range(12)]
    for folder in ("pred", "target"):
        clouds = random.uniform((5, 1, -1), (7, 3, 1), (12, 200, 3)).astype(np.float32)
        save(tmp_path / folder, **dict(zip(names, clouds, strict=True)))
    words = ("--pred", tmp_path / "pred", "--target", tmp_path / "target", "--resamples", 3)
    out = tmp_path / "metrics.json"
    text = evaluate(*words, "--out", out, "--realism")
    found = json.loads(out.read_text())["realism"]
    assert list(found) == ["pred", "real"]
    assert all(row.keys() == MEASURES.keys() for row in found.values())
    assert all(heading in text for heading in MEASURES.values())
    plain = evaluate(*words, "--out", out)
    assert text.startswith(plain)
    assert "realism" not in json.loads(out.read_text())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--crop", "1,2,3"), "--crop 1,2,3: six numbers"),
        (("--crop", "-1,0,0,-2,1,1"), "x0 -1 must be below x1 -2"),
        (("--compare", "pred=x"), "--compare pred=x: the name pred is taken"),
        (("--compare", "real=x"), "--compare real=x: the name real is taken"),
        (("--realism", "--dry-run"), "--realism: 2 frames found, at least 12 needed"),
        (("--compare", "new=nowhere"), "nowhere: no such file or folder"),
        (("--raw", "nowhere"), "nowhere: no such file or folder"),
        (("--workers", "0"), "--workers 0: must be 1 or more"),
        (("--worst", "-1"), "--worst = -1: must be a whole number, 0 to 1000000"),
        (("--resamples", "0"), "--resamples = 0: must be a whole number, 1 to 1000000"),
        (("--csv", "nowhere/x.csv"), r"nowhere/x\.csv: no such folder: nowhere"),
        (("--csv", "/dev/null"), "/dev/null: is no file that could be replaced"),
        (("--pictures", "/proc/x"), "/proc/x: can't be written"),
        (("--config", "nowhere.yaml"), r"nowhere\.yaml"),
        (("--checkpoint", "run"), "give either --checkpoint RUN, or --pred DIR"),
    ],
)
def test_unusable_options_are_named(evaluate, pair, tmp_path, more, message):
    with pytest.raises(InputError, match=message):
        evaluate(*pair, "--out", tmp_path / "m.json", *more)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pred", "target"]


def test_places_that_are_taken_are_refused_at_once(evaluate, pair, tmp_path):
    words, out = (*pair, "--out", tmp_path / "m.json"), tmp_path / "m.json"
    with pytest.raises(InputError, match=r"m\.json: is the file of --out"):
        evaluate(*words, "--csv", out)
    taken = save(tmp_path / "pictures", a=cloud())
    with pytest.raises(InputError, match="pictures: exists with other contents"):
        evaluate(*words, "--pictures", taken, "--dry-run")
    (taken / "a.npy").unlink()
    other = tmp_path / "pictures.partial"
    other.mkdir()
    (other / "diary").touch()
    with pytest.raises(InputError, match=r"pictures\.partial: is in the way"):
        evaluate(*words, "--pictures", taken)
    assert [path.name for path in other.iterdir()] == ["diary"]
    out.mkdir()
    with pytest.raises(InputError, match=r"m\.json: is a folder, a file expected"):
        evaluate(*words)


def test_an_existing_empty_folder_takes_the_pictures(evaluate, pair, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "link").symlink_to("pictures")
    evaluate(*pair, "--out", tmp_path / "m.json", "--pictures", tmp_path / "link", "--worst", 1)
    drawn = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert drawn == {"distances.png", "b.png", "b.ply"}
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("option", ["target", "raw", "crop", "compare", "config", "bin-type"])
def test_what_goes_with_folders_does_not_go_with_a_run(evaluate, tmp_path, option):
    values = {"config": "demo_vae", "bin-type": "float32"}
    words = (f"--{option}", values.get(option, "x=y"))
    with pytest.raises(InputError, match=f"--{option}: goes with --pred DIR"):
        evaluate("--checkpoint", "run", *words, "--out", tmp_path / "m.json")


@pytest.mark.parametrize("words", [("--split", "val"), ("--seed", "0")])
def test_what_goes_with_a_run_does_not_go_with_folders(evaluate, pair, tmp_path, words):
    with pytest.raises(InputError, match=f"{words[0]}: goes with --checkpoint RUN"):
        evaluate(*pair, *words, "--out", tmp_path / "m.json")


def test_an_unusable_seed_is_named(evaluate, tmp_path):
    with pytest.raises(InputError, match="--seed = -1: must be a whole number, 0 to"):
        evaluate("--checkpoint", "run", "--seed", -1, "--out", tmp_path / "m.json")


def test_settings_need_a_config_to_change(evaluate, pair, tmp_path):
    with pytest.raises(InputError, match="--set: goes with --checkpoint RUN or --config YAML"):
        evaluate(*pair, "--set", "volume.voxel_size_m=0.4", "--out", tmp_path / "m.json")


def test_unusable_folders_are_named(evaluate, pair, tmp_path):
    out = ("--out", tmp_path / "m.json")
    pred, target, empty = (tmp_path / name for name in ("pred", "target", "empty"))
    empty.mkdir()
    with pytest.raises(InputError, match="empty: no file ending in"):
        evaluate("--pred", pred, "--target", empty, *out)
    with pytest.raises(InputError, match="--pred needs --target DIR"):
        evaluate("--pred", pred, *out)
    with pytest.raises(InputError, match=r"none/m\.json: no such folder"):
        evaluate(*pair, "--out", tmp_path / "none/m.json")
    (target / "b.npy").rename(target / "c.npy")
    with pytest.raises(InputError, match=r"b\.npy: has no partner named b"):
        evaluate(*pair, *out)
    write_cloud(pred / "a.ply", cloud())
    with pytest.raises(InputError, match=r"a\.ply: shares its name with a\.npy"):
        evaluate(*pair, *out)
    assert not (tmp_path / "m.json").exists()


@pytest.mark.parametrize("crop", [(), ("--crop", "0,0,0,30,30,30")])
def test_an_unreadable_file_ends_the_work_and_leaves_nothing(evaluate, tmp_path, crop):
    words = many(tmp_path)
    (tmp_path / "pred/005.npy").write_bytes(b"broken")
    files = ("--out", tmp_path / "m.json", "--csv", tmp_path / "m.csv")
    with pytest.raises(InputError, match=r"pred/005\.npy: can't be read"):
        evaluate(*words, *files, "--pictures", tmp_path / "pictures", *crop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pred", "target"]


def test_bad_input_ends_with_status_2_and_one_line(pair, tmp_path):
    (tmp_path / "target/b.npy").write_bytes(b"broken")
    result = call("eval", *pair, "--out", tmp_path / "m.json")
    assert refused(result, "target/b.npy: can't be read")
    assert "Traceback" not in result.stderr
