"""Typed settings, read from YAML with `extends` and `a.b=value` overrides."""

import json
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from radarsparse.errors import InputError

Vector3 = tuple[float, float, float]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(gt=0)]

EngineName = Literal["auto", "torch", "spconv"]
PrecisionName = Literal["32", "16-mixed", "bf16-mixed"]
ScheduleName = Literal["constant", "cosine", "one_cycle", "inverse_sqrt"]

LATTICE_STRIDE = 8


class Settings(BaseModel):
    """Base of every block of settings: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class VolumeSettings(Settings):
    """The box, the voxel size and the field of view, in the radar frame."""

    minimum_m: Vector3 = (0.0, -25.6, -3.2)
    maximum_m: Vector3 = (51.2, 25.6, 3.2)
    voxel_size_m: Positive = 0.2
    azimuth_max_deg: Annotated[float, Field(gt=0.0, le=180.0)] = 55.0

    def at(self, voxel_size_m: float) -> "VolumeSettings":
        """The same box with voxels of another size."""
        return VolumeSettings(**{**self.model_dump(), "voxel_size_m": voxel_size_m})

    @model_validator(mode="after")
    def _whole_lattice_cells(self) -> "VolumeSettings":
        cell_m = self.voxel_size_m * LATTICE_STRIDE
        for low, high in zip(self.minimum_m, self.maximum_m, strict=True):
            cells = (high - low) / cell_m
            if cells < 1 or abs(cells - round(cells)) > 1e-6:
                raise ValueError(
                    f"the side {low} .. {high} m holds {cells:g} lattice cells of {cell_m:g} m;"
                    " it must hold a whole number, 1 or more"
                )
        return self


class AugmentSettings(Settings):
    """Random changes of a training pair, applied to radar and LiDAR together."""

    mirror: Share = 0.5
    yaw_max_deg: Annotated[float, Field(ge=0.0, le=180.0)] = 10.0
    shift_std_m: Annotated[float, Field(ge=0.0)] = 0.1
    radar_dropout: Share = 0.2
    power_std_db: Annotated[float, Field(ge=0.0)] = 1.0


class DataSettings(Settings):
    """Where the prepared frames are and which of them are used."""

    root: str
    train_split: str = "train"
    val_split: str = "val"
    augment: AugmentSettings = AugmentSettings()


class VaeSettings(Settings):
    """Widths at strides 1, 2, 4, 8 and the weights of the losses.

    A loss of weight 0 is not computed. `split_balance` is the power of each level's ratio of
    false to true children by which `positive_weight` is multiplied. The perceptual loss sees with
    the encoder of the run folder `perceptual_vae`, or with a random network.
    """

    channels: tuple[Count, Count, Count, Count] = (24, 48, 64, 96)
    latent_channels: Count = 16
    kl_weight: Annotated[float, Field(ge=0.0)] = 1e-3
    split_weight: Annotated[float, Field(ge=0.0)] = 1.0
    positive_weight: Positive = 1.0
    split_balance: Share = 1.0
    focal_weight: Annotated[float, Field(ge=0.0)] = 0.0
    dice_weight: Annotated[float, Field(ge=0.0)] = 0.0
    offset_weight: Annotated[float, Field(ge=0.0)] = 1.0
    intensity_weight: Annotated[float, Field(ge=0.0)] = 0.2
    neighbour_weight: Annotated[float, Field(ge=0.0)] = 0.0
    normal_weight: Annotated[float, Field(ge=0.0)] = 0.0
    perceptual_weight: Annotated[float, Field(ge=0.0)] = 0.0
    perceptual_vae: str | None = None
    latent_noise: Annotated[float, Field(ge=0.0)] = 0.3
    false_parent_share: Annotated[float, Field(ge=0.0)] = 0.1
    max_voxels_per_frame: Count = 60_000

    @model_validator(mode="after")
    def _occupancy_is_learnt(self) -> "VaeSettings":
        if self.split_weight + self.focal_weight + self.dice_weight == 0.0:
            raise ValueError(
                "split_weight, focal_weight and dice_weight are all 0; one must be above, or the"
                " decoder never learns which voxels exist"
            )
        return self


class DenoiserSettings(Settings):
    """Widths at strides 8, 16, 32 and the VAE whose latents are denoised."""

    vae: str
    channels: tuple[Count, Count, Count] = (64, 96, 128)
    blocks: Count = 2
    condition_channels: tuple[Count, Count, Count, Count] = (16, 32, 48, 64)
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1


class DiffusionSettings(Settings):
    """Noise levels and weights of the EDM training loss.

    Source: Karras et al. 2022, Table 1.
    """

    sigma_data: Positive = 0.5
    sigma_min: Positive = 0.002
    sigma_max: Positive = 80.0
    rho: Positive = 7.0
    p_mean: float = -0.4
    p_std: Positive = 1.2
    regression_share: Share = 0.25
    presence_weight: Positive = 1.0
    latent_weight: Positive = 1.0
    unobserved_weight: Share = 0.0
    absent_weight: Share = 0.1


class SamplingSettings(Settings):
    """How an enhanced cloud is drawn when the caller says nothing else.

    `start_sigma` starts the sampler from the regression estimate with that much noise; without it
    the sampler starts from noise alone. `samples` draws are averaged. A child of a voxel exists
    where its log odds exceed `child_log_odds`.
    """

    steps: Count = 18
    samples: Count = 1
    start_sigma: Positive | None = None
    presence_threshold: Annotated[float, Field(ge=-1.0, le=1.0)] = 0.0
    child_log_odds: Annotated[float, Field(ge=-20.0, le=20.0)] = 0.0


class ValidationSettings(Settings):
    """Periodic scores of unseen frames; the best checkpoint and early stopping go by `metric`.

    `frames` are spread evenly over the split. Training stops when `metric` has not improved for
    `patience_samples`.
    """

    every_samples: Count
    frames: Count = 16
    metric: str = "chamfer_sum_m"
    patience_samples: Count | None = None


class VoxelStep(Settings):
    """A part of a run that is trained at voxels of one size, until that many samples were seen."""

    voxel_size_m: Positive
    until_samples: Count


class TrainSettings(Settings):
    """The optimiser and its schedule; every length is in samples (frames seen).

    A step of the optimiser sees `batch_size` times `accumulate` frames on every device.
    `voxel_steps` come first, in order; what is left of the run is at the volume's own voxel size.
    """

    samples: Count
    batch_size: Count = 4
    accumulate: Count = 1
    precision: PrecisionName = "32"
    checkpoint_activations: bool = False
    workers: Annotated[int, Field(ge=0)] = 1
    learning_rate: Positive = 1e-3
    schedule: ScheduleName = "cosine"
    warmup_samples: Count = 200
    ema_samples: Count = 1000
    gradient_norm_max: Positive = 1.0
    voxel_steps: tuple[VoxelStep, ...] = ()
    checkpoint_every_samples: Count = 1000
    report_every_samples: Count = 100
    validation: ValidationSettings | None = None

    @model_validator(mode="after")
    def _voxel_steps_ascend(self) -> "TrainSettings":
        ends = [step.until_samples for step in self.voxel_steps]
        if any(end >= after for end, after in pairwise([*ends, self.samples])):
            raise ValueError(
                f"voxel_steps end at {ends} samples; they must ascend and end before the run's"
                f" {self.samples}"
            )
        return self


def _check_voxel_steps(config: Any) -> Any:
    """Refuse a run with voxels of which its volume doesn't hold whole lattice cells."""
    for step in config.train.voxel_steps:
        config.volume.at(step.voxel_size_m)
    return config


