"""enhance on bags, and how it goes on after it was stopped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader

from radarsparse.cli import parse
from radarsparse.commands.enhance import COMMAND
from radarsparse.enhancer import Enhancer
from radarsparse.errors import InputError
from radarsparse.formats.clouds import read_rows
from radarsparse.models.weights import SHIPPED
from tests.conftest import tiny_pair
from tests.formats.bags.test_topics import BAGS, DELAY_NS, TOPIC, cloud, cloud2, stamp_ns
from tests.processes import small_disk

CLOUDS = 4
FAR = np.full((3, 5), -40.0, dtype=np.float32)


def radar(number: int) -> NDArray[np.float32]:
    return tiny_pair(number).radar


def write(folder: Path, name: str, make: Any = cloud2, **others: NDArray[Any]) -> Path:
    """A bag of the clouds of `radar`; others, such as c2, stand in for those of their numbers."""
    store, put = BAGS[name]
    clouds = [others.get(f"c{number}", radar(number)) for number in range(CLOUDS)]
    return put(folder / name, [make(store, number, each) for number, each in enumerate(clouds)])


def enhance(run: Path | str, source: Path, out: Path, *more: object) -> Mapping[str, Any]:
    words = ("--checkpoint", run, "--input", source, "--out", out, *more)
    return COMMAND.act(parse(COMMAND, [str(word) for word in words]))


def contents(path: Path) -> dict[str, bytes]:
    """Bytes by name of a file or of the files of a folder."""
    files = [path] if path.is_file() else path.iterdir()
    return {file.name: file.read_bytes() for file in files}


def stop_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the next run be interrupted, as by Ctrl-C, once it has made some clouds."""
    draw, calls = Enhancer.__call__, iter(range(100))

    def interrupted(self: Enhancer, *values: Any, **named: Any) -> Any:
        if next(calls) == number:
            monkeypatch.setattr(Enhancer, "__call__", draw)
            raise KeyboardInterrupt
        return draw(self, *values, **named)

    monkeypatch.setattr(Enhancer, "__call__", interrupted)


@pytest.mark.parametrize(("name", "make"), [("drive.bag", cloud), ("drive.mcap", cloud2)])
def test_a_bag_becomes_clouds_named_by_their_stamps(edm_run, tmp_path, name, make):
    result = enhance(edm_run, write(tmp_path, name, make), tmp_path / "clouds")
    assert (result["clouds"], result["topic"]) == (CLOUDS, TOPIC)
    names = [f"{stamp_ns(number)}.ply" for number in range(CLOUDS)]
    assert sorted(contents(tmp_path / "clouds")) == names
    enhancer = Enhancer.load(edm_run)
    for number, file in enumerate(names):
        written = read_rows(tmp_path / "clouds" / file)
        np.testing.assert_array_equal(written, enhancer(radar(number)).table)
    assert not (tmp_path / "clouds.partial").exists()


def test_draws_are_files_of_a_folder_beside_the_clouds(edm_run, tmp_path):
    source = write(tmp_path, "drive.bag", cloud)
    enhance(edm_run, source, tmp_path / "clouds", "--samples", 2)
    drawn = Enhancer.load(edm_run)(radar(0), samples=2).draws
    for number, draw in enumerate(drawn):
        file = tmp_path / "clouds" / "draws" / f"{stamp_ns(0)}_{number}.ply"
        np.testing.assert_array_equal(read_rows(file), draw.table)
    assert len(list((tmp_path / "clouds" / "draws").iterdir())) == 2 * CLOUDS
    words = ("--format", "bag", "--samples", 2)
    with pytest.raises(InputError, match="--samples: draws are files"):
        enhance(edm_run, source, tmp_path / "out.bag", *words)


