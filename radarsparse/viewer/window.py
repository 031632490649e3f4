"""The window: layers by keys, frame after frame, on Open3D."""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from radarsparse.errors import InputError
from radarsparse.viewer.camera import Camera, Place
from radarsparse.viewer.coloring import (
    LAYER_NAMES,
    Look,
    ShownFrame,
    colorings_of,
    dots_of,
    ring_dots,
)
from radarsparse.viewer.legend import SIZE_PX, draw_legend
from radarsparse.viewer.renderer import darken, show_layers
from radarsparse.viewer.shown import ShownFrames

POINT_SIZES_PX = (1.0, 20.0)
CAMERA_FILE = Path("camera.json")
# By Open3D's names, which it knows once it is loaded.
KEYS = {"ONE": "1", "TWO": "2", "THREE": "3", "C": "c", "S": "s", "R": "r", "Q": "q"}
KEYS |= {"PLUS": "+", "EQUALS": "=", "MINUS": "-"}
KEYS |= {"LEFT": "left", "RIGHT": "right", "SPACE": "space"}

_log = logging.getLogger("radarsparse")


@dataclass(frozen=True)
class Start:
    """How a window begins; the key s writes `camera_file`, by default `CAMERA_FILE`."""

    look: Look
    camera: Camera
    camera_file: Path | None
    size_px: tuple[int, int]
    frames_per_s: float


@dataclass
class Desk:
    """What the keys change; knows no window. The next frame comes by itself while `playing`."""

    frames: ShownFrames
    look: Look
    place: int = 0
    playing: bool = False

    @property
    def frame(self) -> ShownFrame:
        """The frame that is shown."""
        return self.frames.read(self.frames.names[self.place])

    def step(self, count: int) -> None:
        """Go on, or back; from the last frame to the first."""
        self.place = (self.place + count) % len(self.frames.names)

    def press(self, key: str) -> bool:
        """Do what a key stands for.

        Args:
            key: a character, `left`, `right` or `space`.

        Returns:
            Whether the picture changes.
        """
        look = self.look
        if key in ("1", "2", "3"):
            self.look = look._replace(hidden=look.hidden ^ {LAYER_NAMES[int(key) - 1]})
        elif key == "c":
            known = colorings_of(look.bounds)
            at = (known.index(look.coloring) + 1) % len(known)
            self.look = look._replace(coloring=known[at])
        elif key in ("+", "=", "-"):
            size_px = look.point_size_px + (-0.5 if key == "-" else 0.5)
            self.look = look._replace(point_size_px=float(np.clip(size_px, *POINT_SIZES_PX)))
        elif key in ("left", "right"):
            self.step(1 if key == "right" else -1)
        elif key == "space":
            self.playing = not self.playing
        return key in ("1", "2", "3", "c", "left", "right", "+", "=", "-")


