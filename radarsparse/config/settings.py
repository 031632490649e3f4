"""Blocks of settings, and what a run of each stage is made of."""

from collections.abc import Mapping
from itertools import pairwise
from math import prod
from typing import Annotated, Literal

from pydantic import Field, model_validator

from radarsparse.config.base import (
    Angle,
    Count,
    Few,
    FrameRange,
    NotNegative,
    Place,
    Positive,
    RingsDeg,
    Seed,
    Settings,
    Share,
    Vector3,
)
from radarsparse.config.sampling import FewStepSamplingSettings, SamplingSettings

EngineName = Literal["auto", "torch", "spconv"]
PrecisionName = Literal["32", "16-mixed", "bf16-mixed"]
ScheduleName = Literal["constant", "cosine", "one_cycle", "inverse_sqrt"]

LATTICE_STRIDE = 8
_CELLS_MAX = 4_000_000


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
        sides = list(zip(self.minimum_m, self.maximum_m, strict=True))
        counts = [(high - low) / cell_m for low, high in sides]
        for (low, high), cells in zip(sides, counts, strict=True):
            if cells < 1 or min(cells % 1, -cells % 1) > 1e-6:
                raise ValueError(
                    f"the side {low} .. {high} m holds {cells:g} lattice cells of {cell_m:g} m;"
                    " it must hold a whole number, 1 or more"
                )
        if prod(counts) > _CELLS_MAX:
            raise ValueError(
                f"the box holds {prod(counts):.4g} lattice cells of {cell_m:g} m; it must hold at"
                f" most {_CELLS_MAX:,}"
            )
        return self


class LidarSettings(Settings):
    """The LiDAR that is imitated: its beams, and its pose in the radar frame.

    Beams go out at the elevations of its rings, at steps of the azimuth. It is turned about z, then
    y, then x; positive pitch looks down. Without rings the network isn't told of it, and a cloud
    has one point for each voxel.
    """

    rings_deg: RingsDeg = ()
    azimuth_step_deg: Annotated[float, Field(ge=0.01, le=10.0)] = 0.2
    position_m: tuple[Place, Place, Place] = (0.0, 0.0, 0.0)
    yaw_pitch_roll_deg: tuple[Angle, Angle, Angle] = (0.0, 0.0, 0.0)

    @property
    def mirrored(self) -> "LidarSettings":
        """The same LiDAR with left and right exchanged."""
        (x, y, z), (yaw, pitch, roll) = self.position_m, self.yaw_pitch_roll_deg
        change = {"position_m": (x, -y, z), "yaw_pitch_roll_deg": (-yaw, pitch, -roll)}
        return self.model_copy(update=change)


class RadarSettings(Settings):
    """The radar clouds that a network was trained on: how few and how many points lay in view."""

    points: tuple[Count, Count] = (20, 20_000)

    @model_validator(mode="after")
    def _points_ascend(self) -> "RadarSettings":
        if self.points[0] > self.points[1]:
            raise ValueError(f"points = {list(self.points)}: must ascend")
        return self


class AugmentSettings(Settings):
    """Random changes of a training pair, applied to radar and LiDAR together.

    `mirror`, `quarter_turn`, `cutout` and `mixup` are chances per frame; of the points at most the
    shares `radar_dropout` and `lidar_dropout` go missing. The scene is scaled by 1 +- `scale_max`
    at most. The noise of `radar_*`, `doppler_std_mps` and `power_point_std_db` is one draw per
    point. `docs/augmentation.md` tells what stays consistent.
    """

    mirror: Share = 0.5
    yaw_max_deg: Annotated[float, Field(ge=0.0, le=180.0)] = 10.0
    quarter_turn: Share = 0.0
    shift_std_m: NotNegative = 0.1
    scale_max: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    radar_dropout: Share = 0.2
    radar_range_std_m: NotNegative = 0.0
    radar_azimuth_std_deg: Annotated[float, Field(ge=0.0, le=180.0)] = 0.0
    radar_elevation_std_deg: Annotated[float, Field(ge=0.0, le=90.0)] = 0.0
    doppler_std_mps: NotNegative = 0.0
    power_point_std_db: NotNegative = 0.0
    lidar_dropout: Share = 0.0
    cutout: Share = 0.0
    cutout_max_deg: Annotated[float, Field(gt=0.0, le=360.0)] = 30.0
    mixup: Share = 0.0

    @property
    def is_off(self) -> bool:
        """Whether every frame stays as it is."""
        return not any(value for name, value in self if name != "cutout_max_deg")


class DataSettings(Settings):
    """Where the prepared frames are and which of them are used.

    The folder `cache` keeps the voxels of frames that training doesn't change. With `scenes_seed`
    training sees a simulated scene in each sample that no sample before it saw; `root` then serves
    for validation alone. `split` has inclusive ranges of frame numbers by split, in the place of
    the folder's `split.yaml`.
    """

    root: str
    split: Mapping[str, tuple[FrameRange, ...]] | None = None
    cache: str | None = None
    scenes_seed: Seed | None = None
    train_split: str = "train"
    val_split: str = "val"
    augment: AugmentSettings = AugmentSettings()

    @model_validator(mode="after")
    def _ranges_ascend(self) -> "DataSettings":
        for name, ranges in (self.split or {}).items():
            for first, last in ranges:
                if first > last:
                    raise ValueError(
                        f"split.{name} has [{first}, {last}], which ends before it begins"
                    )
        return self


