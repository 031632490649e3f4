"""Checkpoints that are old, odd or damaged."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from radarsparse.config import VaeConfig
from radarsparse.errors import InputError
from radarsparse.models.vae import Vae
from radarsparse.models.weights import METADATA_KEY, MODEL_FILE, load_vae, save_model
from tests.conftest import tiny_config


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, config = tmp_path_factory.mktemp("run"), tiny_config(Path(), "vae")
    assert isinstance(config, VaeConfig)
    torch.manual_seed(0)
    save_model(folder, Vae(config.model), config, config)
    return folder


def read(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with safe_open(folder / MODEL_FILE, "pt") as opened:
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        return tensors, json.loads(opened.metadata()[METADATA_KEY])


def refused(folder: Path) -> str:
    """What is said of a checkpoint, in one line that names the file."""
    with pytest.raises(InputError) as caught:
        load_vae(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder / MODEL_FILE}: ")
    assert "\n" not in message
    assert len(message) < len(str(folder)) + 400
    return message


def test_a_checkpoint_of_before_digests_were_stored_loads(saved: Path, tmp_path: Path) -> None:
    tensors, about = read(saved)
    assert len(about.pop("sha256")) == 64
    save_file(tensors, tmp_path / MODEL_FILE, {METADATA_KEY: json.dumps(about)})
    loaded = load_vae(tmp_path)[0].state_dict()
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


@pytest.mark.parametrize("flips", [1, 1000])
def test_flipped_bits_are_found_wherever_they_are(flips: int, saved: Path, tmp_path: Path) -> None:
    content, dice = (saved / MODEL_FILE).read_bytes(), random.Random(0)
    for _ in range(50):
        damaged = bytearray(content)
        for bit in dice.sample(range(8 * len(content)), flips):
            damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / MODEL_FILE).write_bytes(damaged)
        refused(tmp_path)


def test_damaged_numbers_are_told_as_damage(saved: Path, tmp_path: Path) -> None:
    content = bytearray((saved / MODEL_FILE).read_bytes())
    content[-1] ^= 1
    (tmp_path / MODEL_FILE).write_bytes(content)
    assert "is damaged: its contents have SHA-256" in refused(tmp_path)


Change = Callable[[dict[str, Any]], object]
ODD: list[tuple[Change, str]] = [
    (lambda about: about.pop("format"), "format None"),
    (lambda about: about.update(format=["1"] * 1000), "format .*needed is '1' to '4'"),
    (lambda about: about.pop("version"), "'version'"),
    (lambda about: about.pop("config"), "'config'"),
    (lambda about: about.update(more=1), "'more'"),
    (lambda about: about.update(config=None), "config: stage = None: must be one of"),
    (lambda about: about.update(config=[1]), "config: stage = None: must be one of"),
    (lambda about: about["config"].update(stage=[]), r"config: stage = \[\]: must be one of"),
    (lambda about: about["config"].update(train="much"), "train = 'much': must be a block"),
    (lambda about: about["config"].update(seed=2**70), "seed = .*: must be"),
    (lambda about: about["config"]["train"].update(learning_rate=float("inf")), "finite"),
    (lambda about: about["config"]["model"].update(channels=[4096] * 4), "needed is"),
    (lambda about: about["vae_config"].pop("data"), "vae_config: data: is missing"),
    (lambda about: about.update(sha256=17), "stored is 17"),
]


@pytest.mark.parametrize(("change", "words"), ODD, ids=[words for _, words in ODD])
def test_odd_metadata_is_refused(change: Change, words: str, saved: Path, tmp_path: Path) -> None:
    tensors, about = read(saved)
    del about["sha256"]
    change(about)
    save_file(tensors, tmp_path / MODEL_FILE, {METADATA_KEY: json.dumps(about)})
    message = refused(tmp_path)
    assert pytest.raises(InputError, match=words).matches(InputError(message)), message


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "7", "null", "[" * 100_000, '{"format": ' * 10_000, "9" * 5000]
)
def test_metadata_that_are_no_object_are_refused(text: str, saved: Path, tmp_path: Path) -> None:
    save_file(read(saved)[0], tmp_path / MODEL_FILE, {METADATA_KEY: text})
    assert "its metadata is no JSON object" in refused(tmp_path)


def test_tensors_that_do_not_fit_are_named(saved: Path, tmp_path: Path) -> None:
    tensors, about = read(saved)
    del about["sha256"]
    name, value = max(tensors.items(), key=lambda item: item[1].numel())
    nan = value.clone()
    nan.view(-1)[3] = torch.nan
    for found, words in [
        ({name: value[:, :-1].contiguous()}, "needed is"),
        ({name: nan}, "holds numbers that are not finite"),
        ({"more": value.clone()}, "'more' is of no use"),
        ({name: value.to(torch.float8_e4m3fn)}, "holds numbers of torch.float8_e4m3fn"),
        ({name: value.int()}, "holds numbers of torch.int32"),
    ]:
        save_file(tensors | found, tmp_path / MODEL_FILE, {METADATA_KEY: json.dumps(about)})
        message = refused(tmp_path)
        assert words in message
        assert next(iter(found)) in message
    rest = {key: tensors[key] for key in tensors.keys() - {name}}
    save_file(rest, tmp_path / MODEL_FILE, {METADATA_KEY: json.dumps(about)})
    assert f"{name!r} is missing" in refused(tmp_path)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    for content in (b"", b"damaged", bytes(100), b"\xff" * 8 + b"{}", b"\x02" + bytes(7) + b"{}"):
        (tmp_path / MODEL_FILE).write_bytes(content)
        refused(tmp_path)
