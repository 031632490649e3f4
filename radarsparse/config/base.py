"""What every block of settings is made of: its base, and numbers with their bounds."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Vector3 = tuple[float, float, float]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NotNegative = Annotated[float, Field(ge=0.0)]
Count = Annotated[int, Field(gt=0, lt=2**31)]
Few = Annotated[int, Field(gt=0, le=4096)]
Angle = Annotated[float, Field(ge=-180.0, le=180.0)]
Elevation = Annotated[float, Field(ge=-90.0, le=90.0)]
Place = Annotated[float, Field(ge=-100.0, le=100.0)]
RINGS_MAX = 1024
RingsDeg = Annotated[tuple[Elevation, ...], Field(max_length=RINGS_MAX)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
FrameNumber = Annotated[int, Field(ge=0, lt=2**63)]
FrameRange = tuple[FrameNumber, FrameNumber]


class Settings(BaseModel):
    """Base of every block of settings: immutable, unknown keys and infinite numbers refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