@pytest.mark.parametrize(("name", "make"), [("drive.bag", cloud), ("drive.mcap", cloud)])
def test_a_bag_becomes_a_bag(edm_run, tmp_path, name, make):
    source, out = write(tmp_path, name, make, c1=FAR), tmp_path / f"enhanced_{name}"
    arguments = ("--format", "bag", "--skip-unusable", "--seed", 3)
    assert enhance(edm_run, source, out, *arguments)["skipped"] == 1
    enhancer = Enhancer.load(edm_run)
    with AnyReader([out]) as reader:
        found = list(reader.messages())
        for number, (connection, log_time_ns, data) in zip((0, 2, 3), found, strict=True):
            assert (connection.topic, log_time_ns) == (
                f"{TOPIC}_enhanced",
                stamp_ns(number) + DELAY_NS,
            )
            message: Any = reader.deserialize(data, connection.msgtype)
            stamp = message.header.stamp
            assert stamp.sec * 10**9 + stamp.nanosec == stamp_ns(number)
            assert message.header.frame_id == "front_radar"
            drawn = enhancer(radar(number), seed=3)
            wanted = np.c_[drawn.points, drawn.intensity, drawn.probability]
            np.testing.assert_array_equal(message.data.view("<f4").reshape(-1, 5), wanted)
            assert [field.name for field in message.fields][3:] == ["intensity", "probability"]


@pytest.mark.parametrize("name", ["drive.bag", "drive.mcap", "files"])
def test_after_an_interruption_the_same_call_goes_on(edm_run, tmp_path, monkeypatch, caplog, name):
    source = tmp_path / "files" if name == "files" else write(tmp_path, name)
    if name == "files":
        source.mkdir()
        for number in range(CLOUDS):
            np.save(source / f"{number}.npy", radar(number))
    arguments = () if name == "files" else ("--format", "bag")
    whole, out = (tmp_path / at / name for at in ("whole", "again"))
    enhance(edm_run, source, whole, *arguments)
    for number in (2, 1):
        stop_at(monkeypatch, number)
        with pytest.raises(KeyboardInterrupt), caplog.at_level("INFO", "radarsparse"):
            enhance(edm_run, source, out, *arguments)
        assert "the same command goes on" in caplog.text
        assert not out.exists()
    assert len(contents(out.with_name(f"{name}.partial") / "results")) == 3
    stop_at(monkeypatch, 1)  # which nothing reaches, as one cloud is left
    assert enhance(edm_run, source, out, *arguments)["clouds"] == CLOUDS
    assert contents(out) == contents(whole)
    assert [path.name for path in out.parent.iterdir()] == [name]


def test_workers_write_what_one_writes(edm_run, tmp_path):
    source = write(tmp_path, "drive.mcap")
    for workers in ("1", "3"):
        bag = tmp_path / f"bag_{workers}" / "out.mcap"
        enhance(edm_run, source, bag, "--format", "bag", "--workers", workers)
        enhance(edm_run, source, tmp_path / workers, "--workers", workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")
    assert contents(tmp_path / "bag_1") == contents(tmp_path / "bag_3")
    with pytest.raises(InputError, match="--workers"):
        enhance(edm_run, source, tmp_path / "none", "--workers", "0")


def test_a_cloud_that_can_not_be_used_stops_or_is_left_out(edm_run, tmp_path):
    source, out = write(tmp_path, "drive.mcap", c2=FAR), tmp_path / "out"
    expected = r"/radar: message 2 at 1689152348\.256790123 s: none of 3 points .*--skip-unusable"
    with pytest.raises(InputError, match=expected):
        enhance(edm_run, source, out)
    with pytest.raises(InputError, match=expected):
        enhance(edm_run, source, out)
    result = enhance(edm_run, source, out, "--skip-unusable")
    assert (result["clouds"], result["skipped"]) == (CLOUDS - 1, 1)
    enhance(edm_run, source, tmp_path / "whole", "--skip-unusable")
    assert contents(out) == contents(tmp_path / "whole")
    source = write(tmp_path / "out", "drive.mcap", c0=FAR, c1=FAR, c2=FAR, c3=FAR)
    with pytest.raises(InputError, match="none of 4 clouds is usable"):
        enhance(edm_run, source, tmp_path / "none", "--skip-unusable")
    assert not (tmp_path / "none.partial").exists()


def test_what_can_not_be_written_is_never_left_out(tmp_path):
    np.save(tmp_path / "scan.npy", radar(0))
    message = r"scan\.ply: can't be written \([^;]+\)$"
    with small_disk(2000), pytest.raises(InputError, match=message):
        enhance(SHIPPED, tmp_path / "scan.npy", tmp_path / "out", "--skip-unusable")
    assert not (tmp_path / "out").exists()


def test_other_settings_do_not_go_on(edm_run, vae_run, tmp_path):
    source, out = write(tmp_path, "drive.bag", c2=FAR), tmp_path / "out"
    with pytest.raises(InputError, match="--skip-unusable"):
        enhance(edm_run, source, out)
    before = contents(tmp_path / "out.partial" / "results")
    assert len(before) == 2
    for words, found, asked in (
        (("--seed", 1), "seed 0", "seed 1"),
        (("--format", "pcd"), "format ply", "format pcd"),
    ):
        expected = f"out.partial: was begun with {found}; now it is {asked}; .*remove the folder"
        with pytest.raises(InputError, match=expected):
            enhance(edm_run, source, out, *words)
    with source.open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(InputError, match=r"begun with input_bytes \d+; now"):
        enhance(edm_run, source, out)
    assert contents(tmp_path / "out.partial" / "results") == before


def test_a_folder_in_the_way_is_left_alone(edm_run, tmp_path):
    source, other = write(tmp_path, "drive.bag"), tmp_path / "out.partial"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="in the way"):
        enhance(edm_run, source, tmp_path / "out")
    assert contents(other) == {"thesis.txt": b"mine"}


