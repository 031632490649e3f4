"""How clouds are drawn."""

from typing import Annotated, Literal

from pydantic import Field

from radarsparse.config.base import Few, NotNegative, Positive, Settings, Share


class SamplingSettings(Settings):
    """How a cloud is drawn when the caller says nothing else; by default, its regression.

    The sampler starts from the regression estimate with noise of level `start_sigma`, by default
    the highest one; `temperature` below 1 is for less noise than that level has. `samples` draws
    are averaged; with two `views` as many are drawn of the mirrored scene, too. The regression
    takes `regression_share` of the mean; with 1 nothing is drawn. `guidance` above 1 leads away
    from what would be drawn without the radar, at twice the cost. With a `detail_sigma` latents are
    drawn anew at that level once it is settled which flags are up: the likeliest ones for a cloud,
    drawn ones for draws, which leave out flags less likely than `flag_probability_min`. A cell is
    present where its presence, from -1 to 1, exceeds `presence_threshold`; a voxel exists where it
    is likelier than `voxel_probability`. A beam of the LiDAR returns from where that is likeliest
    and, but in draws, from wherever else it is more than `return_share` times as likely.
    """

    steps: Few = 18
    samples: Few = 1
    start_sigma: Positive | None = None
    temperature: Annotated[float, Field(ge=0.0, le=1.0)] = 1.0
    guidance: NotNegative = 1.0
    flag_probability_min: Share = 0.05
    views: Literal[1, 2] = 1
    regression_share: Share = 1.0
    detail_sigma: Positive | None = 0.6
    presence_threshold: Annotated[float, Field(ge=-1.0, le=1.0)] = -0.6
    voxel_probability: Annotated[float, Field(gt=0.0, le=1.0)] = 0.09
    return_share: Share = 0.7


class FewStepSamplingSettings(SamplingSettings):
    """The same for a network that jumps to clean features; the last jump is from `last_sigma`."""

    steps: Few = 2
    last_sigma: Positive = 10.0
    regression_share: Share = 0.0
    detail_sigma: Positive | None = None
    presence_threshold: Annotated[float, Field(ge=-1.0, le=1.0)] = -0.2
    voxel_probability: Annotated[float, Field(gt=0.0, le=1.0)] = 0.05
