"""Where a scene is seen from, and the file that keeps it."""

import json
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from radarsparse.errors import InputError
from radarsparse.files import replacing

Place = tuple[float, float, float]

NUMBER_MAX = 1e9


@dataclass(frozen=True)
class Camera:
    """An eye that looks at a point, z up.

    Attributes:
        eye_m: x, y, z in metres, radar frame.
        target_m: x, y, z of the middle of the picture.
        field_of_view_deg: from the lower to the upper edge of the picture.
    """

    # Behind and above the car, looking down the road.
    eye_m: Place = (-11.0, 0.0, 9.0)
    target_m: Place = (16.0, 0.0, 0.0)
    field_of_view_deg: float = 55.0

    def turned(self, angle_deg: float) -> "Camera":
        """The same camera after a walk about its target, counterclockwise from above."""
        angle = math.radians(angle_deg)
        x, y = (eye - target for eye, target in zip(self.eye_m[:2], self.target_m[:2], strict=True))
        turned_x = math.cos(angle) * x - math.sin(angle) * y
        turned_y = math.sin(angle) * x + math.cos(angle) * y
        eye_m = (self.target_m[0] + turned_x, self.target_m[1] + turned_y, self.eye_m[2])
        return replace(self, eye_m=eye_m)

    def save(self, path: Path) -> None:
        """Write the camera as JSON, whole or not at all.

        Raises:
            InputError: the file can't be written.
        """
        with replacing(path) as part:
            part.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @staticmethod
    def load(path: Path) -> "Camera":
        """Read what `save` wrote.

        Raises:
            InputError: the file can't be read or holds no camera.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{path}: is no readable camera ({error})") from error
        return _validated(path, content)


def _validated(path: Path, content: Any) -> Camera:
    names = set(asdict(Camera()))
    if not isinstance(content, dict) or set(content) != names:
        raise InputError(f"{path}: is no camera; its keys must be {', '.join(sorted(names))}")
    eye_m, target_m = (_place(path, name, content[name]) for name in ("eye_m", "target_m"))
    angle_deg = content["field_of_view_deg"]
    if not _is_number(angle_deg) or not 1 <= angle_deg <= 170:
        raise InputError(f"{path}: field_of_view_deg = {angle_deg!r}; must be from 1 to 170")
    if np.allclose(eye_m[:2], target_m[:2]):
        raise InputError(f"{path}: eye_m {eye_m} must not stand straight above target_m {target_m}")
    return Camera(eye_m, target_m, float(angle_deg))


def _place(path: Path, name: str, value: Any) -> Place:
    if not isinstance(value, list) or len(value) != 3 or not all(map(_is_number, value)):
        raise InputError(f"{path}: {name} = {value!r}; must be three numbers")
    x, y, z = map(float, value)
    return x, y, z


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < NUMBER_MAX
