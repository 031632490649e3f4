from pathlib import Path

import pytest

from radarsparse.cli import parse
from radarsparse.commands.benchmark import COMMAND
from radarsparse.errors import InputError
from radarsparse.formats.prepared import write_frame, write_split
from tests.conftest import tiny_pair
from tests.tools.test_run import call, refused


@pytest.mark.parametrize("name", ["vae", "sparse", "nearest", "memory", "loading"])
def test_a_dry_run_says_what_would_be_timed(name):
    result = call("benchmark", name, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("would ")


def test_too_few_repeats_are_refused():
    assert refused(call("benchmark", "sparse", "--repeats", 0), "--repeats 0", "1 or more")


def birds_eye(*words: object) -> object:
    """The answer of a dry run, in this process."""
    line = ("birds-eye", "--dry-run", *words)
    return COMMAND.act(parse(COMMAND, [*map(str, line)]))


def test_a_dry_run_of_the_birds_eye_network_counts_frames(frames: Path) -> None:
    result = call("benchmark", "birds-eye", "--root", frames, "--minutes", 3, "--dry-run")
    assert result.returncode == 0, result.stderr
    expected = "would train a bird's-eye U-Net for 3 min on 6 frames and score 2 others\n"
    assert result.stdout == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--minutes", 0), r"--minutes 0: must be above 0, at most 10000"),
        (("--minutes", -1), r"--minutes -1: must be above 0"),
        (("--minutes", "nan"), r"--minutes nan: must be above 0"),
        (("--minutes", "inf"), r"--minutes inf: .* at most 10000"),
        ((), r"needs --root DIR and --minutes N"),
        (("--minutes", 1, "--seed", -1), r"--seed = -1: must be a whole number, 0 to"),
        (("--minutes", 1, "--split", "none"), r"no split 'none'"),
        (("--minutes", 1, "--train-split", "none"), r"no split 'none'"),
    ],
)
def test_what_a_birds_eye_network_can_not_use_is_named(
    frames: Path, words: tuple[object, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        birds_eye("--root", frames, *words)


def test_frames_to_score_are_not_trained_on(tmp_path: Path) -> None:
    for number in range(4):
        write_frame(tmp_path, tiny_pair(number))
    write_split(tmp_path, {"train": [[0, 2]], "val": [[2, 3]], "test": [[3, 3]]})
    with pytest.raises(
        InputError, match=r"--train-split train: holds 1 frame of --split val.*0002"
    ):
        birds_eye("--root", tmp_path, "--minutes", 1)
    assert birds_eye("--root", tmp_path, "--minutes", 1, "--split", "test")
