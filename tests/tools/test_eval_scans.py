"""tools/eval.py on radar scans without LiDAR, as a user runs it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from radarsparse.errors import InputError
from tests.evaluation.clouds import save
from tests.evaluation.drives import make_drive
from tests.tools.test_run import call, refused

Words = tuple[object, ...]


@pytest.fixture
def scans(tmp_path: Path) -> Words:
    """Two drives with their poses, and clouds that are their points."""
    drives = [make_drive(4, "a_"), make_drive(3, "b_", seed=1)]
    for drive in drives:
        save(tmp_path / "scans", **drive.scans)
        save(tmp_path / "pred", **{name: radar[:, :3] for name, radar in drive.scans.items()})
    arrays = [drive.arrays() for drive in drives]
    # The second drive begins elsewhere.
    arrays[1]["T_world_radar"] = arrays[1]["T_world_radar"] + np.pad([[300.0]], ((0, 3), (3, 0)))
    both = {key: np.concatenate([each[key] for each in arrays]) for key in arrays[0]}
    np.savez(tmp_path / "scans/poses.npz", **both)
    return "--scans", tmp_path / "scans", "--pred", tmp_path / "pred"


def test_folders_of_scans_and_clouds(scans, tmp_path):
    out = tmp_path / "m.json"
    result = call("eval", *scans, "--out", out, "--csv", tmp_path / "m.csv", "--resamples", 20)
    assert result.returncode == 0, result.stderr
    report = json.loads(out.read_text())
    assert list(report["clips"]) == ["a_003-006", "b_003-005"]
    assert report["frames"] == 7
    # The clouds are the scans.
    assert report["pred"] == report["raw"]
    assert report["ratios"]["pred/raw"]["recall@0.5m"] == 1
    assert report["raw"]["recall@1.0m"] > 2 * report["chance"]["recall@1.0m"]
    assert "a_003-006: enhanced / chance" in result.stdout
    with (tmp_path / "m.csv").open() as stream:
        lines = list(csv.DictReader(stream))
    assert [line["row"] for line in lines[:4]] == ["raw", "raw_chance", "pred", "chance"]
    assert len(lines) == 4 * 7


def test_doppler_moves_scans_as_poses_do(evaluate, scans, tmp_path):
    for name, words in {"poses": (), "doppler": ("--rate-hz", 10)}.items():
        evaluate(*scans, "--out", tmp_path / f"{name}.json", "--resamples", 20, *words)
    found = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("poses", "doppler")]
    assert [report["motion"]["source"][:7] for report in found] == ["poses o", "Doppler"]
    both = [report["raw"]["recall@0.5m"] for report in found]
    assert both[0] == pytest.approx(both[1], abs=0.01)


def test_a_dry_run_says_what_would_be_scored(evaluate, scans, tmp_path):
    text = evaluate(*scans, "--out", tmp_path / "m.json", "--dry-run")
    assert text == "would score 7 scans of a_003-006, b_003-005\n"
    assert not (tmp_path / "m.json").exists()


def test_a_run_draws_each_scan_with_a_seed_of_its_own(evaluate, edm_run, scans, tmp_path):
    words = ("--checkpoint", edm_run, *scans[:2], "--resamples", 5)
    texts = []
    for name, seed in (("one", 0), ("two", 0)):
        evaluate(*words, "--seed", seed, "--out", tmp_path / f"{name}.json")
        texts.append((tmp_path / f"{name}.json").read_text())
    assert texts[0] == texts[1]
    assert json.loads(texts[0])["frames"] == 7


def test_clouds_look_like_the_lidar_that_is_named(evaluate, scans, tmp_path):
    words = ("--checkpoint", "weights", *scans[:2], "--resamples", 5)
    points = {}
    for name in ("vlp16", "hdl64"):
        evaluate(*words, "--lidar", name, "--out", tmp_path / f"{name}.json")
        points[name] = json.loads((tmp_path / f"{name}.json").read_text())["pred"]["points"]
    assert points["hdl64"] > 2 * points["vlp16"]
    with pytest.raises(InputError, match="LiDAR 'vlp17': neither a file nor one of vlp16"):
        evaluate(*words, "--lidar", "vlp17", "--out", tmp_path / "m.json")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--target", "x"), "--target: doesn't go with --scans"),
        (("--raw", "x"), "--raw: doesn't go with --scans"),
        (("--crop", "0,0,0,1,1,1"), "--crop: doesn't go with --scans"),
        (("--compare", "a=b"), "--compare: doesn't go with --scans"),
        (("--pictures", "x"), "--pictures: doesn't go with --scans"),
        (("--worst", "3"), "--worst: doesn't go with --scans"),
        (("--realism",), "--realism: doesn't go with --scans"),
        (("--seed", "1"), "--seed: goes with --checkpoint RUN"),
        (("--lidar", "hdl64"), "--lidar: goes with --checkpoint RUN"),
        (("--checkpoint", "x"), "give either --checkpoint RUN, or --pred DIR"),
        (("--rate-hz", "0"), "--rate-hz 0: must be positive and at most 1000"),
        (("--rate-hz", "nan"), "--rate-hz nan: must be positive"),
        (("--rate-hz", "10", "--poses", "x"), "--rate-hz: moves scans by Doppler, --poses by"),
        (("--poses", "nowhere.npz"), r"nowhere\.npz: no such file"),
    ],
)
def test_unusable_options_are_named(evaluate, scans, tmp_path, more, message):
    with pytest.raises(InputError, match=message):
        evaluate(*scans, "--out", tmp_path / "m.json", *more)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pred", "scans"]


@pytest.mark.parametrize("words", [("--poses", "x"), ("--rate-hz", "10"), ("--lidar", "hdl64")])
def test_what_goes_with_scans_does_not_go_without(evaluate, tmp_path, words):
    with pytest.raises(InputError, match=f"{words[0]}: goes with --scans DIR"):
        evaluate("--checkpoint", "x", *words, "--out", tmp_path / "m.json")


def test_unusable_scans_are_named_and_nothing_is_written(evaluate, scans, tmp_path):
    folder, out = tmp_path / "scans", ("--out", tmp_path / "m.json")
    np.save(folder / "a_004.npy", np.full((9, 5), np.nan, dtype=np.float32))
    with pytest.raises(InputError, match=r"a_004\.npy: no usable point of 9"):
        evaluate(*scans, *out)
    (tmp_path / "pred/a_005.npy").unlink()
    with pytest.raises(InputError, match="pred: holds no cloud of scan a_005"):
        evaluate(*scans, *out)
    (folder / "poses.npz").unlink()
    with pytest.raises(InputError, match="give --poses FILE or, without poses, --rate-hz HZ"):
        evaluate(*scans, *out)
    assert not (tmp_path / "m.json").exists()


def test_a_jump_ends_with_status_2_and_one_line(scans, tmp_path):
    with np.load(tmp_path / "scans/poses.npz") as archive:
        arrays = dict(archive)
    arrays["T_world_radar"][2:, 0, 3] += 9.0
    np.savez(tmp_path / "far.npz", **arrays)
    words = ("--poses", tmp_path / "far.npz", "--out", tmp_path / "m.json", "--dry-run")
    assert refused(call("eval", *scans, *words), "from a_004 to a_005, poses jump by 9.8 m")