def show(frames: ShownFrames, start: Start) -> None:
    """Open the window and return when it is closed.

    Raises:
        InputError: Open3D is missing or can't open a window here.
    """
    open3d = load_open3d()
    if sys.platform == "linux" and not ({"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)):
        raise InputError("no screen here for a window: use --save FILE or --web")
    application = open3d.visualization.gui.Application.instance
    with _stdout_on_stderr():
        application.initialize()
        _Window(open3d, frames, start)
        application.run()


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Keep what the renderer says of itself off stdout, which is for results."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def load_open3d() -> ModuleType:
    """Open3D, which only the window needs in this process.

    Raises:
        InputError: it isn't installed, or a library that it needs.
    """
    try:
        return import_module("open3d")
    except ModuleNotFoundError as error:
        raise InputError(
            "the window needs Open3D: pip install 'radarsparse[view]', or use --web"
        ) from error
    except ImportError as error:
        raise InputError(f"Open3D can't be loaded ({error}); see docs/viewing.md") from error


class _Window:
    def __init__(self, open3d: ModuleType, frames: ShownFrames, start: Start) -> None:
        self.gui, self.start = open3d.visualization.gui, start
        self.desk = Desk(frames, start.look)
        self.keys = {getattr(self.gui.KeyName, name): key for name, key in KEYS.items()}
        self.as_image = open3d.geometry.Image
        self.application = self.gui.Application.instance
        self.window = self.application.create_window("radarsparse", *start.size_px)
        self.scene = self.gui.SceneWidget()
        self.scene.scene = open3d.visualization.rendering.Open3DScene(self.window.renderer)
        darken(self.scene.scene)
        self.legend = self.gui.ImageWidget(self._legend_image())
        self.window.add_child(self.scene)
        self.window.add_child(self.legend)
        self.window.set_on_layout(self._lay_out)
        self.window.set_on_key(self._on_key)
        self.window.set_on_close(self._on_close)
        self.closed, self.idle = threading.Event(), threading.Event()
        self.idle.set()
        self._set_camera(start.camera)
        self._draw()
        threading.Thread(target=self._play, daemon=True).start()

    def _lay_out(self, _: Any) -> None:
        area = self.window.content_rect
        self.scene.frame = area
        self.legend.frame = self.gui.Rect(area.x, area.y, *SIZE_PX)

    def _legend_image(self) -> Any:
        return self.as_image(np.ascontiguousarray(draw_legend(self.desk.frame, self.desk.look)))

    def _draw(self) -> None:
        frame, look = self.desk.frame, self.desk.look
        show_layers(self.scene.scene, [ring_dots(look.bounds), *dots_of(frame, look).values()])
        self.legend.update_image(self._legend_image())
        self.window.title = f"radarsparse: {frame.name}"
        self.scene.force_redraw()

    def _on_key(self, event: Any) -> bool:
        key = self.keys.get(event.key)
        if key is None or event.type != self.gui.KeyEvent.Type.DOWN:
            return False
        with self._mistakes_told():
            self._press(key)
        return True

    def _press(self, key: str) -> None:
        if key == "s":
            self._camera().save(self.start.camera_file or CAMERA_FILE)
        elif key == "r":
            self._set_camera(self.start.camera)
        elif key == "q":
            self.window.close()
        elif self.desk.press(key):
            self._draw()

    @contextmanager
    def _mistakes_told(self) -> Iterator[None]:
        """Stay open where a frame can't be read or a file can't be written."""
        try:
            yield
        except (InputError, OSError) as error:
            self.desk.playing = False
            _log.warning("%s", error)

    def _on_close(self) -> bool:
        self.closed.set()
        return True

    def _play(self) -> None:
        """Ask for the next frame again and again; only the window's own thread may draw."""
        while not self.closed.wait(1.0 / self.start.frames_per_s):
            if self.desk.playing and self.idle.is_set():
                self.idle.clear()
                self.application.post_to_main_thread(self.window, self._draw_next)

    def _draw_next(self) -> None:
        with self._mistakes_told():
            self.desk.step(1)
            self._draw()
        self.idle.set()

    def _set_camera(self, camera: Camera) -> None:
        up = np.array([0.0, 0.0, 1.0], dtype=np.float32)
        target, eye = (np.array(place, np.float32) for place in (camera.target_m, camera.eye_m))
        # the box about which the mouse turns and zooms
        reach = 2.0 * np.abs(target - eye).max()
        around = self.scene.scene.bounding_box
        around = type(around)(target - reach, target + reach)
        self.scene.setup_camera(camera.field_of_view_deg, around, target)
        self.scene.center_of_rotation = target
        self.scene.look_at(target, eye, up)

    def _camera(self) -> Camera:
        model = np.asarray(self.scene.scene.camera.get_model_matrix(), dtype=np.float64)
        eye = model[:3, 3]
        ahead = -model[:3, 2]
        reach_m = float(np.linalg.norm(np.asarray(self.scene.center_of_rotation) - eye))
        return replace(self.start.camera, eye_m=_place(eye), target_m=_place(eye + reach_m * ahead))


def _place(point: np.ndarray) -> Place:
    x, y, z = (round(float(value), 4) + 0.0 for value in point)
    return x, y, z
