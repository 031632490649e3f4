import json
from pathlib import Path

import pytest

from radarsparse.errors import InputError
from radarsparse.files import Unfinished, replacing, to_json


def _fill_the_disk(path):
    with replacing(path) as part:
        part.write_text("half")
        raise OSError("disk full")


def test_a_written_file_replaces_the_old_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "new"


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="full"):
        _fill_the_disk(path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_json_holds_null_where_there_is_no_number():
    content = {"a": (1, float("nan")), "b": [{"c": float("-inf")}], "d": 0.1}
    expected = {"a": [1, None], "b": [{"c": None}], "d": 0.1}
    assert json.loads(to_json(content), parse_constant=pytest.fail) == expected
    assert to_json(content).count("\n") == 0 < to_json(content, indent=2).count("\n")


def stopped(out: Path, *names: str) -> Unfinished:
    """Work that ended early with these results."""
    work = Unfinished(out, {"seed": 0})

    def stop() -> None:
        with work.working():
            for name in names:
                (work.results / name).touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    return work


def test_the_results_of_several_calls_become_one_folder(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    work = stopped(out, "a", ".b.123.part")
    with work.working():
        assert [path.name for path in work.results.iterdir()] == ["a"]
        (work.results / "b").touch()
    assert not out.exists()
    out.mkdir()
    work.finish(work.results)
    assert sorted(path.name for path in out.iterdir()) == ["a", "b"]
    assert list(out.parent.iterdir()) == [out]


def test_work_without_a_result_leaves_nothing(tmp_path: Path) -> None:
    stopped(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_another_claim_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    work = stopped(tmp_path / "out", "a")
    other = Unfinished(work.out, {"seed": 0, "topic": "/radar"})
    expected = r"begun with topic None; now it is topic /radar; .*remove the folder"
    with pytest.raises(InputError, match=expected), other.working():
        raise AssertionError
    (work.folder / "made_with.json").write_text("{")
    with pytest.raises(InputError, match=r"made_with\.json: is no JSON"), work.working():
        raise AssertionError
    assert [path.name for path in work.results.iterdir()] == ["a"]


def test_what_others_made_is_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "out.partial"
    path.mkdir()
    (path / ".made_with.json.123.part").touch()  # of a call that was killed at once
    stopped(tmp_path / "out", "a")
    (path / "made_with.json").unlink()
    with pytest.raises(InputError, match="in the way"), Unfinished(tmp_path / "out", {}).working():
        raise AssertionError
