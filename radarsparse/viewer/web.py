"""The same in a browser: a page, a list of what there is, and every cloud as bytes."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from radarsparse.errors import InputError
from radarsparse.viewer.camera import Camera
from radarsparse.viewer.layers import (
    BACKGROUND,
    COLORINGS,
    LAYER_COLORS,
    RING_ANGLES_DEG,
    RING_COLOR,
    RING_COUNT,
    RING_STEP_M,
    SIZE_FACTORS,
    Layer,
    Look,
    ShownFrame,
    colorings_of,
)
from radarsparse.viewer.shown import ShownFrames

HOST = "127.0.0.1"
PAGE = Path(__file__).parent / "page"
PAGE_FILES = {"index.html": "text/html; charset=utf-8", "view.js": "text/javascript; charset=utf-8"}
SCENE_FILE = "scene.json"
FRAMES_KEPT = 4
# The columns of a layer's clouds after x, y, z, the same in every frame.
COLUMNS = {
    "radar": ("doppler", "power", "error"),
    "enhanced": ("intensity", "probability", "error"),
    "lidar": ("intensity",),
}


@dataclass(frozen=True)
class Site:
    """Everything that the browser asks for, by path.

    Attributes:
        frames: what can be shown.
        look: to begin with.
        camera: to begin with.
        frames_per_s: when playing.
    """

    frames: ShownFrames
    look: Look
    camera: Camera
    frames_per_s: float

    def scene(self) -> dict[str, Any]:
        """What `scene.json` holds: frames, layers, colourings and how to begin."""
        colorings = {
            name: {
                "label": COLORINGS[name].label,
                "colors": COLORINGS[name].colors,
                "bounds": self.look.bounds[name],
            }
            for name in colorings_of(self.look.bounds)
            if name in COLORINGS
        }
        layers = [
            {
                "name": name,
                "color": LAYER_COLORS[name],
                "size": SIZE_FACTORS[name],
                "columns": ["x", "y", "z", *COLUMNS[name]],
                "visible": name not in self.look.hidden,
            }
            for name in self.frames.files
        ]
        return {
            "frames": self.frames.names,
            "layers": layers,
            "colorings": colorings,
            "coloring": self.look.coloring,
            "point_size_px": self.look.point_size_px,
            "background": BACKGROUND,
            "rings": {
                "height_m": self.look.bounds["height"][0],
                "step_m": RING_STEP_M,
                "count": RING_COUNT,
                "angles_deg": RING_ANGLES_DEG,
                "color": RING_COLOR,
            },
            "camera": asdict(self.camera),
            "frames_per_s": self.frames_per_s,
        }

    def cloud_paths(self) -> Mapping[str, tuple[str, str]]:
        """Frame and layer of every cloud, by path."""
        return {
            cloud_path(number, layer): (name, layer)
            for number, name in enumerate(self.frames.names)
            for layer in self.frames.files
        }

    def write(self, folder: Path) -> None:
        """Write the page with all its clouds to a new folder, whole or not at all.

        Raises:
            InputError: the folder exists, or a frame can't be read.
        """
        if folder.exists():
            raise InputError(f"{folder}: exists; choose another --out")
        partial = folder.with_name(f"{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            self._write_all(partial)
        except BaseException:
            shutil.rmtree(partial)
            raise
        partial.rename(folder)

    def _write_all(self, folder: Path) -> None:
        for name in PAGE_FILES:
            shutil.copyfile(PAGE / name, folder / name)
        (folder / SCENE_FILE).write_text(json.dumps(self.scene()), encoding="utf-8")
        (folder / "clouds").mkdir()
        for number, name in enumerate(self.frames.names):
            for layer in self.frames.read(name).layers:
                (folder / cloud_path(number, layer.name)).write_bytes(encode(layer))


def cloud_path(number: int, layer: str) -> str:
    """Where a frame's cloud lies."""
    return f"clouds/{number}-{layer}.bin"


def encode(layer: Layer) -> bytes:
    """A cloud as little-endian float32, row by row: x, y, z, then its `COLUMNS`; NaN: unknown."""
    unknown = np.full(len(layer.points), np.nan, dtype=np.float32)
    columns = [layer.values.get(name, unknown) for name in COLUMNS[layer.name]]
    return np.column_stack([layer.points, *columns]).astype("<f4").tobytes()


class _Server(ThreadingHTTPServer):
    def __init__(self, site: Site, port: int) -> None:
        self.site, self.clouds = site, site.cloud_paths()
        # The layers of a frame are asked for one after the other.
        self.read = lru_cache(maxsize=FRAMES_KEPT)(site.frames.read)
        super().__init__((HOST, port), _Handler)

    def body_of(self, path: str) -> tuple[bytes, str] | None:
        """Content and its type; None where there is no such path."""
        if path in PAGE_FILES:
            return (PAGE / path).read_bytes(), PAGE_FILES[path]
        if path == SCENE_FILE:
            return json.dumps(self.site.scene()).encode(), "application/json"
        if path in self.clouds:
            name, layer = self.clouds[path]
            return encode(_layer(self.read(name), layer)), "application/octet-stream"
        return None


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride] (it serves no other)

    def do_GET(self) -> None:  # the name that http.server calls
        path = self.path.partition("?")[0].lstrip("/") or "index.html"
        try:
            found = self.server.body_of(path)
        except InputError as error:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR, explain=str(error))
            return
        if found is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body, kind = found
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of every request."""


def make_server(site: Site, port: int) -> ThreadingHTTPServer:
    """A server on this machine alone, not yet running.

    Args:
        site: what it serves.
        port: where; 0 for any that is free, see `server_port`.

    Raises:
        InputError: the port is taken.
    """
    try:
        return _Server(site, port)
    except OSError as error:
        raise InputError(f"--port {port}: can't be served on ({error.strerror})") from error


def serve(site: Site, port: int) -> None:
    """Serve a site on this machine alone until Ctrl+C.

    Raises:
        InputError: the port is taken.
    """
    with make_server(site, port) as server:
        print(f"http://{HOST}:{server.server_port}/ (Ctrl+C ends it)", flush=True)
        server.serve_forever()


def _layer(frame: ShownFrame, name: str) -> Layer:
    return next(layer for layer in frame.layers if layer.name == name)