class VaeConfig(Settings):
    """Everything that a run of stage `vae` depends on."""

    stage: Literal["vae"]
    seed: Annotated[int, Field(ge=0)] = 0
    engine: EngineName = "auto"
    data: DataSettings
    volume: VolumeSettings = VolumeSettings()
    model: VaeSettings = VaeSettings()
    train: TrainSettings

    _voxel_steps_fit = model_validator(mode="after")(_check_voxel_steps)


class EdmConfig(Settings):
    """Everything that a run of stage `edm` depends on."""

    stage: Literal["edm"]
    seed: Annotated[int, Field(ge=0)] = 0
    engine: EngineName = "auto"
    data: DataSettings
    volume: VolumeSettings = VolumeSettings()
    model: DenoiserSettings
    diffusion: DiffusionSettings = DiffusionSettings()
    sampling: SamplingSettings = SamplingSettings()
    train: TrainSettings

    _voxel_steps_fit = model_validator(mode="after")(_check_voxel_steps)


Config = VaeConfig | EdmConfig
_ADAPTER: TypeAdapter[Config] = TypeAdapter(Annotated[Config, Field(discriminator="stage")])


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses doubled keys and reads `1e-4` as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise InputError(f"key {key!r} stands twice (line {line}); keep one")
            seen.add(key)
        return super().construct_mapping(node, deep)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML text strictly.

    Args:
        text: the document.
        source: what to call it in errors, usually the file's path.

    Raises:
        InputError: the text is no YAML or holds a doubled key.
    """
    try:
        return yaml.load(text, Loader=_StrictLoader)
    except (yaml.YAMLError, InputError) as error:
        raise InputError(f"{source}: {error}") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file whose top level is a mapping.

    Raises:
        InputError: the file is missing, no YAML, or no mapping.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    content = parse_yaml(path.read_text(), str(path))
    if not isinstance(content, dict):
        raise InputError(f"{path}: the top level must be a mapping of keys to values")
    return content


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config file, apply what it extends and the overrides, and check every value.

    Args:
        path: the YAML file; its key `extends` names another file beside it.
        overrides: texts of the form `a.b=value`, later ones win.

    Raises:
        InputError: the file, a key or a value can't be used; the message names it.
    """
    raw = _read_extended(path, ())
    for override in overrides:
        _apply_override(raw, override)
    return validate_config(raw, str(path))


