"""Pictures and films as files."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from radarsparse.errors import InputError
from radarsparse.files import check_file, replacing

Pixels = NDArray[np.uint8]
PICTURE, FILM = ".png", ".gif"


def check_path(path: Path, suffixes: Sequence[str] = (FILM, PICTURE)) -> None:
    """Refuse a path that no picture, or film, can be written to.

    Raises:
        InputError: the suffix is another, or see `check_file`.
    """
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{path}: unknown suffix {path.suffix!r}; known: {', '.join(suffixes)}")
    check_file(path)


def save_picture(path: Path, image: Pixels) -> None:
    """Write a picture as PNG, whole or not at all.

    Args:
        path: where to.
        image: [height, width, 3].
    """
    with replacing(path) as part:
        Image.fromarray(image).save(part, format="PNG")


def save_film(path: Path, images: Iterable[Pixels], frames_per_s: float) -> None:
    """Write pictures as a GIF that repeats, whole or not at all; they are taken one at a time.

    Args:
        path: where to.
        images: [height, width, 3] each, at least one.
        frames_per_s: how fast the film runs.
    """
    # Without dithering, whose noise would flicker over the dark ground.
    pictures = (Image.fromarray(image).quantize(dither=Image.Dither.NONE) for image in images)
    duration_ms = round(1000.0 / frames_per_s)
    options = {"append_images": pictures, "duration": duration_ms, "loop": 0}
    with replacing(path) as part:
        next(pictures).save(part, format="GIF", save_all=True, **options)
