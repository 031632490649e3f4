"""Building folders of prepared frames."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from radarsparse.config import read_yaml
from radarsparse.datasets.build import EachFrame, PreparedPlan, Source, build_prepared, read_skipped
from radarsparse.errors import InputError
from radarsparse.formats.prepared import CARD_FILE, frame_names, write_yaml
from radarsparse.scan import ScanPair
from tests.formats.test_prepared import CARD, make_pair


def make_plan(
    target: Path, frames: int, make: Callable[[str], ScanPair] = make_pair, skip: bool = False
) -> PreparedPlan:
    names = tuple(f"{number:06d}" for number in range(frames))
    split = {"train": [[0, frames - 1]]}
    return PreparedPlan(target, Source(CARD, split, names, EachFrame(make)), skip)


def test_an_interrupted_build_is_resumed(tmp_path: Path) -> None:
    made: list[str] = []

    def make(name: str) -> ScanPair:
        made.append(name)
        if len(made) == 2:
            raise KeyboardInterrupt
        return make_pair(name)

    plan = make_plan(tmp_path / "out", 2, make)
    with pytest.raises(KeyboardInterrupt):
        build_prepared(plan)
    assert not plan.target.exists()
    assert build_prepared(plan) == {}
    assert made == ["000000", "000001", "000001"]
    assert plan.is_built()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_whose_card_says_nothing_of_rings_is_built_and_one_of_other_rings_is_not(
    tmp_path: Path,
) -> None:
    plan = make_plan(tmp_path / "out", 1)
    ringed = replace(plan.source, card=replace(CARD, lidar_rings_deg=(-1.0, 1.0)))
    plan = replace(plan, source=ringed)
    build_prepared(plan)
    assert plan.is_built()
    card = read_yaml(plan.target / CARD_FILE)
    write_yaml(plan.target / CARD_FILE, card | {"lidar_rings_deg": [0.0]})
    with pytest.raises(InputError, match="exists with other contents"):
        plan.is_built()
    del card["lidar_rings_deg"]
    write_yaml(plan.target / CARD_FILE, card)
    assert plan.is_built()


def make_even(name: str) -> ScanPair:
    if int(name) % 2:
        raise InputError(f"{name}.bin: is odd")
    return make_pair(name)


def test_an_unusable_frame_stops_the_build_or_is_left_out_and_listed(tmp_path: Path) -> None:
    strict, lenient = (make_plan(tmp_path / "out", 4, make_even, skip) for skip in (False, True))
    with pytest.raises(InputError, match=r"000001\.bin: is odd; --skip-unusable"):
        build_prepared(strict)
    skipped = build_prepared(lenient)
    assert skipped == {name: f"{name}.bin: is odd" for name in ("000001", "000003")}
    assert read_skipped(lenient.target) == skipped
    assert frame_names(lenient.target) == ("000000", "000002")
    assert lenient.is_built()


def test_processes_side_by_side_build_the_same_folder(tmp_path: Path) -> None:
    plans = [replace(make_plan(tmp_path / str(n), 5, make_even, True), workers=n) for n in (1, 3)]
    skipped = [build_prepared(plan) for plan in plans]
    assert skipped[0] == skipped[1] == {n: f"{n}.bin: is odd" for n in ("000001", "000003")}
    contents = [
        {str(path.relative_to(plan.target)): path.read_bytes() for path in plan.target.rglob("*.*")}
        for plan in plans
    ]
    assert contents[0] == contents[1]
    assert "frames/000004.npz" in contents[0]
    strict = replace(make_plan(tmp_path / "strict", 5, make_even), workers=2)
    with pytest.raises(InputError, match=r"000001\.bin: is odd; --skip-unusable"):
        build_prepared(strict)


def test_workers_that_can_not_be_had_are_refused(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, 2)
    with pytest.raises(InputError, match="--workers = 0: must be"):
        replace(plan, workers=0)
    in_order = replace(plan.source, read=lambda names: map(make_pair, names))
    with pytest.raises(InputError, match=f"--workers 2: must be 1 for {CARD.name}, whose bags"):
        replace(plan, source=in_order, workers=2)


def test_a_source_without_any_usable_frame_is_refused(tmp_path: Path) -> None:
    def fail(name: str) -> ScanPair:
        raise InputError(name)

    with pytest.raises(InputError, match="none of 2 frames is usable"):
        build_prepared(make_plan(tmp_path / "out", 2, fail, skip=True))
    assert not (tmp_path / "out").exists()


def test_a_frame_that_was_mended_is_made_by_the_next_call(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"000001\.bin: is odd"):
        build_prepared(make_plan(tmp_path / "out", 2, make_even))
    assert build_prepared(make_plan(tmp_path / "out", 2)) == {}
    assert frame_names(tmp_path / "out") == ("000000", "000001")


def test_an_unfinished_build_of_another_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is odd"):
        build_prepared(make_plan(tmp_path / "out", 2, make_even))
    longer = make_plan(tmp_path / "out", 3)
    elsewhere = replace(make_plan(tmp_path / "out", 2), root=tmp_path)
    for other, reason in (
        (longer, r"frames 2 \(000000 \.\. 000001, .*now it is frames 3 \(000000 \.\. 000002, "),
        (elsewhere, f"source None; now it is source {tmp_path}; "),
    ):
        with pytest.raises(InputError, match=rf"out\.partial: was begun with {reason}"):
            build_prepared(other)
        with pytest.raises(InputError, match="was begun with"):
            other.is_built()
    assert (tmp_path / "out.partial/results/frames/000000.npz").is_file()


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    plan = make_plan(tmp_path / "out", 1)
    beside = tmp_path / "out.partial"
    beside.mkdir()
    (beside / "diary.txt").write_text("mine")
    with pytest.raises(InputError, match=r"out\.partial: is in the way"):
        build_prepared(plan)
    assert (beside / "diary.txt").read_text() == "mine"
    (beside / "diary.txt").rename(tmp_path / "diary.txt")
    beside.rmdir()
    plan.target.mkdir()
    assert not plan.is_built()
    (tmp_path / "diary.txt").rename(plan.target / "diary.txt")
    with pytest.raises(InputError, match="other contents"):
        make_plan(plan.target, 1).is_built()
    with pytest.raises(InputError, match="other contents"):
        build_prepared(make_plan(plan.target, 1))
    assert [path.name for path in plan.target.iterdir()] == ["diary.txt"]


def test_a_list_of_left_out_frames_may_be_longer_than_what_people_write(tmp_path: Path) -> None:
    reasons = {f"{number:06d}": f"{number}.bin: " + "x" * 170 for number in range(2000)}
    write_yaml(tmp_path / "skipped.yaml", reasons)
    assert read_skipped(tmp_path) == reasons