def validate_config(raw: dict[str, Any], source: str) -> Config:
    """Check plain values against the settings.

    Args:
        raw: nested plain values.
        source: what to call them in errors.

    Raises:
        InputError: names every key that is unknown, missing, mistyped or out of its bounds.
    """
    try:
        return _ADAPTER.validate_json(json.dumps(raw), strict=True)
    except ValidationError as error:
        raise InputError(f"{source}: " + "; ".join(_describe(error))) from error


def override_config(config: Config, overrides: Sequence[str]) -> Config:
    """The same config with some settings changed.

    Args:
        config: the config of a finished run.
        overrides: texts of the form `a.b=value`; only `engine`, `data` and `sampling` can still
            change.

    Raises:
        InputError: a key is another one, unknown, or its value can't be used.
    """
    raw = config.model_dump(mode="json")
    for override in overrides:
        if not override.startswith(("engine=", "data.", "sampling.")):
            raise InputError(
                f"--set {override}: only engine, data.* and sampling.* can change after training"
            )
        _apply_override(raw, override)
    return validate_config(raw, "the checkpoint's config")


def config_to_yaml(config: Config) -> str:
    """Write a config as YAML that `load_config` reads back to an equal one."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def _read_extended(path: Path, children: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in children:
        raise InputError(f"{path}: extends itself")
    raw = read_yaml(path)
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    base = _read_extended(path.parent / str(parent), (*children, path.resolve()))
    return _merge(base, raw)


def _merge(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        both_nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both_nested else value
    return merged


def _apply_override(raw: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    keys = name.split(".")
    if not equals or not all(keys):
        raise InputError(f"--set {override}: must read a.b=value")
    block = raw
    for key in keys[:-1]:
        block = block.setdefault(key, {})
        if not isinstance(block, dict):
            raise InputError(f"--set {override}: {key} is a single value, not a block")
    block[keys[-1]] = parse_yaml(text, f"--set {override}")


def _describe(error: ValidationError) -> Iterable[str]:
    for item in error.errors():
        # The first part of a place is the stage, which is no key.
        key = ".".join(str(part) for part in item["loc"][1:])
        value = "" if item["type"] in ("missing", "model_type") else f" = {item['input']!r}"
        yield f"{key or 'config'}{value}: {item['msg']}"
