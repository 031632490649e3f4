"""tools/simulate.py as a user runs it."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from radarsparse.formats.prepared import PreparedFrames
from radarsparse.simulator.lidar_models import LIVOX_HORIZON
from radarsparse.simulator.pairs import VARIED_RIG, SensorRig, simulate_pair
from radarsparse.simulator.radar_models import ARS548
from tests.processes import ROOT, environment


def simulate(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "tools/simulate.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(OMP_NUM_THREADS="1"),
    )


def test_frames_split_and_card_are_written(tmp_path: Path) -> None:
    out = tmp_path / "deep/sim"
    done = simulate("--out", out, "--frames", 5, "--seed", 7)
    assert done.returncode == 0, done.stderr
    splits = {name: PreparedFrames.open(out, name).names for name in ("train", "val", "test")}
    assert splits == {
        "train": ("000000", "000001", "000002"),
        "val": ("000003",),
        "test": ("000004",),
    }
    pair = PreparedFrames.open(out, "val")[0]
    np.testing.assert_array_equal(pair.radar, simulate_pair(7, 3).radar)
    card = yaml.safe_load((out / "dataset.yaml").read_text())
    counts = {"simulator_version": 4, "seed": 7, "frames": 5, "radar_sweeps": 1}
    sensors = {"radar": "Astyx 6455 HiRes", "lidar": "Velodyne VLP-16"}
    assert card["provenance"] == counts | sensors
    assert card["lidar_rings_deg"] == list(range(-15, 16, 2))
    assert [path.name for path in out.parent.iterdir()] == ["sim"]

    beside = tmp_path / "beside"
    assert simulate("--out", beside, "--frames", 5, "--seed", 7, "--workers", 2).returncode == 0
    frames = [path.relative_to(out) for path in sorted(out.rglob("*.npz"))]
    assert all((out / name).read_bytes() == (beside / name).read_bytes() for name in frames)

    before = (out / "frames/000000.npz").stat().st_mtime_ns
    again = simulate("--out", out, "--frames", 5, "--seed", 7)
    assert (again.returncode, again.stderr) == (0, "")
    assert "nothing to do" in again.stdout
    assert (out / "frames/000000.npz").stat().st_mtime_ns == before

    other = simulate("--out", out, "--frames", 5, "--seed", 8)
    assert other.returncode == 2
    assert other.stderr.startswith(f"error: {out}: exists with other contents")


def test_sweeps_are_merged(tmp_path: Path) -> None:
    options = ("--frames", 3, "--seed", 7, "--radar-sweeps", 3)
    done = simulate("--out", tmp_path / "sim", *options)
    assert done.returncode == 0, done.stderr
    pair = PreparedFrames.open(tmp_path / "sim", "train")[0]
    np.testing.assert_array_equal(pair.radar, simulate_pair(7, 0, 3).radar)


def test_other_sensors_make_another_data_set(tmp_path: Path) -> None:
    options = ("--out", tmp_path / "sim", "--frames", 3, "--seed", 7, "--radar", "ars548")
    done = simulate(*options, "--lidar", "livox-horizon")
    assert done.returncode == 0, done.stderr
    pair = PreparedFrames.open(tmp_path / "sim", "train")[0]
    expected = simulate_pair(7, 0, rig=SensorRig(ARS548, LIVOX_HORIZON))
    np.testing.assert_array_equal(pair.radar, expected.radar)
    np.testing.assert_array_equal(pair.lidar, expected.lidar)
    card = yaml.safe_load((tmp_path / "sim/dataset.yaml").read_text())
    assert card["radar_sensor"] == "simulated, after Continental ARS548 RDI"
    assert card["lidar_sensor"] == "simulated, after Livox Horizon"
    assert (card["field_of_view_deg"], card["radar_rate_hz"]) == ([120.0, 28.0], 20.0)

    other = simulate(*options, "--lidar", "vlp-16")
    assert other.returncode == 2
    assert "exists with other contents" in other.stderr


def test_varied_sensors_say_the_rings_of_each_frame(tmp_path: Path) -> None:
    options = ("--frames", 3, "--seed", 7, "--radar", "varied", "--lidar", "varied")
    done = simulate("--out", tmp_path / "sim", *options)
    assert done.returncode == 0, done.stderr
    pair = PreparedFrames.open(tmp_path / "sim", "val")[0]
    expected = simulate_pair(7, 1, rig=VARIED_RIG)
    np.testing.assert_array_equal(pair.radar, expected.radar)
    assert pair.rings_deg == expected.rings_deg
    card = yaml.safe_load((tmp_path / "sim/dataset.yaml").read_text())
    assert (card["radar_sensor"], card["lidar_sensor"]) == 2 * ("simulated, varied",)


def test_an_unfinished_build_is_gone_on_with_or_refused(tmp_path: Path) -> None:
    out, partial = tmp_path / "sim", tmp_path / "sim.partial"
    words = (sys.executable, ROOT / "tools/simulate.py", "--out", out, "--seed", 7)
    with subprocess.Popen(
        [*map(str, words), "--frames", "40"], env=environment(OMP_NUM_THREADS="1")
    ) as call:
        while not list(partial.glob("results/frames/*.npz")):
            assert call.poll() is None
            time.sleep(0.01)
        again = simulate("--out", out, "--frames", 40, "--seed", 7)
        assert again.returncode == 2
        assert again.stderr == f"error: {partial}: another process is writing there\n"
        call.kill()
    made = {path.name: path.stat().st_mtime_ns for path in partial.glob("results/frames/0*.npz")}
    other = simulate("--out", out, "--frames", 40, "--seed", 8)
    assert other.returncode == 2
    assert other.stderr.startswith(f"error: {partial}: was begun with seed 7; now it is seed 8; ")
    assert simulate("--out", out, "--frames", 40, "--seed", 7).returncode == 0
    names = [f"{number:06d}.npz" for number in range(40)]
    assert sorted(path.name for path in (out / "frames").iterdir()) == names
    assert {name: (out / "frames" / name).stat().st_mtime_ns for name in made} == made
    assert [path.name for path in tmp_path.iterdir()] == ["sim"]


def test_unknown_sensors_are_named_with_the_known_ones(tmp_path: Path) -> None:
    options = ("--frames", 3, "--seed", 0, "--radar", "sonar")
    done = simulate("--out", tmp_path / "sim", *options)
    assert done.returncode == 2
    assert "'sonar'" in done.stderr
    assert "oculii-eagle" in done.stderr


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    done = simulate("--out", tmp_path / "sim", "--frames", 3, "--seed", 0, "--dry-run")
    assert done.returncode == 0
    assert "would write 3 simulated frames" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("frames", "seed", "sweeps", "message"),
    [
        (2, 0, 1, "error: --frames = 2: must be a whole number, 3 to 999999"),
        (3, -1, 1, "error: --seed = -1: must be a whole number, 0 to "),
        (3, 0, 0, "error: --radar-sweeps = 0: must be a whole number, 1 to 20"),
    ],
)
def test_values_out_of_bounds_are_named(
    tmp_path: Path, frames: int, seed: int, sweeps: int, message: str
) -> None:
    options = ("--frames", frames, "--seed", seed, "--radar-sweeps", sweeps)
    done = simulate("--out", tmp_path / "sim", *options)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    done = simulate("--out", tmp_path / "file/sim", "--frames", 3, "--seed", 0)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
