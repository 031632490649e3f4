import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from radarsparse.errors import InputError
from radarsparse.files import Unfinished, check_file, count_of, locked, replacing, to_json
from tests.processes import ROOT, environment


def python(
    code: str, *words: object, ahead: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    """Run some code in a process of its own."""
    command = [*ahead, sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(), cwd=ROOT
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_written_file_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]
    assert path.read_text() == "new"


def fail(path: Path, error: Exception) -> None:
    with replacing(path) as part:
        part.write_text("half")
        raise error


@pytest.mark.parametrize(
    "error", [OSError("broken"), KeyError("x"), FileNotFoundError(2, "x", "y")]
)
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: Exception) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)) as caught:
        fail(path, error)
    assert caught.value is error, "what is no fault of the file is not blamed on it"
    assert names(tmp_path) == ["a.txt"]
    assert path.read_text() == "old"


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(InputError) as caught, replacing(path), open("/dev/full", "w") as stream:
        stream.write("x")
    assert str(caught.value) == f"{path}: can't be written (No space left on device)"
    with pytest.raises(InputError, match=r"none/a\.txt: no such folder: .*/none"):
        replacing(tmp_path / "none/a.txt").__enter__()
    assert names(tmp_path) == []


WRITE = """
import sys
import numpy, torch
from pathlib import Path
from radarsparse.errors import InputError
from radarsparse.files import replacing

rows = numpy.random.default_rng(0).random(400_000)
writers = {
    "numpy": lambda part: numpy.save(part.open("wb"), rows),
    "archive": lambda part: numpy.savez_compressed(part.open("wb"), rows=rows),
    "torch": lambda part: torch.save({"rows": torch.from_numpy(rows)}, part),
}
for name, write in writers.items():
    try:
        with replacing(Path(sys.argv[1]) / name) as part:
            write(part)
    except InputError as error:
        print(error)
"""


def test_a_bound_is_named_whatever_library_met_it(tmp_path: Path) -> None:
    """numpy and torch don't hand on what the system said."""
    limit = ("prlimit", f"--fsize={2**20}")
    if shutil.which("prlimit") is None:
        pytest.skip("no prlimit on this machine")
    done = python(WRITE, tmp_path, ahead=limit)
    lines = [
        f"{tmp_path}/{name}: can't be written (File too large)"
        for name in ("numpy", "archive", "torch")
    ]
    assert done.stdout.splitlines() == lines, done.stderr
    assert names(tmp_path) == []


