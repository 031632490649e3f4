"""What README, CONTRIBUTING, docs/ and kernels/ say: commands, examples, links, names of files.

Every command in them, and every example in a command's help, is read by the parser of its own
command, and a config that it names is loaded with its `--set`. What takes seconds is then run as
it stands, in a folder where DIR, clouds, runs/edm and the like are tiny. There a tiny config
stands for each one that is named, and a tiny run for the weights that ship. Only parsed are:

- `demo`, `demo_train`, `weights`: minutes to hours of training and drawing;
- `benchmark`, of which the dry run is run: minutes, and spconv for `sparse`;
- `train --profile`: a trace takes ten seconds (tests/training/planning/test_profile.py makes one);
- layouts of `prepare` other than `astyx`: downloads (tests/datasets/ has tiny ones);
- `view` in a window, and the server of `view --web`: no screen, no end (tests/viewer/ has both);
- `torchrun`: its options are parsed and what is behind it is run by one process, since each further
  one takes seconds to start (tests/training/test_loop.py, tests/evaluation/test_workers.py do);
- targets of `make`, which must exist: they make .venv anew, or run these tests.

Programs of others (pip, apt-get, ssh, tensorboard) are left alone.
"""

import json
import re
import shlex
import shutil
import subprocess
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from torch.distributed.run import get_args_parser

from radarsparse import enhancer
from radarsparse.__main__ import ALL
from radarsparse.cli import CONFIGS, parse
from radarsparse.config import load_config
from radarsparse.datasets.layouts import LAYOUTS
from radarsparse.formats.clouds import write_cloud
from radarsparse.formats.prepared import write_frame, write_split
from radarsparse.models.weights import SHIPPED
from tests.conftest import tiny_config, tiny_pair
from tests.documents import (
    FILES,
    FILLED,
    FILLS,
    NAMES,
    ROOT,
    SPAN,
    TORCHRUN,
    Call,
    calls,
    code_lines,
    command,
    fences,
    find_call,
    prose,
    readings,
    spans,
)
from tests.formats.bags.test_topics import ROS1, ROS2, cloud2, write_mcap, write_ros1
from tests.formats.cloud_files import put_pcd
from tests.tools.test_prepare import write_native

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
PLACE = re.compile(r"((?:[\w.*{},-]+/)+[\w.*{},-]*\.(?:py|md|yaml|cu|cuh|cpp|hpp|txt))(?:: (\w+))?")

TINY = ("train.batch_size=1", "train.checkpoint_every_samples=2")
HOURS = ("demo", "demo_train", "weights")
WRITTEN = ("out", "save", "csv", "pictures", "target")
TOPIC = "/radar_enhanced_pcl"


def is_run(call: Call) -> bool:
    """Whether a command takes seconds and needs nothing that isn't here."""
    words = set(call.words)
    if call.name == "prepare":
        return bool(words & {"astyx", "check"})
    if call.name == "view":
        return "--save" in words or words >= {"--web", "--out"}
    # The document that `benchmark quality` writes names it without its options.
    return not (call.name in HOURS or call.words == ("quality",) or "--profile" in words)


# Names alone are no commands: `tools/eval.py`, `radarsparse view`, `radarsparse train ...`.
CALLS = list(calls())
ASKING = [call for call in CALLS if {call.name, *call.words} & {"--help", "--version"}]
NAMED = [call for call in CALLS if call.words in ((), ("...",)) and call not in ASKING]
WHOLE = [call for call in CALLS if call not in NAMED + ASKING]
IN_DOCUMENTS = [call for call in WHOLE if "--help" not in call.place]
# The first of those that say the same.
RUN = list({call[2:]: call for call in reversed(IN_DOCUMENTS) if is_run(call)}.values())[::-1]


