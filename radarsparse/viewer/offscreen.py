"""Pictures without a screen: Open3D where it can draw, else a view from above."""

import ctypes
import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from radarsparse.errors import InputError
from radarsparse.viewer.camera import Camera
from radarsparse.viewer.coloring import Look, ShownFrame, dots_of, ring_dots
from radarsparse.viewer.film import Pixels
from radarsparse.viewer.legend import overlay
from radarsparse.viewer.plots import Limits, limits_of, render_dots
from radarsparse.viewer.renderer import receive, send

Size = tuple[int, int]  # width and height

# What Open3D loads, by the system package (Debian, Ubuntu) that brings it.
LIBRARIES = {
    "libusb-1.0-0": "libusb-1.0.so.0",
    "libgl1": "libGL.so.1",
    "libegl1": "libEGL.so.1",
    "libvulkan1": "libvulkan.so.1",
}
DRIVERS_PACKAGE = "mesa-vulkan-drivers"
DRIVER_FOLDERS = ("/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d")
DRIVER_VARIABLES = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES")

_log = logging.getLogger("radarsparse")


class View(NamedTuple):
    """One picture of a film: what is shown, and where it is seen from."""

    frame: ShownFrame
    camera: Camera


def missing_packages() -> list[str]:
    """What has to be installed before Open3D can draw without a screen, by name."""
    missing = [] if importlib.util.find_spec("open3d") else ["radarsparse[view] (with pip)"]
    if sys.platform == "linux":
        missing += [package for package, library in LIBRARIES.items() if not _loads(library)]
        if not _has_driver():
            missing.append(DRIVERS_PACKAGE)
    return missing


def draw_views(views: Iterable[View], look: Look, size_px: Size) -> Iterator[Pixels]:
    """Draw pictures one after the other; a view from above where Open3D can't draw.

    Args:
        views: what is drawn, read when it is needed.
        look: of all pictures.
        size_px: width and height.

    Yields:
        Pictures [height, width, 3]; views from above have a size of their own.

    Raises:
        InputError: a frame can't be read or drawn.
    """
    missing = missing_packages()
    reason = f"missing: {', '.join(missing)}" if missing else None
    if not missing:
        with _renderer(size_px) as process:
            reason = _greeting(process)
            if reason is None:
                yield from (_draw(process, view, look) for view in views)
                return
    _log.warning("Open3D can't draw here (%s); drawing a view from above instead", reason)
    yield from _draw_above(views, look)


def _draw(process: subprocess.Popen[bytes], view: View, look: Look) -> Pixels:
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        layers = [ring_dots(look.bounds), *dots_of(view.frame, look).values()]
        send(process.stdin, (layers, view.camera))
        image = receive(process.stdout)
    except (EOFError, BrokenPipeError) as error:
        raise InputError(f"frame {view.frame.name}: Open3D stopped while drawing it") from error
    return overlay(image, view.frame, look)


@contextmanager
def _renderer(size_px: Size) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "radarsparse.viewer.renderer", *map(str, size_px)]
    # The package is found where this one was, wherever the caller stands.
    places = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    pipe, quiet = subprocess.PIPE, subprocess.DEVNULL
    process = subprocess.Popen(words, env=environment, stdin=pipe, stdout=pipe, stderr=quiet)
    with process:
        try:
            yield process
        finally:
            process.kill()


def _greeting(process: subprocess.Popen[bytes]) -> str | None:
    """Why the renderer can't draw; None where it can."""
    assert process.stdout is not None
    try:
        return receive(process.stdout)
    except EOFError:
        return f"its renderer ended with status {process.wait()}"


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _has_driver() -> bool:
    named = any(os.environ.get(name) for name in DRIVER_VARIABLES)
    return named or any(next(Path(folder).glob("*.json"), None) for folder in DRIVER_FOLDERS)


def _draw_above(views: Iterable[View], look: Look) -> Iterator[Pixels]:
    limits: Limits | None = None
    for view in views:
        dots = dots_of(view.frame, look)
        if limits is None:
            if not any(len(layer.points) for layer in dots.values()):
                raise InputError("all visible layers: 0 points found, at least 1 expected")
            # the same in all pictures of a film
            limits = limits_of(np.concatenate([layer.points for layer in dots.values()]))
        yield render_dots(dots, look, limits, view.frame.name)


def orbit(frame: ShownFrame, camera: Camera, count: int) -> Sequence[View]:
    """Views of one frame on a circle about the camera's target."""
    return [View(frame, camera.turned(360.0 * step / count)) for step in range(count)]
