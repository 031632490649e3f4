"""Clips by the names of scans."""

import numpy as np
import pytest

from radarsparse.errors import InputError
from radarsparse.evaluation.scans import ScanFolder, split_clips
from radarsparse.formats.columns import Fields
from tests.evaluation.clouds import save

ROWS = np.ones((4, 5), dtype=np.float32)


def test_gaps_and_prefixes_end_clips() -> None:
    names = ["b_2", "a_10", "a_9", "a_8", "a_12", "b_1", "a_11x"]
    clips = split_clips(names, "DIR")
    assert [(clip.name, clip.scans) for clip in clips] == [
        ("a_8-10", ("a_8", "a_9", "a_10")),
        ("a_11x", ("a_11x",)),
        ("a_12", ("a_12",)),
        ("b_1-2", ("b_1", "b_2")),
    ]


def test_numbers_alone_are_names() -> None:
    assert split_clips(["000001", "000000"], "DIR")[0].name == "000000-000001"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a_1", "last"], "DIR: scan last has no number in its name"),
        (["a_1", "a_01"], "DIR: scans a_01 and a_1 have the same number"),
    ],
)
def test_names_that_tell_no_order_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        split_clips(names, "DIR")


def test_short_clips_are_named_and_poses_are_no_scan(tmp_path) -> None:
    save(tmp_path, **{name: ROWS for name in ("a_1", "a_2", "a_3", "a_5")})
    np.savez(tmp_path / "poses.npz", name=["a_1"])
    folder = ScanFolder.find(tmp_path, Fields())
    assert folder.names == ["a_1", "a_2", "a_3"]
    assert [clip.name for clip in folder.left_out] == ["a_5"]
    assert folder.read("a_2").tolist() == ROWS.tolist()


def test_a_folder_without_a_clip_is_refused(tmp_path) -> None:
    save(tmp_path, a_1=ROWS, a_2=ROWS, a_4=ROWS)
    with pytest.raises(InputError, match="3 scans in 2 clips, none of 3 or more scans"):
        ScanFolder.find(tmp_path, Fields())
