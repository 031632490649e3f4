"""The process that draws with Open3D; `offscreen.py` starts it and talks to it.

It is a process of its own because the renderer writes to stdout and, where a driver is missing,
ends its whole process.
"""

import os
import pickle
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from radarsparse.viewer.camera import Camera
from radarsparse.viewer.layers import BACKGROUND, Dots, rgb


class Shot(NamedTuple):
    """A picture to be drawn.

    Attributes:
        dots: of all visible layers.
        camera: where they are seen from.
    """

    dots: Iterable[Dots]
    camera: Camera


def send(stream: IO[bytes], message: object) -> None:
    """Write one message."""
    pickle.dump(message, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one message of our own other process.

    Raises:
        EOFError: the other process ended.
    """
    return pickle.load(stream)


def add_dots(scene: Any, name: str, dots: Dots) -> None:
    """Put a cloud into an Open3D scene."""
    open3d = import_module("open3d")
    cloud = open3d.geometry.PointCloud()
    cloud.points = open3d.utility.Vector3dVector(dots.points.astype(np.float64))
    cloud.colors = open3d.utility.Vector3dVector(dots.colors.astype(np.float64))
    material = open3d.visualization.rendering.MaterialRecord()
    material.shader = "defaultUnlit"
    material.point_size = dots.size_px
    scene.add_geometry(name, cloud, material)


def background_rgba() -> NDArray[np.float32]:
    """The background of the scene, [4], as Open3D takes it: without tone mapping it comes out dark.

    Colours of points come out as they are.
    """
    return np.array([*rgb(BACKGROUND) ** (1.0 / 2.2), 1.0], dtype=np.float32)


def _draw(renderer: Any, shot: Shot) -> NDArray[np.uint8]:
    scene, camera = renderer.scene, shot.camera
    scene.clear_geometry()
    for number, dots in enumerate(shot.dots):
        if len(dots.points):
            add_dots(scene, str(number), dots)
    up = [0.0, 0.0, 1.0]
    renderer.setup_camera(camera.field_of_view_deg, camera.target_m, camera.eye_m, up)
    return np.asarray(renderer.render_to_image())[..., :3].copy()


def _make_renderer(width_px: int, height_px: int) -> Any:
    open3d = import_module("open3d")
    renderer = open3d.visualization.rendering.OffscreenRenderer(width_px, height_px)
    renderer.scene.set_background(background_rgba())
    renderer.scene.view.set_post_processing(False)
    return renderer


def main() -> None:
    """Answer every shot on stdin with its pixels, until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    width_px, height_px = map(int, sys.argv[1:])
    try:
        renderer = _make_renderer(width_px, height_px)
    except (ImportError, RuntimeError) as error:
        send(answers, f"{type(error).__name__}: {error}")
        return
    send(answers, None)
    try:
        while True:
            send(answers, _draw(renderer, receive(sys.stdin.buffer)))
    except EOFError:
        return


if __name__ == "__main__":
    main()
