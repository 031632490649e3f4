"""Own motion from Doppler, on drives whose motion is known."""

import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.evaluation.ego_motion import chain_steps, find_static, move_by_doppler
from tests.evaluation.drives import make_drive, step_between


@pytest.mark.parametrize("seed", [0, 1])
def test_the_velocity_is_found_and_movers_are_left_out(seed: int) -> None:
    drive = make_drive(4, seed=seed)
    for name, radar in drive.scans.items():
        scan = find_static(name, radar)
        # 150 values with noise of 0.03 m/s
        assert scan.velocity_mps == pytest.approx([8.0, 0.3], abs=0.03)
        assert np.array_equal(scan.is_static, drive.is_static[name])
        static = radar[drive.is_static[name], :3]
        assert np.array_equal(scan.static_points, static.astype(np.float64))


@pytest.mark.parametrize("yaw_rate_degps", [-20.0, 0.0, 12.0])
def test_motion_is_found_within_centimetres_and_half_a_degree(yaw_rate_degps: float) -> None:
    drive = make_drive(8, yaw_rate_degps=yaw_rate_degps)
    scans = [find_static(name, radar) for name, radar in drive.scans.items()]
    steps = move_by_doppler(scans, 10.0)
    names = list(drive.scans)
    for step, first, second in zip(steps, names[:-1], names[1:], strict=True):
        error = np.linalg.inv(step_between(drive, first, second)) @ step
        assert np.abs(error[:3, 3]).max() < 0.02
        assert np.degrees(abs(np.arctan2(error[1, 0], error[0, 0]))) < 0.1
    drift = np.linalg.inv(step_between(drive, names[0], names[-1])) @ chain_steps(steps)[-1]
    assert np.linalg.norm(drift[:3, 3]) < 0.1
    assert np.degrees(abs(np.arctan2(drift[1, 0], drift[0, 0]))) < 0.5


def test_the_time_between_scans_scales_the_way() -> None:
    scans = [find_static(name, radar) for name, radar in make_drive(3).scans.items()]
    ways_m = [np.linalg.norm(move_by_doppler(scans, rate)[0][:3, 3]) for rate in (10.0, 20.0)]
    assert ways_m == pytest.approx([0.8, 0.4], abs=0.01)


def test_one_measurement_twice_is_told_by_doppler_and_power() -> None:
    radar = make_drive(1).scans["drive_003"]
    moved = radar + np.float32([0.5, 0, 0, 0, 0])
    louder = radar + np.float32([0, 0, 0, 0, 1])
    cropped = moved[len(moved) // 3 :]
    tables = radar, moved, cropped, louder
    scan, again, less, other = (find_static("a", table) for table in tables)
    assert scan.repeats(again)
    assert scan.repeats(less)
    assert not scan.repeats(other)


def test_coarse_values_of_a_radar_that_stands_are_no_repetition() -> None:
    random = np.random.default_rng(0)
    tables = [
        np.c_[random.uniform(5.0, 30.0, (200, 3)), np.zeros(200), random.integers(40, 60, 200)]
        for _ in range(2)
    ]
    one, two = (find_static("a", table.astype(np.float32)) for table in tables)
    assert not one.repeats(two)


@pytest.mark.parametrize(
    ("radar", "message"),
    [
        (np.ones((2, 5)), "scan a: 2 points; at least 3 tell the radar's velocity"),
        (np.ones((9, 5)), "scan a: all of 9 points lie in one direction"),
    ],
)
def test_scans_that_tell_no_velocity_are_named(radar: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_static("a", radar.astype(np.float32))
