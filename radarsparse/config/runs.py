"""Everything that a run depends on, by stage."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from radarsparse.config.settings import (
    DataSettings,
    DenoiserSettings,
    DiffusionSettings,
    EngineName,
    SamplingSettings,
    Settings,
    TrainSettings,
    VaeSettings,
    VolumeSettings,
)


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
ADAPTER: TypeAdapter[Config] = TypeAdapter(Annotated[Config, Field(discriminator="stage")])