def test_a_sensor_of_other_axes_is_turned(edm_run, tmp_path):
    # x right, y forward, z up: forward is its y, left its -x.
    turn = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    np.savetxt(tmp_path / "T.txt", turn)
    turned = {f"c{number}": radar(number) for number in range(CLOUDS)}
    for points in turned.values():
        points[:, :3] = points[:, :3] @ turn[:3, :3]
    straight, source = write(tmp_path, "drive.bag"), write(tmp_path, "drive.mcap", **turned)
    enhance(edm_run, straight, tmp_path / "straight")
    enhance(edm_run, source, tmp_path / "turned", "--T-radar-sensor", tmp_path / "T.txt")
    assert contents(tmp_path / "turned") == contents(tmp_path / "straight")
    out = tmp_path / "out.mcap"
    enhance(edm_run, source, out, "--T-radar-sensor", tmp_path / "T.txt", "--format", "bag")
    with AnyReader([out]) as reader:
        connection, _, data = next(reader.messages())
        message: Any = reader.deserialize(data, connection.msgtype)
    xyz = message.data.view("<f4").reshape(-1, 5)[:, :3]
    file = tmp_path / "straight" / f"{stamp_ns(0)}.ply"
    assert len(xyz) > 0
    np.testing.assert_allclose(xyz @ turn[:3, :3].T, read_rows(file)[:, :3])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--format", "bag"), r"out: must end in \.mcap"),
        (("--fields", "x,y,z,velocity"), "five names"),
        (("--fields", "x,y,z,velocity,echo"), r"message 0 .*echo"),
        (("--topic", "/none"), r"no message on topic /none; topics there: /radar \("),
        (("--T-radar-sensor", "none.txt"), r"none\.txt"),
    ],
)
def test_what_can_not_be_done_is_named(edm_run, tmp_path, words, message):
    source = write(tmp_path, "drive.mcap")
    with pytest.raises(InputError, match=message):
        enhance(edm_run, source, tmp_path / "out", *words)
    assert list(tmp_path.glob("out*")) == []


def test_another_lidar_is_imitated(tmp_path):
    np.save(tmp_path / "scan.npy", radar(0))
    enhance(SHIPPED, tmp_path / "scan.npy", tmp_path / "out", "--lidar", "hdl64")
    expected = Enhancer.load().imitating("hdl64")(radar(0))
    np.testing.assert_array_equal(read_rows(tmp_path / "out" / "scan.ply"), expected.table)
    own = Enhancer.load()(radar(0))
    assert len(expected.points) != len(own.points)


def test_a_lidar_of_other_rings_begins_other_work(tmp_path):
    source, lidar = tmp_path / "radar", tmp_path / "mine.yaml"
    source.mkdir()
    np.save(source / "0.npy", radar(0))
    np.save(source / "1.npy", np.zeros((3, 5)))
    for rings_deg, message in (("[-2, 0, 2]", "no usable point"), ("[-2, 0, 3]", "begun with lid")):
        lidar.write_text(f"rings_deg: {rings_deg}")
        with pytest.raises(InputError, match=message):
            enhance(SHIPPED, source, tmp_path / "out", "--lidar", lidar)