def test_files_that_can_not_be_written_are_found_before(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    check_file(tmp_path / "file")
    check_file(tmp_path / "new")
    for path, reason in (
        (tmp_path / "none/x", f"no such folder: {tmp_path}/none"),
        (tmp_path / "file/x", f"no such folder: {tmp_path}/file"),
        (tmp_path / "folder", "is a folder, a file expected"),
        (tmp_path / ("x" * 300), r"can't be written \(File name too long\)"),
        (Path("/dev/null"), "is no file that could be replaced"),
        (Path("/proc/x"), "can't be written"),
    ):
        with pytest.raises(InputError, match=f"{path}: {reason}"):
            check_file(path)
    assert names(tmp_path) == ["file", "folder"]
    assert (tmp_path / "file").read_text() == "mine"


def test_json_holds_null_where_there_is_no_number() -> None:
    content = {"a": (1, float("nan")), "b": [{"c": float("-inf")}], "d": 0.1}
    expected = {"a": [1, None], "b": [{"c": None}], "d": 0.1}
    assert json.loads(to_json(content), parse_constant=pytest.fail) == expected
    assert to_json(content).count("\n") == 0 < to_json(content, indent=2).count("\n")


def test_one_thing_has_no_plural() -> None:
    assert [count_of(n, "frame") for n in (0, 1, 2000)] == ["0 frames", "1 frame", "2,000 frames"]


def add(work: Unfinished, *added: str, error: BaseException | None = None) -> None:
    with work.working() as results:
        for name in added:
            (results / name).touch()
        if error:
            raise error


def stopped(out: Path, *added: str) -> Unfinished:
    """Work that ended early with these results."""
    work = Unfinished(out, {"seed": 0, "size": (1, 2)})
    with pytest.raises(KeyboardInterrupt):
        add(work, *added, error=KeyboardInterrupt())
    return work


def test_the_results_of_several_calls_become_one_folder(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    work = stopped(out, "a", ".b.123.part")
    with work.working() as results:
        assert names(results) == ["a"], "halves of a process that was killed are gone"
        (results / "b").touch()
        assert not out.exists()
        out.mkdir()
    assert names(out) == ["a", "b"]
    assert names(out.parent) == ["out"]


def test_a_file_can_be_made_of_the_results(tmp_path: Path) -> None:
    def join(results: Path) -> Path:
        made = results.with_name("made")
        made.write_text(" ".join(names(results)))
        return made

    work = Unfinished(tmp_path / "out", {}, join)
    work.out.mkdir()
    with pytest.raises(InputError, match="out: exists with other contents"):
        add(work)
    work.out.rmdir()
    add(work, "a", "b")
    assert work.out.read_text() == "a b"
    assert names(tmp_path) == ["out"]


def test_work_without_a_result_leaves_nothing(tmp_path: Path) -> None:
    stopped(tmp_path / "out")
    assert names(tmp_path) == []


def test_another_claim_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    work = stopped(tmp_path / "out", "a")
    other = Unfinished(work.out, {"seed": 0, "size": [1, 2], "topic": "/radar"})
    expected = r"begun with topic None; now it is topic /radar; .*remove the folder"
    for act in (other.check, lambda: add(other)):
        with pytest.raises(InputError, match=expected):
            act()
    for text in ("{", "[]", '{"seed": 0}', '{"claim": 1, "moved": false}'):
        (work.folder / "made_with.json").write_text(text)
        with pytest.raises(InputError, match=r"made_with\.json: can't be read by this version"):
            work.check()
    assert names(work.folder) == ["made_with.json", "results"]
    assert names(work.folder / "results") == ["a"]


def test_what_others_made_is_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "out.partial"
    path.mkdir()
    (path / ".made_with.json.123.part").touch()  # of a call that was killed at once
    stopped(tmp_path / "out", "a")
    (path / "made_with.json").unlink()
    with pytest.raises(InputError, match=r"out\.partial: is in the way"):
        add(Unfinished(tmp_path / "out", {}))
    assert names(path / "results") == ["a"]
    shutil.rmtree(path)
    path.write_text("mine")
    with pytest.raises(InputError, match=r"out\.partial: is in the way"):
        add(Unfinished(tmp_path / "out", {}))


def test_a_link_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for target in ("mine", "nowhere"):
        (tmp_path / "out.partial").symlink_to(target)
        with pytest.raises(InputError, match=r"out\.partial: is in the way"):
            add(Unfinished(tmp_path / "out", {}))
        (tmp_path / "out.partial").unlink()
    assert names(tmp_path) == ["mine"]


def test_a_claim_that_nests_without_end_is_refused(tmp_path: Path) -> None:
    stopped(tmp_path / "out", "a")
    (tmp_path / "out.partial/made_with.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"made_with\.json: can't be read by this version"):
        add(Unfinished(tmp_path / "out", {}))


def test_a_disk_that_is_full_while_a_file_is_made_names_it(tmp_path: Path) -> None:
    def assemble(_: Path) -> Path:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(InputError, match=r"out: can't be written \(No space left"):
        add(Unfinished(tmp_path / "out", {}, assemble))


def test_files_of_others_stay_beside_the_results(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def join(results: Path) -> Path:
        made = results.parent / "bag" / "out"
        made.parent.mkdir()
        shutil.copy(results / "a", made)
        return made

    caplog.set_level("INFO", "radarsparse")
    out, folder = tmp_path / "out", tmp_path / "out.partial"
    for work in (Unfinished(out, {"seed": 0}), Unfinished(out, {}, join)):
        with work.working() as results:
            (results / "a").write_text("a")
            for name in ("mine.txt", ".mine.part"):
                (folder / name).write_text("mine")
            (folder / ".made.12.part").touch()
        assert names(folder) == [".mine.part", "mine.txt"]
        assert caplog.messages == [f"{folder}: holds other files, which stay there"]
        with pytest.raises(InputError, match=r"out\.partial: is in the way"):
            work.check()
        caplog.clear()
        shutil.rmtree(folder)
        if work.assemble is None:
            shutil.rmtree(out)
    assert out.read_text() == "a"


@pytest.mark.parametrize("name", [".mine.part", ".b.x.part", ".lock", "deep/.mine"])
def test_hidden_files_of_others_among_the_results_are_kept(tmp_path: Path, name: str) -> None:
    work = stopped(tmp_path / "out", "a")
    path = work.folder / "results" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    add(work)
    assert (tmp_path / "out" / name).read_text() == "mine"


@pytest.mark.parametrize("name", [".lock", ".made_with.json.old", ".other.12.part"])
def test_hidden_files_of_others_are_in_the_way(tmp_path: Path, name: str) -> None:
    path = tmp_path / "out.partial" / name
    path.parent.mkdir()
    path.write_text("mine")
    with pytest.raises(InputError, match=r"out\.partial: is in the way"):
        add(Unfinished(tmp_path / "out", {}))
    assert path.read_text() == "mine"


def test_a_lock_of_another_program_stays(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("mine")
    with pytest.raises(InputError, match=r"\.lock: is another program's"), locked(tmp_path):
        raise AssertionError
    assert (tmp_path / ".lock").read_text() == "mine"


@pytest.mark.parametrize("make", [lambda path: path.write_text(""), lambda path: path.mkdir()])
def test_a_taken_name_is_refused(tmp_path: Path, make: Callable[[Path], object]) -> None:
    out = tmp_path / "out"
    make(out)
    if out.is_dir():
        (out / "diary").touch()
    with pytest.raises(InputError, match="out: exists with other contents; choose another name"):
        add(Unfinished(out, {}))
    assert names(tmp_path) == ["out"]


def test_a_place_that_can_not_be_written_is_found_before(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    for out in (
        tmp_path / "file/out",
        tmp_path / ("x" * 250),
        Path("/proc/out"),
        tmp_path / "loop",
    ):
        with pytest.raises(InputError, match=f"{out}: can't be written"):
            Unfinished(out, {}).check() if out.name == "loop" else add(Unfinished(out, {}))
    assert names(tmp_path) == ["file", "loop"]


MOUNTED = """
import os, sys
from pathlib import Path
from radarsparse.files import Unfinished
out = Path(sys.argv[1])
with Unfinished(out, {}).working() as results:
    (results / "a").write_text("a")
print(sorted(os.listdir(out)), sorted(os.listdir(out.parent)))
"""


@pytest.mark.parametrize("mount", ["-t tmpfs tmpfs", "--bind /"])
def test_a_mount_is_filled(tmp_path: Path, mount: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "other").mkdir()
    mount = mount.replace("/", str(tmp_path / "other"))
    shell = ("unshare", "-rm", "sh", "-c", f'mount {mount} "{tmp_path}/out" && exec "$@"', "sh")
    if subprocess.run([*shell, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    done = python(MOUNTED, tmp_path / "out", ahead=shell)
    assert done.stdout == "['a'] ['other', 'out']\n", done.stderr


@pytest.mark.parametrize("kind", ["nothing", "folder", "link", "file"])
def test_work_that_is_killed_at_any_step_ends_the_same(tmp_path: Path, kind: str) -> None:
    words = [sys.executable, "-m", "tests.killed", str(tmp_path), kind]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, cwd=ROOT, env=environment()
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20
    out = tmp_path / "1/out"
    assert out.is_symlink() == (kind == "link")


HOLD = """
import os, sys, time
from pathlib import Path
from radarsparse.files import locked
with locked(Path(sys.argv[1])):
    child = os.fork()
    if child:
        print(child, flush=True)
    time.sleep(60)
"""


def test_a_folder_has_one_writer_until_that_is_killed(tmp_path: Path) -> None:
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment()) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        try:
            reason = f"{tmp_path}: another process is writing there"
            with pytest.raises(InputError, match=reason), locked(tmp_path):
                raise AssertionError
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            with locked(tmp_path):
                pass
        finally:
            os.kill(child, signal.SIGKILL)
    assert names(tmp_path) == []


def test_two_calls_do_not_share_their_results(tmp_path: Path) -> None:
    work = stopped(tmp_path / "out", "a")
    words = [sys.executable, "-c", HOLD, str(work.folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment()) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        with pytest.raises(InputError, match="another process is writing there"):
            add(work, "b")
        os.kill(child, signal.SIGKILL)
        holder.kill()
    add(work, "b")
    assert names(work.out) == ["a", "b"]
