"""tools/prepare.py as a user runs it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml

from radarsparse.formats.prepared import PreparedFrames
from tests.processes import ROOT, environment


def prepare(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "tools/prepare.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(OMP_NUM_THREADS="1"),
    )


def write_native(root: Path, name: str) -> None:
    sensors = [
        {"sensor_uid": uid, "calib_data": {"T_to_ref_COS": np.eye(4).tolist()}}
        for uid in ("radar_6455", "lidar_vlp16")
    ]
    files = {
        f"radar_6455/{name}.txt": "\nX Y Z V_r Mag\n10 1 0.5 -3.5 46.5\n",
        f"lidar_vlp16/{name}.txt": "X Y Z Reflectivity LaserID Timestamp \n5 0 0 7 3 1\n",
        f"calibration/{name}.json": json.dumps({"sensors": sensors}),
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def test_astyx_is_prepared_once(tmp_path: Path) -> None:
    source, target = tmp_path / "native", tmp_path / "prepared"
    for name in ("000378", "000379", "000545"):
        write_native(source, name)
    dry = prepare("astyx", source, target, "--dry-run")
    assert (dry.returncode, target.exists()) == (0, False)
    assert "would write 3 frames (000378 .. 000545)" in dry.stdout
    done = prepare("astyx", source, target)
    assert done.returncode == 0, done.stderr
    for split, name in (("train", "000378"), ("val", "000379"), ("test", "000545")):
        assert PreparedFrames.open(target, split).names == (name,)
    card = yaml.safe_load((target / "dataset.yaml").read_text())
    assert card["licence"].startswith("CC BY-NC-SA 4.0")
    assert card["field_of_view_deg"] == [110.0, 10.0]
    assert "nothing to do" in prepare("astyx", source, target).stdout
    write_native(source, "000001")
    refused = prepare("astyx", source, target)
    assert refused.returncode == 2
    assert "exists with other contents" in refused.stderr


def test_a_broken_source_leaves_no_target(tmp_path: Path) -> None:
    source, target = tmp_path / "native", tmp_path / "prepared"
    for name in ("000000", "000001"):
        write_native(source, name)
    broken = source / "radar_6455/000001.txt"
    whole = broken.read_text()
    broken.write_text("\nX Y Z V_r Mag\n10 1 x -3.5 46.5\n")
    done = prepare("astyx", source, target)
    assert done.returncode == 2
    assert f"error: {broken}: can't be read: row 0 is '10 1 x" in done.stderr
    assert not target.exists()
    broken.write_text(whole)
    # What was made of the former files is not mixed with what is made of these.
    again = prepare("astyx", source, target)
    assert again.returncode == 2
    assert f"error: {target}.partial: was begun with fingerprint " in again.stderr
    shutil.rmtree(f"{target}.partial")
    assert prepare("astyx", source, target).returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["native", "prepared"]


def test_a_wrong_source_is_named(tmp_path: Path) -> None:
    done = prepare("astyx", tmp_path / "nowhere", tmp_path / "prepared")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path / 'nowhere/radar_6455'}: no such folder")
    assert list(tmp_path.iterdir()) == []


def test_prepared_frames_are_looked_at(frames: Path, tmp_path: Path) -> None:
    picture = tmp_path / "check.png"
    seen = prepare("check", frames, "--out", picture)
    assert seen.returncode == 0, seen.stderr
    assert "8 frames" in seen.stdout
    assert "own / other" in seen.stdout
    assert picture.is_file()
    assert "2 frames" in prepare("check", frames, "--split", "val").stdout
    missing = prepare("check", tmp_path / "nothing")
    assert (missing.returncode, "no such folder" in missing.stderr) == (2, True)
