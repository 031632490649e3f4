"""Several processes, as torchrun starts them, on the CPU."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

from radarsparse.config import Config, load_config
from radarsparse.errors import InputError
from radarsparse.training.devices import start_fabric
from tests.conftest import tiny_config
from tests.processes import ROOT, environment
from tests.training.gradients import window_gradients


def torchrun(processes: int, *words: object) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command = [*launcher, f"--nproc-per-node={processes}", *map(str, words)]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment(OMP_NUM_THREADS="1"),
        capture_output=True,
        text=True,
        check=False,
    )


def write_config(config: Config, path: Path, **train: object) -> Path:
    raw = config.model_dump(mode="json")
    raw["train"] |= train
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "train"),
    [
        ("vae", {"batch_size": 2}),
        ("vae", {"batch_size": 1, "accumulate": 2}),
        ("edm", {"batch_size": 2}),
    ],
)
def test_two_processes_and_accumulation_have_the_gradients_of_one_batch(
    stage: str, train: dict[str, int], frames: Path, vae_run: Path, tmp_path: Path
) -> None:
    more = {"vae": str(vae_run), "dropout": 0.0} if stage == "edm" else {}
    config = tiny_config(frames, stage, **more)
    whole_config = load_config(write_config(config, tmp_path / "whole.yaml", batch_size=4))
    whole = window_gradients(whole_config, start_fabric("32"))
    file, out = write_config(config, tmp_path / "shared.yaml", **train), tmp_path / "shared.pt"
    result = torchrun(2, "tests/training/gradients.py", file, out)
    assert result.returncode == 0, result.stderr
    shared = torch.load(out, weights_only=True)
    assert shared.keys() == whole.keys()
    assert sum(float(value.abs().max()) > 0 for value in whole.values()) > 20
    for name, value in whole.items():
        torch.testing.assert_close(shared[name], value, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_two_processes_train_validate_and_write_once(frames: Path, tmp_path: Path) -> None:
    config, out = tiny_config(frames, "vae"), tmp_path / "run"
    validation = {"every_samples": 4, "frames": 2}
    file = write_config(config, tmp_path / "c.yaml", batch_size=1, validation=validation)
    result = torchrun(2, "tools/train.py", "--config", file, "--out", out)
    assert result.returncode == 0, result.stderr
    lines = (out / "stats.jsonl").read_text().splitlines()
    assert [json.loads(line)["samples"] for line in lines] == [0, 4, 8]
    assert (out / "best" / "model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_in_one_process_ends_all_and_one_says_so(what: str) -> None:
    begin = time.monotonic()
    result = torchrun(2, "tests/training/refusal.py", what)
    assert time.monotonic() - begin < 60
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert f"after 0 samples: frame 000001: the {what} is not finite" in lines[0]
    assert "exitcode  : 2 " in result.stderr
    assert result.stderr.count("Traceback") == 1, "torchrun's own"


@pytest.mark.slow
def test_a_folder_that_another_run_writes_to_ends_all_processes(
    frames: Path, tmp_path: Path
) -> None:
    file, out = write_config(tiny_config(frames, "vae"), tmp_path / "c.yaml"), tmp_path / "run"
    out.mkdir()
    # A lock belongs to a process, so that another one must hold it.
    code = "import sys, pathlib, radarsparse.files as f\nwith f.locked(pathlib.Path(sys.argv[1])):"
    code += " print('locked', flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code, str(out)]
    with subprocess.Popen(command, env=environment(), stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        result = torchrun(2, "tools/train.py", "--config", file, "--out", out)
        other.communicate()
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert lines == [f"error: {out}: another process is writing there"]
    assert torchrun(2, "tools/train.py", "--config", file, "--out", out).returncode == 0


def test_half_precision_without_a_gpu_is_refused() -> None:
    with pytest.raises(InputError, match=r"train\.precision = '16-mixed': needs a CUDA device"):
        start_fabric("16-mixed")


def test_a_package_of_mpi_without_its_library_is_never_asked(tmp_path: Path) -> None:
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").write_text("raise RuntimeError('no library of MPI')")
    about = tmp_path / "mpi4py-4.0.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mpi4py\nVersion: 4.0.0\n")
    variables = environment(OMP_NUM_THREADS="1")
    variables["PYTHONPATH"] += f":{tmp_path}"
    lines = "from radarsparse.training.devices import start_fabric; start_fabric('32')"
    command = [sys.executable, "-c", lines]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