def test_commands_were_found() -> None:
    assert {call.name for call in WHOLE} >= {*NAMES} - {*HOURS}
    ran = {"simulate", "prepare", "train", "adapt", "eval", "enhance", "view", "benchmark"}
    assert {call.name for call in RUN} == ran
    assert {file.name for file in FILES} >= {"README.md", "data.md", "bags.md", "BENCHMARK.md"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_commands_are_written_as_code(file: Path) -> None:
    text = SPAN.sub("", prose(file.read_text()))
    assert re.findall(r"(?m)^.*(?:tools/\w+\.py|^ {4,}radarsparse \w+).*$", text) == []


@pytest.mark.parametrize("call", NAMED, ids=str)
def test_a_command_that_is_named_exists(call: Call) -> None:
    assert call.name in NAMES


@pytest.mark.parametrize("call", ASKING, ids=str)
def test_help_is_given(call: Call, capsys: pytest.CaptureFixture[str]) -> None:
    asked = command(call.name) if call.name in NAMES else ALL
    with pytest.raises(SystemExit) as caught:
        parse(asked, [call.name, *call.words] if asked is ALL else call.words)
    assert caught.value.code == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("call", WHOLE, ids=str)
def test_a_command_is_understood(call: Call) -> None:
    assert call.name in NAMES
    arguments = parse(command(call.name), call.words)
    if getattr(arguments, "config", None):
        load_config(ROOT / arguments.config, arguments.set)
    if call.launcher and call.launcher[0] in TORCHRUN:
        get_args_parser().parse_args([*call.launcher[1:], "script"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("radarsparse train --config demo_vae --paint", "unrecognized arguments: --paint"),
        ("python tools/eval.py --pred clouds", "required: --out"),
        ("radarsparse train --config no_such", "no_such: no such file"),
        ("tools/train.py --config demo_vae [--set model.vea=1]", "is no key here"),
        ("radarsparse paint --out DIR", "paint"),
        ("torchrun --procs=4 tools/eval.py --pred A --out FILE", "2"),
    ],
)
def test_a_planted_fault_is_found(line: str, message: str) -> None:
    call = find_call("here", shlex.split(readings(line)[0]))
    assert call
    with pytest.raises((Exception, SystemExit), match=message):
        test_a_command_is_understood(call)


def test_targets_of_make_exist() -> None:
    found = {line.split("#")[0].strip() for _, line in code_lines() if re.match("make [a-z]", line)}
    assert found >= {"make demo", "make test"}
    targets = sorted(line.removeprefix("make ") for line in found)
    result = subprocess.run(
        ["make", "--dry-run", *targets], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_test_files_and_extras_that_are_named_exist() -> None:
    project = (ROOT / "pyproject.toml").read_text().partition("\n[project.optional-dependencies]\n")
    extras = re.findall(r"^(\w+) = ", project[2].partition("\n[tool")[0], re.MULTILINE)
    named = [
        name for _, line in code_lines() for name in re.findall(r"(?:parse|\.)\[(\w+)\]", line)
    ]
    assert {*named} >= {"cu126", "ros", "view"}
    assert {*named} <= {*extras}
    tests = [word for _, line in code_lines() for word in line.split() if word.startswith("tests/")]
    assert [test for test in tests if not (ROOT / test).exists()] == []


def test_all_layouts_are_in_the_table_of_data() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", (ROOT / "docs/data.md").read_text(), re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"`([^`]+)`", row)} - {"LAYOUT"}
    assert listed == {*LAYOUTS, "tj4dradset"}


@pytest.fixture(scope="module")
def things(
    vae_run: Path, edm_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """What stands for the paths that documents name."""
    root = tmp_path_factory.mktemp("things")
    frames, clouds = root / "frames", root / "clouds"
    clouds.mkdir()
    numbers = (0, 1, 2, 12)
    for number in numbers:
        pair = tiny_pair(number)
        write_frame(frames, pair)
        probability = np.linspace(0, 1, len(pair.lidar), dtype=np.float32)
        write_cloud(clouds / f"{pair.name}.ply", pair.lidar, probability)
    write_split(frames, {"train": [[0, 1]], "val": [[2, 2]], "test": [[12, 12]]})
    write_native(root / "native", "000000")
    radar = [tiny_pair(number).radar for number in range(2)]
    put_pcd(root / "radar.pcd", radar[0], ("x", "y", "z", "doppler_mps", "power_db"))
    np.save(root / "lidar.npy", tiny_pair(0).lidar)
    sent = [cloud2(ROS1, number, points) for number, points in enumerate(radar)]
    write_ros1(root / "drive.bag", [message._replace(topic=TOPIC) for message in sent])
    # Both the usual names and others, since some commands tell them and some don't.
    names = ("x", "y", "z", "velocity", "snr", "speed_mps", "echo")
    wide = [np.c_[points, points[:, 3:]] for points in radar]
    write_mcap(
        root / "drive.mcap", [cloud2(ROS2, n, points, names) for n, points in enumerate(wide)]
    )
    return {
        **dict.fromkeys(("DIR", "DATA", "DST", "PATH", "data/sim", "C"), frames),
        **dict.fromkeys(("clouds", "CLOUDS", "A", "B"), clouds),
        **dict.fromkeys(("runs/vae", "runs/astyx_vae"), vae_run),
        **dict.fromkeys(("RUN", "EDM", "FEW", "runs/edm", "runs/ect"), edm_run),
        **dict.fromkeys(("runs/astyx_edm", "runs/astyx_ect", "runs/mine/best"), edm_run),
        **dict.fromkeys(("radar.pcd", "scan.pcd"), root / "radar.pcd"),
        **{"SRC": root / "native", "lidar.npy": root / "lidar.npy", "configs": CONFIGS},
        **dict.fromkeys(("enhanced.ply", "enhanced/radar.ply"), clouds / "000000.ply"),
        **{name: root / name for name in ("drive.bag", "drive.mcap")},
    }


@pytest.fixture
def place(things: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are run in."""
    for name, target in things.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(target.resolve())
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shrink_training(arguments: Namespace) -> None:
    """Put a tiny config of the same stage in the place of the one that is named."""
    stage = load_config(arguments.config, arguments.set).stage
    teacher = None if stage in ("vae", "edm") else "runs/edm"
    # The same words as in the config of the teacher, with which it must agree.
    model = {} if stage == "vae" else {"vae": str(Path("runs/vae").resolve())}
    config = tiny_config(Path("DIR"), stage, teacher, **model).model_dump(mode="json")
    arguments.config = Path("tiny.yaml")
    arguments.config.write_text(yaml.safe_dump(config))
    arguments.set += [*TINY, "train.samples=2"]
    arguments.out = arguments.out or Path("runs/tiny")
    if arguments.memory_gib:
        arguments.memory_gib /= 10


def shrink(name: str, arguments: Namespace) -> None:
    """Make a command one of a second."""
    if name == "train":
        shrink_training(arguments)
    elif name == "adapt":
        arguments.samples = 2
        arguments.set += TINY
    elif name == "simulate":
        arguments.frames = 3
    elif name == "benchmark":
        arguments.dry_run = True
    elif name == "view":
        arguments.size = (240, 200)
    elif name == "eval":
        arguments.workers, arguments.resamples = 1, 10
        arguments.worst = None if arguments.scans else 1
        arguments.set += ["data.root=DIR"] if arguments.checkpoint else []
    take_small_weights(arguments)


def take_small_weights(arguments: Namespace) -> None:
    """Those of the tests, except where a LiDAR is named: they were told of none as they learnt."""
    if getattr(arguments, "lidar", None):
        arguments.checkpoint = SHIPPED
    elif getattr(arguments, "checkpoint", None) == SHIPPED:
        arguments.checkpoint = "runs/edm"


def written(name: str, arguments: Namespace) -> list[Path]:
    """The files and folders that a command makes, if it is no dry run."""
    given = vars(arguments)
    if name == "train" and (given["find_batch_size"] or given["voxel_budget"]):
        return []
    keys = [key for key in WRITTEN if name == "prepare" or key != "target"]
    return [given[key] for key in keys if isinstance(given.get(key), Path)]


@pytest.mark.parametrize("call", RUN, ids=str)
def test_a_command_does_what_it_says(
    call: Call, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radarsparse.commands.view.ORBIT_STEPS", 2)
    arguments = parse(command(call.name), call.words)
    shrink(call.name, arguments)
    paths = written(call.name, arguments)
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    result = command(call.name).act(arguments)
    json.dumps(result)
    dry = getattr(arguments, "dry_run", False)
    assert [path for path in paths if path.exists() == dry] == []


def examples() -> Iterator[Any]:
    for file in FILES:
        for line, language, block in fences(file.read_text()):
            if language == "python":
                yield pytest.param(block, id=f"{file.relative_to(ROOT)}:{line}")


@pytest.mark.parametrize("block", [*examples()])
def test_an_example_in_python_runs(
    block: str, edm_run: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = enhancer.run_folder
    monkeypatch.setattr(
        enhancer, "run_folder", lambda path: edm_run if path == SHIPPED else find(path)
    )
    points = tiny_pair(6).radar
    names = {"points": points, "scans": [points, points], "enhancer": enhancer.Enhancer.load()}
    exec(compile(block, "example", "exec"), names)
    assert len(names["cloud"].points) > 0


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
    return kept.replace(" ", "-")


def broken_links(file: Path) -> list[str]:
    """Relative links that lead to no file, or to no heading there."""
    broken = []
    for found in LINK.finditer(SPAN.sub("", prose(file.read_text()))):
        path, _, anchor = found[1].partition("#")
        if "://" in found[1]:
            continue
        target = file.parent / path if path else file
        headings = (
            [slug(title) for title in HEADING.findall(prose(target.read_text()))]
            if (target.suffix == ".md" and target.is_file())
            else []
        )
        if not target.exists() or (anchor and anchor not in headings):
            broken.append(found[1])
    return broken


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path) -> None:
    assert broken_links(file) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    text = "# A `b` c.\n[a](#a-b-c) [b](#a) [c](none.md) [d](page.md#a-b-c) `[e](f)` [g](page.md)"
    (tmp_path / "page.md").write_text(text)
    assert broken_links(tmp_path / "page.md") == ["#a", "none.md"]


def missing(span: str) -> bool:
    """Whether a piece of code is the path of a file of ours that isn't there."""
    found = PLACE.fullmatch(FILLED.sub(lambda found: FILLS[found[1]], span))
    # Folders of a user's.
    if not found or found[1].startswith((".venv/", "runs/", "frames/", "calib/")):
        return False
    return not any(True for _ in matches(found[1], found[2] or ""))


def matches(pattern: str, name: str) -> Iterator[Path]:
    """Files that a path with braces and stars means, below the root or the package."""
    braces = re.search(r"\{([^}]*)\}", pattern)
    each = braces[1].split(",") if braces else [""]
    for part in each:
        for folder in (ROOT, ROOT / "radarsparse"):
            whole = pattern.replace(braces[0], part) if braces else pattern
            yield from (file for file in folder.glob(whole) if name in file.read_text())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_files_that_are_named_are_there(file: Path) -> None:
    named = [f"{line}: {span}" for line, span in spans(file.read_text()) if missing(span)]
    assert named == []


def test_a_missing_file_is_found() -> None:
    there = (
        "radarsparse/datasets/*.py",
        "sparse/tensor.py",
        "diffusion/samplers.py: multistep",
    )
    assert [span for span in there if missing(span)] == []
    gone = ("radarsparse/data/ntu4dradlm.py", "diffusion/samplers.py: swim", "configs/{a,b}.yaml")
    assert [span for span in gone if not missing(span)] == []
