"""The process that draws with Open3D; `offscreen.py` starts it and talks to it.

It is a process of its own because the renderer writes to stdout and, where a driver is missing,
ends its whole process.
"""

import os
import pickle
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from radarsparse.viewer.camera import Camera
from radarsparse.viewer.coloring import BACKGROUND, Dots, rgb


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


def darken(scene: Any) -> None:
    """Give an Open3D scene the dark background, and points the very colours that they have."""
    # Without tone mapping a background comes out darker than it was asked for.
    scene.set_background(np.array([*rgb(BACKGROUND) ** (1.0 / 2.2), 1.0], dtype=np.float32))
    scene.view.set_post_processing(False)


def show_layers(scene: Any, layers: Iterable[Dots]) -> None:
    """Show these clouds in an Open3D scene, and nothing else."""
    open3d = import_module("open3d")
    scene.clear_geometry()
    for number, dots in enumerate(layers):
        if len(dots.points):
            cloud = open3d.geometry.PointCloud()
            cloud.points = open3d.utility.Vector3dVector(dots.points.astype(np.float64))
            cloud.colors = open3d.utility.Vector3dVector(dots.colors.astype(np.float64))
            material = open3d.visualization.rendering.MaterialRecord()
            material.shader = "defaultUnlit"
            material.point_size = dots.size_px
            scene.add_geometry(str(number), cloud, material)


def _draw(renderer: Any, layers: Iterable[Dots], camera: Camera) -> NDArray[np.uint8]:
    show_layers(renderer.scene, layers)
    up = [0.0, 0.0, 1.0]
    renderer.setup_camera(camera.field_of_view_deg, camera.target_m, camera.eye_m, up)
    return np.asarray(renderer.render_to_image())[..., :3].copy()


def main() -> None:
    """Answer every pair of layers and camera on stdin with its pixels, until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    size_px = map(int, sys.argv[1:])
    try:
        renderer = import_module("open3d").visualization.rendering.OffscreenRenderer(*size_px)
        darken(renderer.scene)
    except (ImportError, RuntimeError) as error:
        send(answers, f"{type(error).__name__}: {error}")
        return
    send(answers, None)
    try:
        while True:
            send(answers, _draw(renderer, *receive(sys.stdin.buffer)))
    except EOFError:
        return


if __name__ == "__main__":
    main()
