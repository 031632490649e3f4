import math
import time
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from radarsparse.config import (
    AugmentSettings,
    TrainSettings,
    config_to_yaml,
    describe_faults,
    load_config,
    override_config,
    parse_yaml,
    to_yaml,
    validate_config,
)
from radarsparse.errors import InputError
from tests.conftest import tiny_config

ROOT = Path(__file__).parents[1]
MINIMAL = {"stage": "vae", "data": {"root": "somewhere"}, "train": {"samples": 10}}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    return path


def test_extended_files_and_overrides_win_in_order(file, tmp_path):
    top = tmp_path / "top.yaml"
    top.write_text("extends: run.yaml\ntrain: {batch_size: 3, learning_rate: 1e-4}\n")
    config = load_config(top, ["train.batch_size=7", "seed=5"])
    assert (config.train.samples, config.train.batch_size, config.seed) == (10, 7, 5)
    assert config.train.learning_rate == 1e-4


def test_written_configs_read_back(file, tmp_path):
    config = load_config(file, ["volume.voxel_size_m=0.1", "data.split.train=[[0, 3], [7, 7]]"])
    (tmp_path / "copy.yaml").write_text(config_to_yaml(config))
    assert load_config(tmp_path / "copy.yaml") == config


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_configs_load(path):
    named = path.stem.rpartition("_")[2]
    stage = named if named in ("vae", "ect", "distill") else "edm"
    assert load_config(path).stage == stage


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.sampels=3", "train.sampels = 3: is no key here"),
        ("train.samples=0", "train.samples = 0: must be greater than 0"),
        ("train.samples=1.5", "train.samples = 1.5: must be a valid integer"),
        ("train.samples=true", "train.samples = True: must be a valid integer"),
        ("data.augment.mirror=2", "data.augment.mirror = 2: must be less than or equal to 1"),
        ("stage=gan", "stage = 'gan': must be one of vae, edm, ect, distill"),
        ("volume.maximum_m=[50, 25.6, 3.2]", "31.25 lattice cells of 1.6 m"),
        ("train.samples.more=1", "samples is a single value"),
        ("train.samples", "must read a.b=value"),
        ("train.learning_rate=.inf", "train.learning_rate = '.inf': must be a valid number"),
        (
            "train.learning_rate=2020-01-01",
            "train.learning_rate = '2020-01-01': must be a valid number",
        ),
        ("train.samples=1:30", "train.samples = '1:30': must be a valid integer"),
        ("train.samples=2147483648", "train.samples = 2147483648: must be less than 2147483648"),
        ("seed=-1", "seed = -1: must be greater than or equal to 0"),
        ("model.channels=[1, 2]", r"model.channels.2: is missing"),
        (
            "model.channels=[1, 2, 3, 5000]",
            r"model.channels.3 = 5000: must be less than or equal to 4096",
        ),
        ("train.precision=8", "train.precision = 8: must be '32', '16-mixed' or 'bf16-mixed'"),
        ("train=[]", r"train = \[\]: must be a block of keys"),
        ("lidar.rings_deg=[0, 91]", r"lidar.rings_deg.1 = 91: must be less than or equal to 90"),
        ("lidar.rings_deg=[-91]", r"lidar.rings_deg.0 = -91: must be greater than or equal to -90"),
        ("lidar.rings_deg=3", r"lidar.rings_deg = 3: must be a valid array"),
        (
            f"lidar.rings_deg={[0] * 1025}",
            r"lidar.rings_deg = .*: must have at most 1024 items",
        ),
        ("lidar.position_m=[0, 0]", "lidar.position_m.2: is missing"),
        ("lidar.position_m=[0, 0, 101]", "lidar.position_m.2 = 101: must be less than or equal to"),
        (
            "lidar.yaw_pitch_roll_deg=[-181, 0, 0]",
            "lidar.yaw_pitch_roll_deg.0 = -181: must be greater than or equal to -180",
        ),
        ("lidar.yaw_pitch_roll_deg=[0, 0, up]", "lidar.yaw_pitch_roll_deg.2 = 'up': must be"),
        ("lidar.rings=[0]", r"lidar.rings = \[0\]: is no key here"),
        (
            "data.split={val: [[3, 1]]}",
            r"data: split.val has \[3, 1\], which ends before it begins",
        ),
        ("data.split={val: [[-1, 1]]}", r"data.split.val.0.0 = -1: must be greater than or equal"),
        ("data.split={val: [3, 4]}", r"data.split.val.0 = 3: must be a valid array"),
        ("model.kernel_size=2", "model.kernel_size = 2: must be 1 or 3"),
        ("volume.voxel_size_m=0.001", "box holds .* lattice cells .* must hold at most 4,000,000"),
    ],
)
def test_unusable_values_are_named(file, override, words):
    with pytest.raises(InputError, match=words):
        load_config(file, [override])


def test_augmentation_is_off_if_nothing_can_change_a_frame():
    def is_off(settings):
        raw = {**MINIMAL, "data": {"root": "somewhere", "augment": settings}}
        return validate_config(raw, "test").data.augment.is_off

    off = dict.fromkeys(AugmentSettings.model_fields, 0) | {"cutout_max_deg": 20}
    assert is_off(off)
    assert not is_off({})
    for name in set(off) - {"cutout_max_deg"}:
        assert not is_off({**off, name: 0.01}), name


