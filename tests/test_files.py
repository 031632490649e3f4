import json

import pytest

from radarsparse.files import replacing, to_json


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