def test_weights_that_were_told_of_no_lidar_imitate_none(edm_run):
    with pytest.raises(InputError, match="'hdl64': these weights were told of none"):
        Enhancer.load(edm_run).imitating("hdl64")


def test_a_dry_run_says_what_the_run_would_say_of_the_first_cloud(edm_run, tmp_path, caplog):
    source = tmp_path / "radar"
    source.mkdir()
    np.save(source / "0.npy", np.zeros((3, 5)))
    np.save(source / "1.npy", radar(0))
    with pytest.raises(InputError, match=r"0\.npy: no usable point of 3; .*--skip-unusable"):
        enhance(edm_run, source, tmp_path / "out", "--dry-run")
    enhance(edm_run, source, tmp_path / "out", "--dry-run", "--skip-unusable")
    assert "would be left out: " in caplog.text


def test_options_of_bags_need_a_bag(edm_run, frames, tmp_path):
    for words in (("--topic", TOPIC), ("--format", "bag")):
        with pytest.raises(InputError, match="is no bag, which"):
            enhance(edm_run, frames, tmp_path / "out", *words)


def test_columns_of_files_are_what_the_user_says(edm_run, tmp_path):
    points = radar(0)
    other = np.c_[points[:, :3], points[:, 4], np.ones(len(points)), points[:, 3]]
    other.astype("<f8").tofile(tmp_path / "scan.bin")
    np.save(tmp_path / "plain.npy", points)
    said = ("--fields", "x,y,z,snr,age_s,v", "--bin-type", "float64")
    enhance(edm_run, tmp_path / "scan.bin", tmp_path / "said", *said)
    enhance(edm_run, tmp_path / "plain.npy", tmp_path / "plain")
    found = read_rows(tmp_path / "said" / "scan.ply")
    np.testing.assert_array_equal(found, read_rows(tmp_path / "plain" / "plain.ply"))
    with pytest.raises(InputError, match="--fields x,,z: holds an empty name"):
        enhance(edm_run, tmp_path / "scan.bin", tmp_path / "none", "--fields", "x,,z")


def test_clouds_of_one_stamp_need_a_bag(edm_run, tmp_path):
    store, put = BAGS["drive.bag"]
    messages = [cloud2(store, 0, radar(number)) for number in range(2)]
    source = put(tmp_path / "drive.bag", messages)
    with pytest.raises(InputError, match=r"message 1 at .* message 0 has the same stamp"):
        enhance(edm_run, source, tmp_path / "out")
    assert enhance(edm_run, source, tmp_path / "o.bag", "--format", "bag")["clouds"] == 2


def test_a_bag_is_never_overwritten(edm_run, tmp_path):
    source = write(tmp_path, "drive.bag")
    before = source.read_bytes()
    with pytest.raises(InputError, match="exists"):
        enhance(edm_run, source, source, "--format", "bag")
    assert source.read_bytes() == before


def test_dry_run_counts_and_writes_nothing(edm_run, tmp_path, capsys):
    source = write(tmp_path, "drive.mcap")
    result = enhance(edm_run, source, tmp_path / "out", "--dry-run")
    assert (result["clouds"], result["topic"], result["dry_run"]) == (CLOUDS, TOPIC, True)
    assert "would write 4 clouds (/radar, x, y, z, velocity, snr)" in capsys.readouterr().out
    assert list(tmp_path.glob("out*")) == []


def test_a_foreign_input_is_said_once_for_all_clouds(edm_run, tmp_path, caplog):
    source = tmp_path / "files"
    source.mkdir()
    for number in range(CLOUDS):
        cloud = radar(number)
        cloud[:, 4] = 60.0
        np.save(source / f"{number}.npy", cloud[: 10 if number == 2 else None])
    enhance(edm_run, source, tmp_path / "clouds")
    said = [each.getMessage() for each in caplog.records if "foreign" in each.getMessage()]
    assert len(said) == 2
    assert said[0].startswith(f"{source}/0.npy: foreign input: used 40 of 40 points; kinds of")
    assert said[1].startswith(f"{source}/2.npy: foreign input: used 10 of 10 points; points in")