class VaeSettings(Settings):
    """Widths at strides 1, 2, 4, 8 and the weights of the losses.

    With a `kernel_size` of 3, blocks of the encoder, and those of the decoder at stride 8, see
    neighbours, with 1 single voxels. A loss of weight 0 is not computed. `split_balance` is the
    power of each level's ratio of false to true children by which `positive_weight` is multiplied.
    The perceptual loss sees with the encoder of the run folder `perceptual_vae`, or with a random
    network.
    """

    channels: tuple[Few, Few, Few, Few] = (24, 48, 64, 96)
    latent_channels: Few = 32
    kernel_size: Literal[1, 3] = 3
    kl_weight: NotNegative = 1e-4
    split_weight: NotNegative = 1.0
    positive_weight: Positive = 1.0
    split_balance: Share = 1.0
    focal_weight: NotNegative = 0.0
    dice_weight: NotNegative = 0.0
    offset_weight: NotNegative = 1.0
    intensity_weight: NotNegative = 0.2
    neighbour_weight: NotNegative = 0.0
    normal_weight: NotNegative = 0.0
    perceptual_weight: NotNegative = 0.0
    perceptual_vae: str | None = None
    latent_noise: NotNegative = 0.1
    false_parent_share: NotNegative = 0.1
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
    channels: tuple[Few, Few, Few] = (64, 96, 128)
    blocks: Few = 2
    condition_channels: tuple[Few, Few, Few, Few] = (16, 32, 48, 64)
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
    regression_share: Share = 0.4
    condition_drop: Share = 0.1
    presence_weight: Positive = 1.0
    flag_weight: Positive = 8.0
    latent_weight: Positive = 1.0
    unobserved_weight: Share = 0.0
    absent_weight: Share = 0.1


class EctSettings(Settings):
    """Pairs of noise levels of easy consistency tuning.

    The gap of each pair is halved `halvings` times in the course of the run.

    Source: Geng et al. 2024, Consistency Models Made Easy.
    """

    p_mean: float = 0.8
    p_std: Positive = 1.4
    halvings: Annotated[int, Field(gt=0, le=16)] = 4


class DistillSettings(Settings):
    """Pairs of noise levels of consistency distillation: neighbours among `scales` levels.

    Source: Song et al. 2023, Consistency Models.
    """

    scales: Few = 18


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
    batch_size: Few = 4
    accumulate: Few = 1
    precision: PrecisionName = "32"
    checkpoint_activations: bool = False
    workers: Annotated[int, Field(ge=0, le=4096)] = 1
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


class RunSettings(Settings):
    """Everything that a run of any stage depends on.

    `init` names the run folder, or `weights`, whose tensors training begins with where names and
    shapes are the same.
    """

    stage: Literal["vae", "edm", "ect", "distill"]
    seed: Seed = 0
    init: str | None = None
    engine: EngineName = "auto"
    data: DataSettings
    volume: VolumeSettings = VolumeSettings()
    lidar: LidarSettings = LidarSettings()
    radar: RadarSettings = RadarSettings()
    train: TrainSettings

    @model_validator(mode="after")
    def _voxel_steps_fit(self) -> "RunSettings":
        for step in self.train.voxel_steps:
            self.volume.at(step.voxel_size_m)
        return self


class VaeConfig(RunSettings):
    """Everything that a run of stage `vae` depends on."""

    model: VaeSettings = VaeSettings()


class DenoiserConfig(RunSettings):
    """Everything that a run which trains a denoiser depends on."""

    model: DenoiserSettings
    diffusion: DiffusionSettings = DiffusionSettings()
    sampling: SamplingSettings = SamplingSettings()

    @model_validator(mode="after")
    def _views_fit(self) -> "DenoiserConfig":
        right_m, left_m = self.volume.minimum_m[1], self.volume.maximum_m[1]
        if self.sampling.views == 2 and abs(left_m + right_m) > 1e-6:
            raise ValueError(
                f"sampling.views = 2: the volume must reach as far to the left as to the right, y"
                f" is {right_m:g} .. {left_m:g} m"
            )
        return self


class EdmConfig(DenoiserConfig):
    """Everything that a run of stage `edm` depends on."""


class FewStepConfig(DenoiserConfig):
    """Everything that a run depends on which makes a finished run of stage `edm` need few steps.

    `teacher` is its folder; `model`, `diffusion` and `volume` must be those of the teacher,
    but for `model.vae`, which isn't opened: the VAE is the teacher's.
    """

    teacher: str
    sampling: FewStepSamplingSettings = FewStepSamplingSettings()  # pyright: ignore[reportIncompatibleVariableOverride] (frozen)


class EctConfig(FewStepConfig):
    """Everything that a run of stage `ect` depends on."""

    consistency: EctSettings = EctSettings()


class DistillConfig(FewStepConfig):
    """Everything that a run of stage `distill` depends on."""

    consistency: DistillSettings = DistillSettings()


Config = VaeConfig | DenoiserConfig
STAGES = {"vae": VaeConfig, "edm": EdmConfig, "ect": EctConfig, "distill": DistillConfig}