def test_two_views_need_a_volume_with_two_equal_sides(tmp_path):
    raw = tiny_config(tmp_path, "edm", vae="").model_dump(mode="json")
    raw["volume"]["minimum_m"][1] = -3.2
    assert validate_config(raw, "one view")
    raw["sampling"]["views"] = 2
    with pytest.raises(InputError, match=r"two views: .*y is -3\.2 \.\. 6\.4 m"):
        validate_config(raw, "two views")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("train: {samples: 10, sampels: 3}", "train.sampels = 3: is no key here"),
        ("train: {samples: ten}", "train.samples = 'ten': must be a valid integer"),
        ("train: {samples: -4}", "train.samples = -4: must be greater than 0"),
        ("train: {samples: 10, samples: 11}", "'samples' stands twice"),
    ],
)
def test_faults_in_a_file_name_file_key_and_value(tmp_path, line, words):
    path = tmp_path / "run.yaml"
    path.write_text(f"stage: vae\ndata: {{root: somewhere}}\n{line}\n")
    with pytest.raises(InputError, match=rf"run\.yaml: .*{words}"):
        load_config(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stage: vae\nstage: edm\n", "'stage' stands twice"),
        ("train: {samples: 1, samples: 2}\n", "'samples' stands twice"),
        ("- 1\n", "must be a mapping"),
        ("a: [1\n", "broken.yaml"),
        ("{[1]: 2}\n", "line 1: a list or a block can't be a key"),
        ("[" * 5000, "nests more than 50 deep"),
        ("a: &a [*a]\n", r"line 1: the alias \*a stands inside what it names"),
        ("a: &a {x: 1}\nb: [" + "*a, " * 99_999 + "]\n", "has more than 300,000 characters"),
        ("a: " + "9" * 4999, "line 1: 99999999999999999999: .* at most 64 bits"),
        ("a: 1e999\n", "line 1: 1e999: is too large"),
        ("a: !!python/name:os.system\n", "line 1: the tag .*os.system is not known here"),
        ("a: \0\n", "character 0x00 at position 3 can't stand"),
        ('a: "\\U00110000"\n', "holds an escape that means no character"),
        ("extends: broken.yaml\n", "extends itself"),
        ("stage: vae\ntrain: {samples: 1}\n", "data: is missing"),
    ],
)
def test_unusable_files_are_named(tmp_path, text, words):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        load_config(path)
    assert "broken.yaml" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_file_that_is_no_text_is_named(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_bytes(b"a: \xff\n")
    with pytest.raises(InputError, match=r"broken\.yaml: can't be read: byte 3 is no UTF-8"):
        load_config(path)


def test_aliases_that_double_are_bounded_by_what_they_unfold_to():
    lines = ["a0: &a0 [1, 1]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))]
    begin = time.monotonic()
    with pytest.raises(InputError, match="line 17: unfolds to more than 300,000 characters"):
        parse_yaml("\n".join(lines), "text")
    assert time.monotonic() - begin < 1
    assert parse_yaml("\n".join(lines[:3]), "text")["a2"] == [[[1, 1]] * 2] * 2


def test_words_of_yaml_mean_one_thing_each():
    text = "[1, -2, 1_000, 0.5, .5, 1e-4, 1.5e3, true, null, 1:30, 007, 2020-01-01, .inf, =, 0x1F]"
    assert parse_yaml(text, "text") == [
        *(1, -2, 1000, 0.5, 0.5, 1e-4, 1500.0, True, None),
        *("1:30", "007", "2020-01-01", ".inf", "=", "0x1F"),
    ]


def test_many_faults_are_one_short_line(file):
    unknown = {f"key{number}\n": "x" * 1000 for number in range(1000)}
    with pytest.raises(InputError, match="and 997 more") as caught:
        validate_config(MINIMAL | unknown, "text")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_numbers_that_are_not_finite_are_refused_in_python_too():
    with pytest.raises(ValidationError) as caught:
        TrainSettings(samples=1, learning_rate=math.inf)
    assert describe_faults(caught.value) == "learning_rate = inf: must be a finite number"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none.yaml: no such file"):
        load_config(tmp_path / "none.yaml")


def test_after_training_only_data_and_sampling_can_change(file):
    config = load_config(file)
    assert override_config(config, ["data.root=elsewhere"]).data.root == "elsewhere"
    with pytest.raises(InputError, match=r"kl_weight=0: only engine, data.\* and sampling.\*"):
        override_config(config, ["model.kl_weight=0"])
    ranges = load_config(file, ["data.split.val=[[1, 2]]"])
    assert override_config(ranges, ["data.val_split=val"]).data.split == {"val": ((1, 2),)}
    # Of other frames the ranges say nothing.
    assert override_config(ranges, ["data.root=elsewhere"]).data.split is None
    both = override_config(ranges, ["data.root=elsewhere", "data.split.val=[[3, 4]]"])
    assert both.data.split == {"val": ((3, 4),)}
    denoiser = load_config(ROOT / "configs" / "astyx_edm.yaml", ["sampling.steps=5"])
    assert override_config(denoiser, ["sampling.steps=2"]).sampling.steps == 2
    with pytest.raises(InputError, match=r"sampling\.steps = 0"):
        override_config(denoiser, ["sampling.steps=0"])


@pytest.mark.parametrize(
    "text", ["1234567890123e45", "123456789012e456", "1e5", "1:30", "007", ".5"]
)
def test_texts_that_look_like_numbers_stay_texts_when_written(text):
    content = {"fingerprint": text, "number": 1e5}
    assert parse_yaml(to_yaml(content), "written") == content
