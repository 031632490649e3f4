"""Everything that a run depends on, by stage."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from radarsparse.config.settings import (
    DataSettings,
    DenoiserSettings,
    DiffusionSettings,
    DistillSettings,
    EctSettings,
    EngineName,
    FewStepSamplingSettings,
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


def _check_views(config: Any) -> Any:
    """Refuse two views of a volume that is not its own mirror image."""
    right_m, left_m = config.volume.minimum_m[1], config.volume.maximum_m[1]
    if config.sampling.views == 2 and abs(left_m + right_m) > 1e-6:
        raise ValueError(
            f"sampling.views = 2: the volume must reach as far to the left as to the right, y is"
            f" {right_m:g} .. {left_m:g} m"
        )
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


class DenoiserRun(Settings):
    """What all runs that train a denoiser depend on."""

    seed: Annotated[int, Field(ge=0)] = 0
    engine: EngineName = "auto"
    data: DataSettings
    volume: VolumeSettings = VolumeSettings()
    model: DenoiserSettings
    diffusion: DiffusionSettings = DiffusionSettings()
    train: TrainSettings

    _voxel_steps_fit = model_validator(mode="after")(_check_voxel_steps)
    _views_fit = model_validator(mode="after")(_check_views)


class EdmConfig(DenoiserRun):
    """Everything that a run of stage `edm` depends on."""

    stage: Literal["edm"]
    sampling: SamplingSettings = SamplingSettings()


class FewStepRun(DenoiserRun):
    """What runs have in common that make a finished run of stage `edm` need few steps.

    `teacher` is its folder; `model`, `diffusion` and `volume` must be those of the teacher.
    """

    teacher: str
    sampling: FewStepSamplingSettings = FewStepSamplingSettings()


class EctConfig(FewStepRun):
    """Everything that a run of stage `ect` depends on."""

    stage: Literal["ect"]
    consistency: EctSettings = EctSettings()


class DistillConfig(FewStepRun):
    """Everything that a run of stage `distill` depends on."""

    stage: Literal["distill"]
    consistency: DistillSettings = DistillSettings()


FewStepConfig = EctConfig | DistillConfig
DenoiserConfig = EdmConfig | FewStepConfig
Config = VaeConfig | DenoiserConfig
ADAPTER: TypeAdapter[Config] = TypeAdapter(Annotated[Config, Field(discriminator="stage")])
