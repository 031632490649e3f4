"""Typed settings, read from YAML with `extends` and `a.b=value` overrides."""

from radarsparse.config.reading import (
    config_to_yaml,
    load_config,
    override_config,
    parse_yaml,
    read_yaml,
    validate_config,
)
from radarsparse.config.runs import Config, EdmConfig, VaeConfig
from radarsparse.config.settings import (
    LATTICE_STRIDE,
    AugmentSettings,
    DataSettings,
    DenoiserSettings,
    DiffusionSettings,
    EngineName,
    PrecisionName,
    SamplingSettings,
    ScheduleName,
    TrainSettings,
    VaeSettings,
    ValidationSettings,
    VolumeSettings,
    VoxelStep,
)

__all__ = [
    "LATTICE_STRIDE",
    "AugmentSettings",
    "Config",
    "DataSettings",
    "DenoiserSettings",
    "DiffusionSettings",
    "EdmConfig",
    "EngineName",
    "PrecisionName",
    "SamplingSettings",
    "ScheduleName",
    "TrainSettings",
    "VaeConfig",
    "VaeSettings",
    "ValidationSettings",
    "VolumeSettings",
    "VoxelStep",
    "config_to_yaml",
    "load_config",
    "override_config",
    "parse_yaml",
    "read_yaml",
    "validate_config",
]
